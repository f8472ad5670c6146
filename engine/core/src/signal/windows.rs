//! S4c: whether good pages cover the time that a query looks back to.

use super::assessment::{Assessment, clock_time, describe, seconds};
use super::facts::{TargetFacts, Uncovered};
use super::policy::Policy;
use super::query::{Selector, SignalQuery};
use super::scope::Scope;

/// S4c: good pages cover the window of the query; for queries other than demand also after a start (S6b, S6f).
pub(super) fn windows_covered(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
    policy: &Policy,
    at_ms: i64,
) -> Result<(), String> {
    let window_ms = query.window_ms();
    if window_ms == 0 {
        return Ok(());
    }
    let counting = scope.counting.iter();
    for target in counting.filter_map(|&id| assessment.facts.target(id)) {
        let until_ms = target.last_good_ms.unwrap_or(at_ms).min(at_ms);
        let from_ms = until_ms.saturating_sub(window_ms);
        let hold_ms = policy.hold_ms(target.interval_ms);
        let selectors = || query.selectors.iter();
        let tells_of_itself = || selectors().all(|selector| tells_of_itself(target, selector));
        let window = (from_ms, until_ms);
        if let Some(lack) = target.uncovered(window, hold_ms, tells_of_itself) {
            return Err(match query.has_open_window() {
                true => "the query looks back to a time that is not known beforehand (`@`), which no window covers; \
                         write a range or an offset"
                    .to_owned(),
                false => why_uncovered(target, &lack, window_ms),
            });
        }
    }
    Ok(())
}

/// Whether what a selector reads of a target is its own, and not told of sources behind it.
fn tells_of_itself(target: &TargetFacts, selector: &Selector) -> bool {
    let metric = selector.metric.as_deref();
    metric.is_some_and(|metric| !target.tells_of_sources(metric))
}

/// Times, not ages (S9e), and until when it is so.
fn why_uncovered(target: &TargetFacts, lack: &Uncovered, window_ms: i64) -> String {
    let (window, of) = (seconds(window_ms), describe(target));
    let full = |ms: i64| clock_time(ms.saturating_add(window_ms));
    match *lack {
        Uncovered::Gap {
            after_ms,
            before_ms,
        } => format!(
            "the window of {window} is not covered before {}: {of} gave no good page for {} until {}; a `hold` of the \
             signal that is longer bridges that",
            full(before_ms),
            seconds(before_ms - after_ms),
            clock_time(before_ms),
        ),
        Uncovered::Before {
            since_ms: Some(since_ms),
        } => format!(
            "the window of {window} is not covered before {}: {of} is known since {}",
            full(since_ms),
            clock_time(since_ms),
        ),
        Uncovered::Before { since_ms: None } => {
            format!("the window of {window} is not covered: {of} gave no good page yet")
        }
    }
}
