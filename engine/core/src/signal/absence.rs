//! S4: whether an empty result means 0.
//!
//! A missing series means 0 only if the gateway would expose it with any other value. That is proven by a page with the
//! family or a witness of it, and by a family that has the labels by which the query selects: a label that its series
//! never have selects nothing, whatever is queued. The labels of a family are known from the names table for gateways, and
//! for everything else from the pages of the target's process.

use crate::labels::{METRIC_NAME, MatchOp, Matcher};

use super::assessment::{Assessment, describe};
use super::carried;
use super::demand::reads_demand;
use super::facts::TargetFacts;
use super::judge::{never_seen, no_target_counts};
use super::known_labels::known_labels;
use super::losses;
use super::names::REQUEST_LABELS;
use super::policy::{Absent, Policy};
use super::query::{Kind, Selector, SignalQuery};
use super::scope::{self, Scope};
use super::seen;
use super::shown::{reads_page, shows};
use super::windows::windows_covered;

/// Proves that an empty result means 0. Error: what is not proven.
pub(crate) fn prove(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
    policy: &Policy,
    at_ms: i64,
) -> Result<(), String> {
    if policy.absent == Absent::Unknown {
        return Err(
            "the result is empty, and `absent: unknown` says that this is never 0".to_owned(),
        );
    }
    if let Some(why) = never_seen(assessment, scope, query) {
        return Err(why);
    }
    if scope.counting.is_empty() {
        return Err(no_target_counts(assessment, scope, query));
    }
    windows_covered(assessment, scope, query, policy, at_ms)?;
    let by_proof = policy.absent == Absent::Auto;
    if by_proof && query.kind == Kind::Other && query.fallback.is_none() {
        if let Some(comparison) = &query.comparison {
            return Err(comparison.why_unknown());
        }
        return Err(
            "the result is empty, and only of a sum, or of a max of demand, does that mean 0; add \
                    `or vector(0)` or `absent: zero` if it does here"
                .to_owned(),
        );
    }
    check_pins_carried(assessment, query)?;
    for selector in &query.selectors {
        let required = required(selector, assessment);
        for target in targets_of(assessment, scope, selector) {
            if by_proof {
                check_witness(assessment, target, selector)?;
            }
            for matcher in &required {
                check_label_exists(assessment, target, selector, matcher.name(), by_proof)?;
                if by_proof {
                    check_pool_known(assessment, target, selector, matcher)?;
                }
            }
        }
        check_can_be_met(assessment, scope, query, selector)?;
        if by_proof {
            check_values_seen(assessment, query, selector, &required)?;
        }
        if by_proof && query.fallback.is_none() {
            check_may_be_absent(assessment, selector)?;
            for target in targets_of(assessment, scope, selector) {
                let mut required = required.iter();
                required.try_for_each(|matcher| check_speaks_for(target, selector, matcher))?;
            }
        }
    }
    Ok(())
}

/// Checks that a result includes every target. A target that exposes the family without a label by which the query selects
/// may have any part of it; if the result is 0, so may a target whose page does not have the family at all.
pub(crate) fn complete(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
    policy: &Policy,
    is_zero: bool,
) -> Result<(), String> {
    let by_proof = is_zero && policy.absent != Absent::Zero;
    if query.kind != Kind::Other {
        selectors_cover(assessment, scope, query, is_zero, by_proof)?;
    } else if by_proof {
        demand_is_shown(assessment, scope, query)?;
    }
    losses::nothing_is_missing(assessment, scope, query, policy.absent)
}

/// S4b for a sum: no target has the family without a label that the query selects by; S4a where it is 0.
fn selectors_cover(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
    is_zero: bool,
    by_proof: bool,
) -> Result<(), String> {
    for selector in &query.selectors {
        let metric = selector.metric.as_deref();
        let family = metric.and_then(|metric| assessment.names.family(metric));
        let is_known = family.is_some_and(|(family, ..)| !family.class.is_of_engine());
        if !is_known && !is_zero {
            continue;
        }
        let required = required(selector, assessment);
        for target in targets_of(assessment, scope, selector) {
            if by_proof {
                check_witness(assessment, target, selector)?;
            }
            for matcher in &required {
                check_label_exists(assessment, target, selector, matcher.name(), false)?;
            }
        }
    }
    Ok(())
}

/// S4a for a query of no kind whose result is 0: every target that counts shows the demand that the query reads, or what
/// goes with it; of several names in an `or`, one. Where the query says what an absence means, a target of another kind need not.
fn demand_is_shown(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
) -> Result<(), String> {
    let measures = |selector: &&Selector| {
        let metric = selector.metric.as_deref();
        reads_demand(metric, &selector.matchers, assessment.names)
    };
    let of_demand = || query.selectors.iter().filter(measures);
    for selector in of_demand() {
        for target in targets_of(assessment, scope, selector) {
            let Err(why) = check_witness(assessment, target, selector) else {
                continue;
            };
            let of_other = |at: usize| {
                let other = &query.selectors[at];
                let concerns = measures(&other) && reads_page(assessment, target, other);
                concerns.then(|| shows(assessment, target, other))
            };
            let has_constant = query.fallback.is_some() || selector.alternatives.has_constant;
            let is_excused =
                has_constant && is_of_another_kind(assessment, target, selector, of_demand());
            if !is_excused && !selector.alternatives.stand_in(&of_other) {
                return Err(why);
            }
        }
    }
    Ok(())
}

/// Whether a target never shows what a selector reads: nobody of its group ever did, or its page shows the demand of another
/// server than that. A gateway whose flow control is off is of the kind of those where it is on.
fn is_of_another_kind<'a>(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
    mut of_demand: impl Iterator<Item = &'a Selector>,
) -> bool {
    let names = assessment.names;
    let group = assessment.facts.groups.get(&target.group);
    let exposed = group.into_iter().flat_map(|group| group.exposed.iter());
    if !scope::exposes(exposed.map(|metric| &**metric), names, selector) {
        return true;
    }
    let server = |one: &Selector| {
        let (family, ..) = names.family(one.metric.as_deref()?)?;
        Some(family.class.engine())
    };
    let of_selector = server(selector);
    of_demand.any(|one| server(one) != of_selector && shows(assessment, target, one))
}

/// S4b: of what a caller asks for by a label that no series has, but the query writes, nothing is proven.
fn check_pins_carried(assessment: Assessment<'_>, query: &SignalQuery) -> Result<(), String> {
    let is_written = |label: &str| {
        !query
            .selectors
            .iter()
            .any(|selector| selector.carried.has(label))
    };
    match assessment.pins.iter().find(|(label, _)| is_written(label)) {
        Some((label, _)) => Err(format!(
            "the result is empty, and the query itself writes the label {label}: whether there is something with this \
             {label} is not known"
        )),
        None => Ok(()),
    }
}

/// The targets that count and that the selector does not rule out.
fn targets_of<'a>(
    assessment: Assessment<'a>,
    scope: &'a Scope,
    selector: &'a Selector,
) -> impl Iterator<Item = &'a TargetFacts> {
    let counting = scope.counting.iter();
    let targets = counting.filter_map(move |&id| assessment.facts.target(id));
    targets.filter(move |target| {
        scope::contradiction(target, assessment.names, selector, assessment.pins).is_none()
    })
}

/// The matchers that only series with the label can match: those of the selector, and the caller's pins of labels that the
/// result has from its series.
fn required(selector: &Selector, assessment: Assessment<'_>) -> Vec<Matcher> {
    let pinned = carried::conditions(&selector.carried, assessment.pins);
    selector.required().cloned().chain(pinned).collect()
}

/// S4a: the page has the family or a witness of it. The error names a feature gate that is off (S5).
fn check_witness(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
) -> Result<(), String> {
    if scope::is_report(selector) || shows(assessment, target, selector) {
        return Ok(());
    }
    let what = selector.text();
    Err(if what.contains("flow_control") {
        format!(
            "flow control seems to be off on {}: its page has neither {what} nor anything that goes with it; \
                 enable the flowControl feature gate",
            describe(target)
        )
    } else {
        format!(
            "the page of {} has neither {what} nor anything that proves its absence to mean 0",
            describe(target)
        )
    })
}

/// S4a: whether absence of the family can be a 0. A gauge of the pool or of a model server is there whenever its value is
/// known, so a page that shows others of it has lost these.
fn check_may_be_absent(assessment: Assessment<'_>, selector: &Selector) -> Result<(), String> {
    let metric = selector.metric.as_deref();
    match metric.filter(|metric| assessment.names.is_never_absent(metric)) {
        Some(metric) => Err(format!(
            "the result is empty, and {metric} is there whenever its value is known: its absence is never 0; add \
             `or vector(0)` or `absent: zero` if it is here"
        )),
        None => Ok(()),
    }
}

/// S4b: whether who a condition names is the target itself, and not a source behind it that may be down while its page is
/// good.
fn check_speaks_for(
    target: &TargetFacts,
    selector: &Selector,
    matcher: &Matcher,
) -> Result<(), String> {
    let label = matcher.name();
    if !target.names_source_behind(selector.metric.as_deref(), label) {
        return Ok(());
    }
    Err(format!(
        "the result is empty, and {} tells of several {label}s, so it may have lost what {matcher} names: its absence is no \
         0; add `or vector(0)` or `absent: zero` if it is here",
        describe(target)
    ))
}

/// S4b: the family has the label on this target. With `strictly` it is also an error if that is not known.
fn check_label_exists(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
    label: &str,
    strictly: bool,
) -> Result<(), String> {
    if target.constant_label(label).is_some() {
        return Ok(());
    }
    let Some(metric) = &selector.metric else {
        return match strictly {
            true => Err(format!(
                "no single metric is named, so whether it has the label {label} on {} is not known; name the metric",
                describe(target)
            )),
            false => Ok(()),
        };
    };
    match known_labels(assessment, target, metric) {
        Some(labels) if labels.has(label) => Ok(()),
        Some(labels) => Err(lacks(target, metric, label, labels.all())),
        None if strictly => Err(format!(
            "{metric} has not been shown yet by {}, so whether it has the label {label} is not known",
            describe(target)
        )),
        None => Ok(()),
    }
}

fn lacks(target: &TargetFacts, metric: &str, label: &str, mut has: Vec<&str>) -> String {
    has.retain(|label| target.constant_label(label).is_none());
    let has = match has.as_slice() {
        [] => "it has no label of its own".to_owned(),
        has => format!("it has {}", has.join(", ")),
    };
    let release = target.release().map(|release| format!(" ({release})"));
    format!(
        "{metric} has no label {label} on {}{}; {has}",
        target.name,
        release.unwrap_or_default()
    )
}

/// S4b for pools: the pages of the present process have named the pool that it serves.
fn check_pool_known(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
    matcher: &Matcher,
) -> Result<(), String> {
    let label = matcher.name();
    let of_pool = scope::is_pool_pin(assessment.names, selector, label)
        && target.constant_label(label).is_none();
    if !of_pool || target.pools.iter().any(|pool| matcher.matches(pool)) {
        return Ok(());
    }
    Err(match target.pools.is_empty() {
        true => format!(
            "{} has not said yet which pool it serves, so {matcher} may still come",
            describe(target)
        ),
        false => {
            let seen = seen::values(matcher, target.pools.iter().map(String::as_str));
            format!(
                "no pool that {} serves fits {matcher}{seen}",
                describe(target)
            )
        }
    })
}

/// What a query selects by that no series ever had, with what was seen instead; for reasons of results that are empty.
pub(crate) fn unseen(assessment: Assessment<'_>, query: &SignalQuery) -> Option<String> {
    query.selectors.iter().find_map(|selector| {
        let required = required(selector, assessment);
        let required = required
            .into_iter()
            .filter(|matcher| !scope::is_pool_pin(assessment.names, selector, matcher.name()));
        required
            .into_iter()
            .find_map(|matcher| never_had(assessment, query, &matcher))
    })
}

/// Of what a caller asks for, what no series ever had, with what was seen instead.
pub(crate) fn unseen_pin(assessment: Assessment<'_>, query: &SignalQuery) -> Option<String> {
    query.selectors.iter().find_map(|selector| {
        let pinned = carried::conditions(&selector.carried, assessment.pins);
        let is_pool =
            |matcher: &Matcher| scope::is_pool_pin(assessment.names, selector, matcher.name());
        let mut asked = pinned.iter().filter(|matcher| !is_pool(matcher));
        asked.find_map(|matcher| never_had(assessment, query, matcher))
    })
}

/// The reason, if no series of the scope's groups ever had a value that fits.
fn never_had(assessment: Assessment<'_>, query: &SignalQuery, matcher: &Matcher) -> Option<String> {
    let groups = || scope::groups(assessment, query);
    if groups().any(|group| group.has_had(matcher)) {
        return None;
    }
    let values = groups().flat_map(|group| group.values(matcher.name()));
    let seen = seen::values(matcher, values);
    Some(format!("no series ever had {matcher}{seen}"))
}

/// A value that no label has, for conditions that exclude.
const NO_VALUE: &str = "\u{fffd} no value";

/// S4b: the conditions on a label do not exclude every series, as those do that contradict one another, and `l=""` where the
/// family has the label. What they select is not idle: it does not exist.
fn check_can_be_met(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
    selector: &Selector,
) -> Result<(), String> {
    let pins = carried::pinned(&selector.carried, assessment.pins);
    let pinned: Vec<Matcher> = pins
        .map(|(label, value)| Matcher::equal(label, value))
        .collect();
    let conditions = || selector.matchers.iter().chain(&pinned);
    for (at, first) in conditions().enumerate() {
        let label = first.name();
        let is_known = label == METRIC_NAME || conditions().take(at).any(|one| one.name() == label);
        let meets = |value: &str| {
            let mut of_label = conditions().filter(|one| one.name() == label);
            of_label.all(|one| one.matches(value))
        };
        let is_equal = |one: &&Matcher| one.name() == label && one.op() == MatchOp::Equal;
        let mut equal = conditions().filter(is_equal).map(Matcher::value);
        if is_known || meets(NO_VALUE) || equal.any(|value| !value.is_empty() && meets(value)) {
            continue;
        }
        let mut groups = scope::groups(assessment, query);
        let is_met = groups.any(|group| group.values(label).any(meets));
        let mut targets = targets_of(assessment, scope, selector);
        let may_lack =
            meets("") && !targets.any(|target| has_label(assessment, target, selector, label));
        if !is_met && !may_lack {
            let of_label = conditions().filter(|one| one.name() == label);
            let of_label: Vec<String> = of_label.map(Matcher::to_string).collect();
            return Err(format!(
                "no series can have {}: its family has the label {label}",
                of_label.join(" and ")
            ));
        }
    }
    Ok(())
}

/// Whether the series of a selector have a label on a target, as far as that is known.
fn has_label(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
    label: &str,
) -> bool {
    let metric = selector.metric.as_deref();
    let labels = metric.and_then(|metric| known_labels(assessment, target, metric));
    labels.is_some_and(|labels| labels.has(label)) || target.constant_label(label).is_some()
}

/// S4b: every value that the query selects has occurred in its groups, so that it is no typing error.
fn check_values_seen(
    assessment: Assessment<'_>,
    query: &SignalQuery,
    selector: &Selector,
    required: &[Matcher],
) -> Result<(), String> {
    for matcher in required {
        let label = matcher.name();
        let waived = query.fallback.is_some() && REQUEST_LABELS.contains(&label);
        if waived || scope::is_pool_pin(assessment.names, selector, label) {
            continue; // pools are judged by target
        }
        if let Some(why) = never_had(assessment, query, matcher) {
            return Err(format!(
                "{why}; if that is not a typo but has had no traffic yet, `absent: zero` says so"
            ));
        }
    }
    Ok(())
}
