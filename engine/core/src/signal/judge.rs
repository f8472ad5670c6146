//! From facts to a verdict: may this query's number be told now, and if not, why not (S2, S4, S5).

use crate::store::TargetId;

use super::facts::{Facts, TargetFacts};
use super::names::{Names, REQUEST_LABELS};
use super::needed::Kept;
use super::policy::{Absent, Policy};
use super::query::{Kind, Selector, SignalQuery};
use super::scope::{self, Pins, Scope};

/// What the targets allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every target that counts is fresh.
    Fresh,
    /// Some target is frozen, each for less than its hold. The time is the oldest last good scrape.
    Held { since_ms: i64, why: String },
    /// No number may be told.
    Unknown { why: String },
}

/// Judges the targets of a scope.
pub(crate) fn targets(
    facts: &Facts,
    scope: &Scope,
    query: &SignalQuery,
    policy: &Policy,
    now_ms: i64,
) -> Verdict {
    if let Some(why) = never_seen(facts, scope, query) {
        return Verdict::Unknown { why };
    }
    if scope.counting.is_empty() {
        return Verdict::Unknown {
            why: nobody_counts(scope, query),
        };
    }
    let mut oldest: Option<(i64, &TargetFacts)> = None;
    for &id in &scope.counting {
        let Some(target) = facts.target(id) else {
            continue;
        };
        if target.is_fresh(now_ms) {
            continue;
        }
        let Some(good_ms) = target.last_good_ms else {
            return Verdict::Unknown {
                why: never_good(target),
            };
        };
        if now_ms - good_ms >= policy.hold_ms(target.interval_ms) {
            return Verdict::Unknown {
                why: frozen(target, good_ms, now_ms),
            };
        }
        if oldest.is_none_or(|(oldest_ms, _)| good_ms < oldest_ms) {
            oldest = Some((good_ms, target));
        }
    }
    if let Some(why) = not_kept(facts, scope, query, now_ms) {
        return Verdict::Unknown { why };
    }
    match oldest {
        None => Verdict::Fresh,
        Some((since_ms, target)) => Verdict::Held {
            since_ms,
            why: frozen(target, since_ms, now_ms),
        },
    }
}

/// S3e. Where an `or` lets one side stand in for the other, only both missing is a fault.
fn never_seen(facts: &Facts, scope: &Scope, query: &SignalQuery) -> Option<String> {
    let &missing = scope.never_seen.first()?;
    let waits = facts.listed().find(|(_, target)| target.last.is_none());
    if let Some((_, target)) = waits {
        return Some(format!(
            "waiting for the first scrape of {}",
            describe(target)
        ));
    }
    if query.has_or && scope.never_seen.len() < query.selectors.len() {
        return None;
    }
    let unreachable = scope
        .counting
        .iter()
        .filter_map(|&id| facts.target(id))
        .find(|t| t.last_good_ms.is_none());
    if let Some(target) = unreachable {
        return Some(never_good(target));
    }
    let selector = &query.selectors[missing];
    let what = selector
        .metric
        .as_deref()
        .unwrap_or("a metric that the selector's name pattern fits");
    Some(format!(
        "{what} was never seen: no target exposes it, a name that means the same, or a metric that goes with it; \
         check the metric name and that flow control is on"
    ))
}

/// Where targets keep only what signals need, a signal that came later has to wait for what it needs, and for its
/// windows: what was not kept is not absent.
fn not_kept(facts: &Facts, scope: &Scope, query: &SignalQuery, now_ms: i64) -> Option<String> {
    shown(facts, scope, now_ms).find_map(|(id, target, good_ms)| {
        query.selectors.iter().find_map(|selector| {
            let window_s = match facts.kept(id, selector) {
                Kept::Always => return None,
                Kept::NotYet => {
                    return Some(format!(
                        "waiting for the next page of {}: its job has `retain: signals`, and until this signal came \
                         none needed what it reads",
                        describe(target)
                    ));
                }
                Kept::Since(since_ms) if since_ms <= good_ms.saturating_sub(selector.window_ms) => {
                    return None;
                }
                Kept::Since(_) => seconds(selector.window_ms),
            };
            Some(format!(
                "the window of {window_s} s is not covered yet: {} has `retain: signals` on its job and keeps what \
                 this signal reads only since the signal came",
                describe(target)
            ))
        })
    })
}

/// Targets whose series a query sees, with their last good scrape. One that stands by is seen while it is fresh.
fn shown<'a>(
    facts: &'a Facts,
    scope: &'a Scope,
    now_ms: i64,
) -> impl Iterator<Item = (TargetId, &'a TargetFacts, i64)> {
    let standby = scope.standby.iter().map(|&id| (id, false));
    let all = scope.counting.iter().map(|&id| (id, true)).chain(standby);
    all.filter_map(move |(id, counts)| {
        let target = facts.target(id)?;
        let good_ms = target.last_good_ms?;
        (counts || target.is_fresh(now_ms)).then_some((id, target, good_ms))
    })
}

/// S6b, for a signal that came later than what it reads was first shown: what was true before a change of process may
/// have been told by pages of which it was not kept.
pub(crate) fn known_before(
    facts: &Facts,
    scope: &Scope,
    query: &SignalQuery,
    change_ms: i64,
    grace_ms: i64,
) -> Result<(), String> {
    let before_ms = change_ms.saturating_sub(grace_ms);
    for (id, target, _) in shown(facts, scope, change_ms) {
        let is_late = |selector: &Selector| match facts.kept(id, selector) {
            Kept::Always => false,
            Kept::NotYet => true,
            Kept::Since(since_ms) => since_ms.saturating_add(selector.window_ms) > before_ms,
        };
        if query.selectors.iter().any(is_late) {
            return Err(format!(
                "a process changed soon after this signal came, and what was true before was not kept: {} has \
                 `retain: signals` on its job",
                describe(target)
            ));
        }
    }
    Ok(())
}

fn nobody_counts(scope: &Scope, query: &SignalQuery) -> String {
    let pins: Vec<String> = query
        .selectors
        .iter()
        .flat_map(|s| &s.pins)
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    match (scope.standby.len(), pins.is_empty()) {
        (0, true) => "no target is in scope: none is listed by discovery now".to_owned(),
        (0, false) => format!("no target is in scope: none fits {}", pins.join(", ")),
        (count, _) => format!("no target is in scope: {count} stand by and none leads"),
    }
}

fn describe(target: &TargetFacts) -> String {
    match target.labels.get("job") {
        Some(job) => format!("{} (job {job})", target.name),
        None => target.name.clone(),
    }
}

fn never_good(target: &TargetFacts) -> String {
    if target.last.is_none() {
        return format!("waiting for the first scrape of {}", describe(target));
    }
    format!(
        "{} has never given a good page ({}), so nobody knows which pool it serves; bring it back, or give it an \
         inference_pool target label",
        describe(target),
        target.error
    )
}

fn frozen(target: &TargetFacts, good_ms: i64, now_ms: i64) -> String {
    let age = seconds(now_ms - good_ms);
    match target.last {
        Some((_, false)) => format!("{} fails since {age} s: {}", describe(target), target.error),
        _ => format!(
            "{} gave its last page {age} s ago, and the scrape under way has not ended",
            describe(target)
        ),
    }
}

pub(crate) fn seconds(ms: i64) -> String {
    format!("{:.1}", ms as f64 / 1000.0)
}

/// S4: whether an empty result means 0. `Err` names what is not proven.
pub(crate) fn absence(
    facts: &Facts,
    names: &Names,
    scope: &Scope,
    query: &SignalQuery,
    policy: &Policy,
    pins: Pins<'_>,
    at_ms: i64,
) -> Result<(), String> {
    if policy.absent == Absent::Unknown {
        return Err(
            "the result is empty, and `absent: unknown` says that this is never 0".to_owned(),
        );
    }
    if let Some(why) = never_seen(facts, scope, query) {
        return Err(why);
    }
    if scope.counting.is_empty() {
        return Err(nobody_counts(scope, query));
    }
    windows_covered(facts, scope, query, policy, at_ms)?;
    if policy.absent == Absent::Zero {
        return Ok(());
    }
    if query.kind == Kind::Other && query.fallback.is_none() {
        return Err(
            "the result is empty, and only of a sum, or of a max of demand, does that mean 0; add \
                    `or vector(0)` or `absent: zero` if it does here"
                .to_owned(),
        );
    }
    for selector in &query.selectors {
        for &id in &scope.counting {
            let Some(target) = facts.target(id) else {
                continue;
            };
            if scope::contradicts(target, names, selector, pins) {
                continue;
            }
            witnessed(names, target, selector)?;
        }
        for (label, value) in selector.pins.iter().chain(pins) {
            if query.fallback.is_some() && REQUEST_LABELS.contains(&label.as_str()) {
                continue;
            }
            let seen = scope.groups.iter().any(|group| {
                facts
                    .groups
                    .get(group)
                    .is_some_and(|group| group.has_seen(label, value))
            });
            if !seen {
                return Err(format!(
                    "no series ever had {label}={value:?}; if that is not a typo but has had no traffic yet, \
                     `absent: zero` says so"
                ));
            }
        }
    }
    Ok(())
}

/// S4a, and the row of S5 for a gate that is off.
fn witnessed(names: &Names, target: &TargetFacts, selector: &Selector) -> Result<(), String> {
    if scope::exposes(
        target.metrics.keys().map(|metric| &**metric),
        names,
        selector,
    ) {
        return Ok(());
    }
    let metric = selector.metric.as_deref().unwrap_or("the metric");
    let flow_control = metric.contains("flow_control");
    Err(if flow_control {
        format!(
            "flow control seems to be off on {}: its page has neither {metric} nor anything that goes with it; \
                 enable the flowControl feature gate",
            describe(target)
        )
    } else {
        format!(
            "the page of {} has neither {metric} nor anything that goes with it",
            describe(target)
        )
    })
}

/// S4c, and for other queries after a start (S6b, S6d).
pub(crate) fn windows_covered(
    facts: &Facts,
    scope: &Scope,
    query: &SignalQuery,
    policy: &Policy,
    at_ms: i64,
) -> Result<(), String> {
    let window_ms = query
        .selectors
        .iter()
        .map(|selector| selector.window_ms)
        .max()
        .unwrap_or(0);
    if window_ms == 0 {
        return Ok(());
    }
    for target in scope
        .counting
        .iter()
        .filter_map(|&id: &TargetId| facts.target(id))
    {
        let until_ms = target.last_good_ms.unwrap_or(at_ms).min(at_ms);
        if !target.covers(
            until_ms - window_ms,
            until_ms,
            policy.hold_ms(target.interval_ms),
        ) {
            return Err(format!(
                "the window of {} s is not covered yet: {} has gaps in it, or was first seen inside it",
                seconds(window_ms),
                describe(target)
            ));
        }
    }
    Ok(())
}

/// S6b: the serving processes of other queries must have run for the whole window.
pub(crate) fn processes_cover(
    facts: &Facts,
    scope: &Scope,
    query: &SignalQuery,
    at_ms: i64,
) -> Result<(), String> {
    let window_ms = query
        .selectors
        .iter()
        .map(|selector| selector.window_ms)
        .max()
        .unwrap_or(0);
    for target in scope.counting.iter().filter_map(|&id| facts.target(id)) {
        let until_ms = target.last_good_ms.unwrap_or(at_ms).min(at_ms);
        if target
            .process_since_ms
            .is_some_and(|since_ms| since_ms > until_ms - window_ms)
            && target
                .changes_ms
                .back()
                .is_some_and(|&change_ms| change_ms > until_ms - window_ms)
        {
            return Err(format!(
                "{} restarted, and its new process has not yet filled the window of {} s",
                describe(target),
                seconds(window_ms)
            ));
        }
    }
    Ok(())
}
