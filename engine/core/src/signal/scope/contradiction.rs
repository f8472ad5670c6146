//! S3b: labels that contradict what a query wants, so that a target does not count for it.

use std::fmt;

use super::super::assessment::Pins;
use super::super::carried::pinned;
use super::super::facts::TargetFacts;
use super::super::names::{Class, Names, POOL_LABELS};
use super::super::query::Selector;
use crate::labels::{METRIC_NAME, MatchOp, Matcher};
use crate::limits::POOLS_PER_TARGET_MAX;

/// What excludes a target for a selector (S3b).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contradiction<'a> {
    /// All of its series have another value of this label.
    Label {
        label: &'a str,
        wanted: Wanted<'a>,
        has: &'a str,
    },
    /// Its process serves other pools.
    Pool { wanted: Wanted<'a> },
}

/// What a query wants of a label; written out only where somebody reads it, because most targets contradict most queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    Matcher(&'a Matcher),
    Pin(&'a str, &'a str),
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Matcher(matcher) => matcher.fmt(f),
            Wanted::Pin(label, value) => write!(f, "{label}={value:?}"),
        }
    }
}

/// S3b: a pinned label that contradicts the target's own labels or the pools that its process named. Target labels that
/// some of its series replace are ignored: there the labels of the series decide.
pub(crate) fn contradiction<'a>(
    target: &'a TargetFacts,
    names: &Names,
    selector: &'a Selector,
    pins: Pins<'a>,
) -> Option<Contradiction<'a>> {
    // No target has the name of a metric among its labels.
    let matchers = selector.matchers.iter();
    let mut of_labels = matchers.filter(|matcher| matcher.name() != METRIC_NAME);
    let of_matchers = of_labels.find_map(|matcher| {
        let label = matcher.name();
        match target.constant_label(label) {
            Some(has) => (!matcher.matches(has)).then_some(Contradiction::Label {
                label,
                wanted: Wanted::Matcher(matcher),
                has,
            }),
            // Of series that lack the label a pool says nothing.
            None => {
                let is_other = !matcher.matches("")
                    && serves_none(target, |pool| matcher.matches(pool))
                    && is_pool_pin(names, selector, label);
                let wanted = || match matcher.op() {
                    MatchOp::Equal => Wanted::Pin(label, matcher.value()),
                    _ => Wanted::Matcher(matcher),
                };
                is_other.then(|| Contradiction::Pool { wanted: wanted() })
            }
        }
    });
    let mut pins = pinned(&selector.carried, pins);
    of_matchers.or_else(|| {
        pins.find_map(|(label, value)| {
            let wanted = Wanted::Pin(label, value);
            match target.constant_label(label) {
                Some(has) => (has != value).then_some(Contradiction::Label { label, wanted, has }),
                None => {
                    let is_other = serves_none(target, |pool| pool == value)
                        && is_pool_pin(names, selector, label);
                    is_other.then_some(Contradiction::Pool { wanted })
                }
            }
        })
    })
}

/// Whether the present process of a target has named pools, all of which are known, and none of these. How it names them by other
/// rules is not known before its first page under them.
fn serves_none(target: &TargetFacts, is_wanted: impl Fn(&str) -> bool) -> bool {
    let pools = &target.pools;
    !target.awaits_page
        && !pools.is_empty()
        && pools.len() < POOLS_PER_TARGET_MAX
        && !pools.iter().any(|pool| is_wanted(pool))
}

/// Whether a label names the pool: `name` does so only on families of the class `Pool`.
pub(crate) fn is_pool_pin(names: &Names, selector: &Selector, label: &str) -> bool {
    let is_pool = |metric: &String| {
        let family = names.family(metric);
        family.is_some_and(|(family, _, _)| family.class == Class::Pool)
    };
    match label {
        "inference_pool" => true,
        label => POOL_LABELS.contains(&label) && selector.metric.as_ref().is_some_and(is_pool),
    }
}
