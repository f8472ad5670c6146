//! The scope of a query: which targets count for it (S3). They are the targets of groups that ever exposed what it reads,
//! without those that its pinned labels contradict, standbys, and targets that never gave a good page and that nothing
//! connects with the query.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use hashbrown::{HashMap, HashSet};

use crate::labels::Matcher;
use crate::scrape::REPORT;
use crate::store::TargetId;

use super::assessment::{Assessment, Pins};
use super::facts::{Facts, GroupFacts, TargetFacts};
use super::names::{Class, Names, POOL_LABELS};
use super::policy::Policy;
use super::query::{Selector, SignalQuery};

/// The targets by what they are to a query.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// Targets that count, in order of id.
    pub(crate) counting: Vec<TargetId>,
    /// Targets that would count but are standbys, in order of id; the series of frozen ones are hidden.
    pub(crate) standby: Vec<TargetId>,
    /// Every other target that discovery lists: its series are hidden from the query.
    pub(crate) excluded: Vec<TargetId>,
    /// Excluded targets that never gave a good page and are no longer waited for (S3c), in order of id.
    pub(crate) never_answered: Vec<TargetId>,
    /// Indices of selectors that no group ever exposed a metric for.
    pub(crate) never_seen: Vec<usize>,
}

impl Scope {
    /// Whether the query sees the series of this target: it counts, or it is a standby.
    pub(crate) fn shows(&self, id: TargetId) -> bool {
        self.counting.binary_search(&id).is_ok() || self.standby.binary_search(&id).is_ok()
    }
}

/// Names of groups, by the metric that they ever exposed: the same for all selectors of that metric, so that a thousand
/// signals look through hundreds of groups once and not a thousand times.
#[derive(Default)]
pub(crate) struct ExposingGroups<'a>(HashMap<&'a str, Rc<HashSet<&'a str>>>);

impl<'a> ExposingGroups<'a> {
    fn of(
        &mut self,
        facts: &'a Facts,
        names: &'a Names,
        selector: &'a Selector,
    ) -> Rc<HashSet<&'a str>> {
        let find = || {
            Rc::new(
                exposing(facts, names, selector)
                    .map(|(name, _)| name)
                    .collect(),
            )
        };
        match &selector.metric {
            Some(metric) => Rc::clone(self.0.entry(metric).or_insert_with(find)),
            None => find(),
        }
    }
}

/// The scope of a query: the union over its selectors (S3f).
pub(crate) fn of_query(assessment: Assessment<'_>, query: &SignalQuery, policy: &Policy) -> Scope {
    of_query_among(assessment, query, policy, &mut ExposingGroups::default())
}

/// The same for one of many queries about the same facts.
pub(crate) fn of_query_among<'a>(
    assessment: Assessment<'a>,
    query: &'a SignalQuery,
    policy: &Policy,
    known: &mut ExposingGroups<'a>,
) -> Scope {
    let Assessment {
        facts, names, pins, ..
    } = assessment;
    let mut scope = Scope::default();
    let (mut counting, mut standby, mut never_answered) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (index, selector) in query.selectors.iter().enumerate() {
        let groups = known.of(facts, names, selector);
        if groups.is_empty() {
            scope.never_seen.push(index);
        }
        // Most targets of many are ruled out by a label, which is the least work to find out.
        let candidates: Vec<(TargetId, &TargetFacts)> = facts
            .listed()
            .filter(|(_, target)| {
                is_of_allowed_job(policy, target)
                    && contradiction(target, names, selector, pins).is_none()
            })
            .filter(|(_, target)| {
                target.last_good_ms.is_none() || groups.contains(target.group.as_str())
            })
            .collect();
        let satisfied = candidates.iter().any(|(_, target)| {
            target.last_good_ms.is_some() && groups.contains(target.group.as_str())
        });
        for (id, target) in candidates {
            let is_new = target.last_good_ms.is_none();
            let waits = || is_waited_for(assessment, target, policy);
            if is_new
                && satisfied
                && !waits()
                && !belongs(assessment, target, selector, policy, &groups)
            {
                never_answered.insert(id);
            } else if is_standby(facts, id, target) {
                standby.insert(id);
            } else {
                counting.insert(id);
            }
        }
    }
    let others = facts
        .listed()
        .map(|(id, _)| id)
        .filter(|id| !counting.contains(id) && !standby.contains(id));
    scope.excluded = others.collect();
    never_answered.retain(|id| scope.excluded.binary_search(id).is_ok());
    scope.never_answered = never_answered.into_iter().collect();
    scope.counting = counting.into_iter().collect();
    scope.standby = standby.into_iter().collect();
    scope
}

/// The next time at which a scope may change without a scrape, in milliseconds: when a target without a good page is no
/// longer waited for.
pub(crate) fn changes_at_ms(facts: &Facts, policy: &Policy, now_ms: i64) -> Option<i64> {
    let never_good = facts
        .listed()
        .filter(|(_, target)| target.last_good_ms.is_none());
    never_good
        .filter_map(|(_, target)| waited_for_until_ms(target, policy))
        .filter(|&until_ms| until_ms > now_ms)
        .min()
}

fn waited_for_until_ms(target: &TargetFacts, policy: &Policy) -> Option<i64> {
    let wait_ms = target.first_page_wait_ms().max(policy.hold_ms.unwrap_or(0));
    Some(target.first_attempt_ms()?.saturating_add(wait_ms))
}

/// Whether a target without a good page is still waited for.
fn is_waited_for(assessment: Assessment<'_>, target: &TargetFacts, policy: &Policy) -> bool {
    waited_for_until_ms(target, policy).is_none_or(|until_ms| assessment.now_ms < until_ms)
}

/// Whether a target that never gave a good page is connected with a selector that other targets satisfy: it has their job
/// or a pinned label, or the policy lists jobs.
fn belongs(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
    policy: &Policy,
    groups: &HashSet<&str>,
) -> bool {
    let job = target.labels.get("job");
    let shares_job = assessment.facts.listed().any(|(_, other)| {
        other.last_good_ms.is_some()
            && other.labels.get("job") == job
            && groups.contains(other.group.as_str())
    });
    let mut pins = selector.pins.iter().chain(assessment.pins);
    shares_job
        || !policy.jobs.is_empty()
        || pins.any(|(label, value)| target.labels.get(label) == Some(value))
}

fn is_of_allowed_job(policy: &Policy, target: &TargetFacts) -> bool {
    policy.jobs.is_empty()
        || policy
            .jobs
            .iter()
            .any(|job| target.labels.get("job") == Some(job))
}

/// Whether a selector reads a series about scrapes (`up`, ...), which every target has.
pub(crate) fn is_report(selector: &Selector) -> bool {
    selector
        .metric
        .as_ref()
        .is_some_and(|metric| REPORT.contains(&metric.as_str()))
}

/// The groups that ever exposed what a selector reads, with their names.
fn exposing<'a>(
    facts: &'a Facts,
    names: &'a Names,
    selector: &'a Selector,
) -> impl Iterator<Item = (&'a str, &'a GroupFacts)> {
    let known = selector.metric.as_ref().map(|metric| {
        let equivalents = names.equivalents(metric);
        (metric.as_str(), equivalents, names.witnesses(metric))
    });
    let is_shown = move |group: &GroupFacts| {
        let exposed = &group.exposed;
        match &known {
            // By names first, which takes a look each; a witness may be any of them.
            Some((metric, equivalents, is_witness)) => {
                exposed.contains(*metric)
                    || equivalents
                        .iter()
                        .any(|(name, _)| exposed.contains(name.as_str()))
                    || exposed.iter().any(|present| is_witness(present))
            }
            None => exposes(exposed.iter().map(|m| &**m), names, selector),
        }
    };
    let all = facts.groups.iter();
    let shown = all.filter(move |(_, group)| is_report(selector) || is_shown(group));
    shown.map(|(name, group)| (name.as_str(), group))
}

/// The groups in the scope of a query: those that ever exposed what some selector of it reads. A group may come twice.
pub(crate) fn groups<'a>(
    assessment: Assessment<'a>,
    query: &'a SignalQuery,
) -> impl Iterator<Item = &'a GroupFacts> {
    let selectors = query.selectors.iter();
    selectors.flat_map(move |selector| {
        exposing(assessment.facts, assessment.names, selector).map(|(_, group)| group)
    })
}

/// S3a: whether these metrics contain the selector's, one of its other names, or a witness. For a selector without a fixed
/// name: whether its name matchers match one of them.
pub(crate) fn exposes<'m>(
    mut metrics: impl Iterator<Item = &'m str>,
    names: &Names,
    selector: &Selector,
) -> bool {
    let Some(metric) = &selector.metric else {
        return metrics.any(|present| selector.name_matchers().all(|one| one.matches(present)));
    };
    let equivalents = names.equivalents(metric);
    let is_witness = names.witnesses(metric);
    metrics.any(|present| {
        present == metric
            || equivalents.iter().any(|(name, _)| name == present)
            || is_witness(present)
    })
}

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
    Pool { wanted: &'a str },
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
    let own = selector.matchers.iter().find_map(|matcher| {
        let has = target.constant_label(matcher.name())?;
        (!matcher.matches(has)).then(|| Contradiction::Label {
            label: matcher.name(),
            wanted: Wanted::Matcher(matcher),
            has,
        })
    });
    let mut pinned = selector.pins.iter().chain(pins);
    own.or_else(|| {
        pinned.find_map(|(label, value)| {
            if let Some(has) = target.constant_label(label).filter(|has| has != value) {
                return Some(Contradiction::Label {
                    label,
                    wanted: Wanted::Pin(label, value),
                    has,
                });
            }
            let other_pool = !target.pools.is_empty()
                && !target.pools.contains(value)
                && target.constant_label(label).is_none()
                && is_pool_pin(names, selector, label);
            other_pool.then_some(Contradiction::Pool { wanted: value })
        })
    })
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

/// S3d: a target is a standby while another target of its group holds a lease that its own page says it does not hold. If
/// its scrapes fail, it is one as soon as another holds its lease on a page newer than its own last good page.
pub(crate) fn is_standby(facts: &Facts, id: TargetId, target: &TargetFacts) -> bool {
    let fails = target.last.is_some_and(|(_, good)| !good);
    target.leases.iter().any(|(lease, _, leads)| {
        facts.listed().any(|(other_id, other)| {
            let holds = other
                .leases
                .iter()
                .any(|(name, _, leads)| name == lease && *leads);
            let newer = fails && other.last_good_ms > target.last_good_ms;
            other_id != id && other.group == target.group && holds && (!*leads || newer)
        })
    })
}
