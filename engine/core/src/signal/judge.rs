//! The verdict on the targets of a query: whether its number may be reported now, and if not, why (S2, S5). What an empty
//! result means is decided in `absence`.

use std::collections::BTreeSet;

use crate::store::TargetId;

use super::assessment::{Assessment, clock_time, describe, seconds};
use super::facts::TargetFacts;
use super::policy::Policy;
use super::query::{Selector, SignalQuery};
use super::retain_set::Retained;
use super::scope::{self, Contradiction, Scope, Wanted};
use super::seen;
use super::unlisted::why_not_scraped;

/// The verdict on the targets of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every target that counts is fresh.
    Fresh,
    /// Some target is frozen for less than its hold. The time is the oldest of their last good scrapes, in milliseconds.
    Held { since_ms: i64, why: String },
    /// No number may be reported.
    Unknown { why: String },
}

/// Judges the targets of a scope.
pub(crate) fn targets(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
    policy: &Policy,
) -> Verdict {
    let Assessment { facts, now_ms, .. } = assessment;
    if let Some(why) = never_seen(assessment, scope, query) {
        return Verdict::Unknown { why };
    }
    if scope.counting.is_empty() {
        return Verdict::Unknown {
            why: no_target_counts(assessment, scope, query),
        };
    }
    let mut oldest: Option<(i64, &TargetFacts)> = None;
    for target in scope.counting.iter().filter_map(|&id| facts.target(id)) {
        if target.is_fresh(now_ms) {
            continue;
        }
        let Some(good_ms) = target.last_good_ms.filter(|_| !target.awaits_page) else {
            return Verdict::Unknown {
                why: never_good(target),
            };
        };
        let hold_ms = policy.hold_ms(target.interval_ms);
        if now_ms - good_ms >= hold_ms || target.is_awaited(now_ms, hold_ms) {
            return Verdict::Unknown {
                why: frozen(assessment, target, good_ms),
            };
        }
        if oldest.is_none_or(|(oldest_ms, _)| good_ms < oldest_ms) {
            oldest = Some((good_ms, target));
        }
    }
    if let Some(why) = not_retained(assessment, scope, query) {
        return Verdict::Unknown { why };
    }
    match oldest {
        None => Verdict::Fresh,
        Some((since_ms, target)) => Verdict::Held {
            since_ms,
            why: frozen(assessment, target, since_ms),
        },
    }
}

/// Whether the verdict on these targets is `Fresh`, without the reason where it is not: for each commit, which allocates
/// nothing while a target is frozen or a metric was never seen.
pub(crate) fn are_fresh(assessment: Assessment<'_>, scope: &Scope, query: &SignalQuery) -> bool {
    let Assessment { facts, now_ms, .. } = assessment;
    let mut counting = scope.counting.iter().filter_map(|&id| facts.target(id));
    !scope.counting.is_empty()
        && unseen(assessment, scope, query).is_none()
        && counting.all(|target| target.is_fresh(now_ms))
        && unretained(assessment, scope, query).is_none()
}

/// What a signal waits for whose selector no target ever matched.
enum Unseen<'a> {
    /// A target that has not given a good page.
    Target(&'a TargetFacts),
    /// A metric that nobody exposes.
    Metric(&'a Selector),
}

/// S3e: whether a selector that no target ever matched makes the signal unknown. Not if what stands beside it in an `or` was
/// matched, or is a constant and any other selector was.
fn unseen<'a>(
    assessment: Assessment<'a>,
    scope: &Scope,
    query: &'a SignalQuery,
) -> Option<Unseen<'a>> {
    scope.never_seen.first()?;
    let waits = assessment
        .facts
        .listed()
        .find(|(_, target)| target.last.is_none() || is_to_be_read(target));
    if let Some((_, target)) = waits {
        return Some(Unseen::Target(target));
    }
    let is_seen = |index: usize| Some(!scope.never_seen.contains(&index));
    let none_is_seen = scope.never_seen.len() == query.selectors.len();
    let is_replaced = |selector: &Selector| {
        let alternatives = &selector.alternatives;
        alternatives.stand_in(&is_seen) || (alternatives.has_constant && !none_is_seen)
    };
    let unseen = scope.never_seen.iter().map(|&at| &query.selectors[at]);
    let missing = unseen.into_iter().find(|one| !is_replaced(one))?;
    let unreachable = scope
        .counting
        .iter()
        .filter_map(|&id| assessment.facts.target(id))
        .find(|target| target.is_unknown());
    Some(match unreachable {
        Some(target) => Unseen::Target(target),
        None => Unseen::Metric(missing),
    })
}

/// The same as a reason.
pub(super) fn never_seen(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
) -> Option<String> {
    let selector = match unseen(assessment, scope, query)? {
        Unseen::Target(target) => return Some(never_good(target)),
        // At the start, before discovery has told of any.
        Unseen::Metric(_) if assessment.facts.listed().next().is_none() => {
            return Some("no target is known: none was found yet, or all have left".to_owned());
        }
        Unseen::Metric(selector) => selector,
    };
    let what = match selector.metric {
        Some(_) => selector.text(),
        None => format!("a metric that {} fits", selector.text()),
    };
    Some(format!(
        "{what} was never seen: no target exposes it, a name that means the same, or a metric that goes with it; \
         check the metric name and that flow control is on"
    ))
}

/// The metric seen whose name comes near one that no target ever exposed, as the end of a reason. It looks at every name
/// that was seen, so it is for readings that somebody asked for, and not for every commit.
pub(super) fn nearest_metric(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
) -> String {
    let unseen = scope.never_seen.iter();
    let mut metrics = unseen.filter_map(|&at| query.selectors.get(at)?.metric.as_deref());
    let Some(metric) = metrics.next() else {
        return String::new();
    };
    let groups = assessment.facts.groups.values();
    let exposed = groups.flat_map(|group| group.exposed.iter().map(|metric| &**metric));
    seen::metric(metric, exposed)
}

/// With `retain: signals`, a signal that was registered later is unknown until a page of each target was stored for it, and
/// until its windows reach back no further than that: what was not stored is not absent. The target of which too little is
/// stored, and the length of the window; `None` where it is waited for a page.
fn unretained<'a>(
    assessment: Assessment<'a>,
    scope: &'a Scope,
    query: &SignalQuery,
) -> Option<(&'a TargetFacts, Option<i64>)> {
    visible_targets(assessment, scope, assessment.now_ms).find_map(|(id, target, good_ms)| {
        query.selectors.iter().find_map(|selector| {
            let covered_ms = good_ms.saturating_sub(selector.window_ms);
            match assessment.facts.retained(id, selector) {
                Retained::Always => None,
                Retained::NotYet => Some((target, None)),
                Retained::Since(since_ms) if since_ms <= covered_ms => None,
                Retained::Since(_) => Some((target, Some(selector.window_ms))),
            }
        })
    })
}

/// The same as a reason. Costs nothing where every target keeps all of its samples.
pub(super) fn not_retained(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
) -> Option<String> {
    if assessment.facts.requirements.keep_all() {
        return None;
    }
    let (target, window_ms) = unretained(assessment, scope, query)?;
    Some(match window_ms {
        None => format!(
            "waiting for the next page of {}: its job has `retain: signals`, and until this signal came none needed \
             what it reads",
            describe(target)
        ),
        Some(window_ms) => format!(
            "the window of {} is not covered yet: {} has `retain: signals` on its job and keeps what this signal reads \
             only since the signal came",
            seconds(window_ms),
            describe(target)
        ),
    })
}

/// Targets whose series a query sees at `at_ms`, with the time of their last good scrape: those that count, and standbys
/// while they are fresh.
fn visible_targets<'a>(
    assessment: Assessment<'a>,
    scope: &'a Scope,
    at_ms: i64,
) -> impl Iterator<Item = (TargetId, &'a TargetFacts, i64)> {
    let standby = scope.standby.iter().map(|&id| (id, false));
    let all = scope.counting.iter().map(|&id| (id, true)).chain(standby);
    all.filter_map(move |(id, counts)| {
        let target = assessment.facts.target(id)?;
        let good_ms = target.last_good_ms?;
        (counts || target.is_fresh(at_ms)).then_some((id, target, good_ms))
    })
}

/// S6b with `retain: signals`: if the signal was registered shortly before a change of process, the value before it is not
/// known, because the samples were not stored. Error: for which target.
pub(crate) fn known_before(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
    change_ms: i64,
    grace_ms: i64,
) -> Result<(), String> {
    let before_ms = change_ms.saturating_sub(grace_ms);
    for (id, target, _) in visible_targets(assessment, scope, change_ms) {
        let is_late = |selector: &Selector| match assessment.facts.retained(id, selector) {
            Retained::Always => false,
            Retained::NotYet => true,
            Retained::Since(since_ms) => since_ms.saturating_add(selector.window_ms) > before_ms,
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

/// Targets that a reason lists by name.
const NAMED_TARGETS_MAX: usize = 3;

/// Why no target is in scope: what excludes those that expose what the query reads.
pub(super) fn no_target_counts(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
) -> String {
    let standby = scope.standby.len();
    if standby > 0 {
        return format!("no target is in scope: {standby} stand by and none leads");
    }
    if let Some(why) = fits_and_shows_nothing(assessment, scope, query) {
        return why;
    }
    let excluded = scope.others(assessment.facts).filter_map(|(_, target)| {
        let selector = query.selectors.iter().find(|selector| {
            let group = assessment.facts.groups.get(&target.group);
            scope::is_report(selector)
                || group.is_some_and(|group| {
                    scope::exposes(
                        group.exposed.iter().map(|m| &**m),
                        assessment.names,
                        selector,
                    )
                })
        })?;
        let found = scope::contradiction(target, assessment.names, selector, assessment.pins)?;
        Some(contradicted(target, &found))
    });
    let reasons: BTreeSet<String> = excluded.collect();
    if reasons.is_empty() {
        return "no target is in scope: none that exposes it is listed by discovery now".to_owned();
    }
    let named: Vec<&str> = reasons.iter().map(String::as_str).collect();
    let more = match named.len().saturating_sub(NAMED_TARGETS_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let named = &named[..named.len().min(NAMED_TARGETS_MAX)];
    format!("no target is in scope: {}{more}", named.join("; "))
}

/// The reason, if a target has the labels that a selector pins but its group never exposed what it reads.
fn fits_and_shows_nothing(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
) -> Option<String> {
    scope.others(assessment.facts).find_map(|(_, target)| {
        let selector = query.selectors.iter().find(|selector| {
            let mut required = selector.required();
            required.any(|matcher| {
                let has = target.constant_label(matcher.name());
                has.is_some_and(|has| matcher.matches(has))
            }) && scope::contradiction(target, assessment.names, selector, assessment.pins)
                .is_none()
        })?;
        target.last_good_ms?;
        Some(format!(
            "the page of {} has neither {} nor anything that goes with it",
            describe(target),
            selector.text()
        ))
    })
}

fn contradicted(target: &TargetFacts, found: &Contradiction<'_>) -> String {
    match found {
        Contradiction::Label { label, wanted, has } => {
            format!(
                "{wanted} does not fit {}, which has {label}={has:?}",
                target.name
            )
        }
        Contradiction::Pool { wanted } => {
            let pools: Vec<String> = target
                .pools
                .iter()
                .map(|pool| format!("{pool:?}"))
                .collect();
            let serves = format!("{} now serves {}", target.name, pools.join(", "));
            match wanted {
                Wanted::Pin(_, value) => format!("{serves}, not {value:?}"),
                Wanted::Matcher(matcher) => format!("{serves}, which {matcher} does not fit"),
            }
        }
    }
}

/// Whether it answers, and its next page is the first under its configuration.
fn is_to_be_read(target: &TargetFacts) -> bool {
    target.awaits_page && target.last.is_some_and(|(_, good)| good)
}

fn never_good(target: &TargetFacts) -> String {
    if is_to_be_read(target) {
        return format!(
            "waiting for the first scrape of {} under its new configuration",
            describe(target)
        );
    }
    if target.awaits_page {
        return format!(
            "{} has given no good page under its new configuration: {}; what it shows by that is not known until it does",
            describe(target),
            target.first_error
        );
    }
    if target.last.is_none() {
        return format!("waiting for the first scrape of {}", describe(target));
    }
    format!(
        "{} has never given a good page: {}; which pool it serves is only known from an inference_pool target label \
         until it does",
        describe(target),
        target.first_error
    )
}

fn frozen(assessment: Assessment<'_>, target: &TargetFacts, good_ms: i64) -> String {
    let since = clock_time(good_ms);
    if let Some(why) = why_not_scraped(assessment, target) {
        return format!("{} gave its last page at {since}: {why}", describe(target));
    }
    match target.last {
        Some((_, false)) => format!(
            "{} fails since {since}: {}",
            describe(target),
            target.first_error
        ),
        _ => format!(
            "{} gave its last page at {since}, and the scrape under way has not ended",
            describe(target)
        ),
    }
}

/// S6b: for queries other than demand, the serving processes must have run for the whole window.
pub(crate) fn processes_cover(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
) -> Result<(), String> {
    let at_ms = assessment.now_ms;
    let window_ms = query.window_ms();
    let counting = scope.counting.iter();
    for target in counting.filter_map(|&id| assessment.facts.target(id)) {
        let until_ms = target.last_good_ms.unwrap_or(at_ms).min(at_ms);
        let from_ms = until_ms.saturating_sub(window_ms);
        let is_new = target.process_since_ms.is_some_and(|ms| ms > from_ms);
        if is_new && target.changes_ms.back().is_some_and(|&ms| ms > from_ms) {
            return Err(match query.has_open_window() {
                true => format!(
                    "{} restarted, and the query looks back to a time that is not known beforehand (`@`)",
                    describe(target)
                ),
                false => format!(
                    "{} restarted, and its new process has not yet filled the window of {}",
                    describe(target),
                    seconds(window_ms)
                ),
            });
        }
    }
    Ok(())
}
