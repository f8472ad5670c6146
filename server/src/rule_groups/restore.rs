//! How long alerts have been pending over a restart: read from `ALERTS_FOR_STATE`, which a snapshot carries over
//! (rules/group.go, `RestoreForState`).

use std::collections::HashMap;

use stillwell_engine::Timestamp;
use stillwell_engine::labels::{Labels, METRIC_NAME, MatchOp, Matcher};
use stillwell_engine::promql::select::{Samples, SelectRequest, View, is_stale};

use super::alert::{ALERT_NAME, Alerts};
use super::file::RuleSpec;

/// What may be restored.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions {
    /// What was written longer ago is not.
    pub outage_tolerance_ms: u64,
    /// An alert waits at least so long after a restart, and one with a shorter `for` begins anew.
    pub grace_period_ms: u64,
}

/// Prometheus' defaults.
impl Default for RestoreOptions {
    fn default() -> RestoreOptions {
        RestoreOptions {
            outage_tolerance_ms: 3_600_000,
            grace_period_ms: 600_000,
        }
    }
}

/// Restores the alerts of one rule.
pub(super) fn restore(
    alerts: &mut Alerts,
    spec: &RuleSpec,
    for_ms: u64,
    at: Timestamp,
    view: &dyn View,
    options: &RestoreOptions,
) {
    if for_ms < options.grace_period_ms || alerts.active().next().is_none() {
        return;
    }
    let written = last_written(spec, at, view, options.outage_tolerance_ms);
    alerts.restore(|labels| {
        let (down_at_ms, active_at_ms) = *written.get(labels)?;
        let terms = (for_ms as i64, options.grace_period_ms as i64);
        Some(active_at_ms_now(active_at_ms, down_at_ms, at.ms(), terms))
    });
}

/// Per alert of the rule: when `ALERTS_FOR_STATE` was last written, and since when the alert was active then.
fn last_written(
    spec: &RuleSpec,
    at: Timestamp,
    view: &dyn View,
    tolerance_ms: u64,
) -> HashMap<Labels, (i64, i64)> {
    let is = |name: &str, value: &str| Matcher::new(MatchOp::Equal, name, value);
    let matchers = [
        is(METRIC_NAME, "ALERTS_FOR_STATE"),
        is(ALERT_NAME, &spec.name),
    ];
    let Ok(matchers) = matchers.into_iter().collect::<Result<Vec<_>, _>>() else {
        return HashMap::new(); // equality has no pattern that could be wrong
    };
    let after_ms = at.ms().saturating_sub(tolerance_ms as i64);
    let request = SelectRequest {
        last_only: true,
        ..SelectRequest::all(&matchers, after_ms, at.ms())
    };
    let Ok(found) = view.select(&request) else {
        return HashMap::new(); // no limit is given that could stop it
    };
    let mut scratch = Samples::default();
    let mut written = HashMap::with_capacity(found.len());
    for index in 0..found.len() {
        if let Some(last) = found.last(index, &mut scratch)
            && !is_stale(last.value)
            && last.value.is_finite()
        {
            let labels = found.labels(index).without_metric_name();
            written.insert(labels, (last.time_ms, (last.value * 1000.0) as i64));
        }
    }
    written
}

/// Since when an alert counts as active: the time without a server does not count as pending, and an alert that would
/// fire within the grace period fires at its end.
fn active_at_ms_now(
    active_at_ms: i64,
    down_at_ms: i64,
    now_ms: i64,
    (for_ms, grace_ms): (i64, i64),
) -> i64 {
    let remaining_ms = for_ms - down_at_ms.saturating_sub(active_at_ms);
    if remaining_ms <= 0 {
        active_at_ms
    } else if remaining_ms < grace_ms {
        now_ms.saturating_add(grace_ms) - for_ms
    } else {
        active_at_ms.saturating_add(now_ms.saturating_sub(down_at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_goes_on_after_a_restart_as_in_prometheus() {
        const MINUTE: i64 = 60_000;
        let for_and_grace = (30 * MINUTE, 10 * MINUTE);
        for (active_at, down_at, now, since, why) in [
            (0, 40, 45, 0, "it fired, and does"),
            (0, 30, 45, 0, "it was about to fire"),
            (
                0,
                25,
                45,
                25,
                "it has 5 minutes to go and gets the grace period of 10",
            ),
            (0, 20, 45, 25, "it has 10 minutes to go"),
            (0, 5, 45, 40, "it has 25 minutes to go"),
        ] {
            let minutes = |count: i64| count * MINUTE;
            let restored = active_at_ms_now(
                minutes(active_at),
                minutes(down_at),
                minutes(now),
                for_and_grace,
            );
            assert_eq!(restored, minutes(since), "{why}");
        }
    }
}
