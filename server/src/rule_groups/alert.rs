//! The alerts of one rule from one evaluation to the next (rules/alerting.go).

use std::collections::BTreeMap;

use stillwell_engine::labels::{Labels, METRIC_NAME};

/// The label that names the alert.
pub(super) const ALERT_NAME: &str = "alertname";
/// An alert that is over is remembered this long.
const RESOLVED_MS: i64 = 15 * 60_000;

/// What an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Its element is gone.
    Inactive,
    /// Its element is not there for long enough.
    Pending,
    /// It fires.
    Firing,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            State::Inactive => "inactive",
            State::Pending => "pending",
            State::Firing => "firing",
        }
    }
}

/// One alert.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub(super) annotations: Labels,
    pub(super) state: State,
    pub(super) active_at_ms: i64,
    pub(super) keep_firing_since_ms: Option<i64>,
    fired_at_ms: i64,
    resolved_at_ms: Option<i64>,
    last_sent_ms: Option<i64>,
    pub(super) value: f64,
}

/// An alert that Alertmanagers have to be told of.
pub(super) struct Due<'a> {
    pub(super) labels: &'a Labels,
    pub(super) annotations: &'a Labels,
    pub(super) fired_at_ms: i64,
    /// When it was over, where it is.
    pub(super) resolved_at_ms: Option<i64>,
}

/// An element of the rule's query, its labels and annotations filled in.
pub(super) struct Element {
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    pub(super) value: f64,
}

/// The alerts of one rule, by their labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Alerts {
    by_labels: BTreeMap<Labels, Alert>,
}

/// How long alerts wait, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) for_ms: u64,
    pub(super) keep_firing_for_ms: u64,
    /// 0 is any number.
    pub(super) limit: u64,
}

impl Alerts {
    /// Takes the elements of an evaluation at `now_ms`. Answers the series to write.
    pub(super) fn step(
        &mut self,
        elements: Vec<Element>,
        now_ms: i64,
        terms: Terms,
    ) -> Result<Vec<(Labels, f64)>, String> {
        let mut present: BTreeMap<Labels, Element> = BTreeMap::new();
        for element in elements {
            if present.insert(element.labels.clone(), element).is_some() {
                let why =
                    "vector contains metrics with the same labelset after applying alert labels";
                return Err(why.to_owned());
            }
        }
        for (labels, element) in &present {
            match self.by_labels.get_mut(labels) {
                Some(alert) if alert.state != State::Inactive => {
                    alert.value = element.value;
                    alert.annotations = element.annotations.clone();
                }
                _ => {
                    let alert = Alert {
                        annotations: element.annotations.clone(),
                        state: State::Pending,
                        active_at_ms: now_ms,
                        keep_firing_since_ms: None,
                        fired_at_ms: now_ms,
                        resolved_at_ms: None,
                        last_sent_ms: None,
                        value: element.value,
                    };
                    self.by_labels.insert(labels.clone(), alert);
                }
            }
        }
        let mut active = 0;
        let mut series = Vec::new();
        self.by_labels.retain(|labels, alert| {
            let is_present = present.contains_key(labels);
            if !advance(alert, is_present, now_ms, terms) {
                return keep(alert, now_ms);
            }
            active += 1;
            series.extend(samples(labels, alert));
            true
        });
        if terms.limit > 0 && active > terms.limit {
            self.by_labels.clear();
            let limit = terms.limit;
            return Err(format!("exceeded limit of {limit} with {active} alerts"));
        }
        Ok(series)
    }

    /// The alerts that have to be sent at `now_ms`: those that fire, again after `resend_ms`, and those that are over,
    /// at once and then likewise for as long as they are remembered. They count as sent.
    pub(super) fn take_due(
        &mut self,
        now_ms: i64,
        resend_ms: u64,
    ) -> impl Iterator<Item = Due<'_>> {
        self.by_labels
            .iter_mut()
            .filter_map(move |(labels, alert)| {
                if !must_be_sent(alert, now_ms, resend_ms) {
                    return None;
                }
                alert.last_sent_ms = Some(now_ms);
                Some(Due {
                    labels,
                    annotations: &alert.annotations,
                    fired_at_ms: alert.fired_at_ms,
                    resolved_at_ms: alert.resolved_at_ms,
                })
            })
    }

    /// Moves the start of each alert that is active to what `restored` says of it.
    pub(super) fn restore(&mut self, restored: impl Fn(&Labels) -> Option<i64>) {
        for (labels, alert) in &mut self.by_labels {
            if alert.state != State::Inactive
                && let Some(active_at_ms) = restored(labels)
            {
                alert.active_at_ms = active_at_ms;
            }
        }
    }

    /// The alerts that are pending or fire.
    pub(super) fn active(&self) -> impl Iterator<Item = (&Labels, &Alert)> {
        let all = self.by_labels.iter();
        all.filter(|(_, alert)| alert.state != State::Inactive)
    }

    /// The most urgent state.
    pub(super) fn state(&self) -> State {
        let states = self.active().map(|(_, alert)| alert.state);
        states.max().unwrap_or(State::Inactive)
    }
}

/// Moves an alert on; answers whether it is active.
fn advance(alert: &mut Alert, is_present: bool, now_ms: i64, terms: Terms) -> bool {
    if is_present {
        alert.keep_firing_since_ms = None;
    } else {
        let mut fires_on = false;
        if alert.state == State::Firing && terms.keep_firing_for_ms > 0 {
            let since_ms = *alert.keep_firing_since_ms.get_or_insert(now_ms);
            fires_on = lasts(since_ms, now_ms) < terms.keep_firing_for_ms;
        }
        if !fires_on {
            if alert.state == State::Firing {
                alert.resolved_at_ms = Some(now_ms);
            }
            alert.state = State::Inactive;
            return false;
        }
    }
    if alert.state == State::Pending && lasts(alert.active_at_ms, now_ms) >= terms.for_ms {
        alert.state = State::Firing;
        alert.fired_at_ms = now_ms;
    }
    true
}

/// rules/alerting.go, `needsSending`.
fn must_be_sent(alert: &Alert, now_ms: i64, resend_ms: u64) -> bool {
    if alert.state == State::Pending {
        return false;
    }
    let Some(sent_ms) = alert.last_sent_ms else {
        return true;
    };
    alert.resolved_at_ms.is_some_and(|ms| ms > sent_ms) || lasts(sent_ms, now_ms) > resend_ms
}

/// Whether an alert that is over is remembered: one that fired, for a while.
fn keep(alert: &Alert, now_ms: i64) -> bool {
    alert
        .resolved_at_ms
        .is_some_and(|resolved_ms| now_ms.saturating_sub(resolved_ms) <= RESOLVED_MS)
}

fn lasts(since_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(since_ms)).unwrap_or(0)
}

/// `ALERTS` and `ALERTS_FOR_STATE` of an alert.
fn samples(labels: &Labels, alert: &Alert) -> [(Labels, f64); 2] {
    let mut shown = labels.to_builder();
    shown.set(METRIC_NAME, "ALERTS");
    shown.set("alertstate", alert.state.as_str());
    let mut since = labels.to_builder();
    since.set(METRIC_NAME, "ALERTS_FOR_STATE");
    let active_at_s = alert.active_at_ms.div_euclid(1000);
    [(shown.build(), 1.0), (since.build(), active_at_s as f64)]
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;

    use super::*;

    const TERMS: Terms = Terms {
        for_ms: 20,
        keep_firing_for_ms: 0,
        limit: 0,
    };

    fn element(value: f64) -> Element {
        Element {
            labels: labels! {"alertname" => "A", "x" => "y"},
            annotations: labels! {"v" => "1"},
            value,
        }
    }

    fn states(terms: Terms, present: &[(i64, bool)]) -> Vec<String> {
        let mut alerts = Alerts::default();
        let step = |(now_ms, there): &(i64, bool)| {
            let elements = there.then(|| element(1.0)).into_iter().collect();
            let series = alerts.step(elements, *now_ms, terms).expect("no limit");
            let shown = series
                .first()
                .and_then(|(labels, _)| labels.get("alertstate"));
            format!("{}/{}", alerts.state().as_str(), shown.unwrap_or("-"))
        };
        present.iter().map(step).collect()
    }

    #[test]
    fn an_alert_is_pending_fires_and_ends() {
        let there = [(0, true), (10, true), (20, true), (30, false), (40, true)];
        assert_eq!(
            states(TERMS, &there),
            [
                "pending/pending",
                "pending/pending",
                "firing/firing",
                "inactive/-",
                "pending/pending"
            ]
        );
        let at_once = Terms { for_ms: 0, ..TERMS };
        assert_eq!(states(at_once, &[(0, true)]), ["firing/firing"]);
        let pending = [(0, true), (10, false), (20, true), (30, true)];
        assert_eq!(
            states(TERMS, &pending)[3],
            "pending/pending",
            "the wait begins again"
        );
    }

    #[test]
    fn an_alert_fires_on_for_as_long_as_it_is_told() {
        let terms = Terms {
            for_ms: 0,
            keep_firing_for_ms: 20,
            limit: 0,
        };
        let there = [(0, true), (10, false), (20, false), (30, false), (40, true)];
        assert_eq!(
            states(terms, &there),
            [
                "firing/firing",
                "firing/firing",
                "firing/firing",
                "inactive/-",
                "firing/firing"
            ]
        );
    }

    #[test]
    fn alerts_are_sent_when_they_fire_when_they_are_over_and_again_after_the_delay() {
        let mut alerts = Alerts::default();
        let mut sent = Vec::new();
        for (now_ms, is_there) in [
            (0, true),
            (20, true),
            (30, true),
            (71, true),
            (80, false),
            (90, false),
            (131, false),
            (140, true),
        ] {
            let elements = is_there.then(|| element(1.0)).into_iter().collect();
            alerts.step(elements, now_ms, TERMS).expect("no limit");
            let due = alerts.take_due(now_ms, 50);
            sent.extend(due.map(|due| (now_ms, due.fired_at_ms, due.resolved_at_ms)));
        }
        assert_eq!(
            sent,
            [
                (20, 20, None),
                (71, 20, None),
                (80, 20, Some(80)),
                (131, 20, Some(80)),
            ],
            "a pending one is not sent"
        );
    }

    #[test]
    fn series_tell_since_when_and_limits_hold() {
        let mut alerts = Alerts::default();
        let series = alerts.step(vec![element(3.0)], 5_000, TERMS).expect("one");
        assert_eq!(series[1].0.get(METRIC_NAME), Some("ALERTS_FOR_STATE"));
        assert_eq!(series[1].1, 5.0);
        let two = vec![element(1.0), element(2.0)];
        let error = alerts.step(two, 6_000, TERMS).expect_err("the same labels");
        assert!(error.contains("same labelset after applying alert labels"));
        let limited = Terms { limit: 1, ..TERMS };
        let other = Element {
            labels: labels! {"alertname" => "A"},
            ..element(1.0)
        };
        let error = alerts.step(vec![element(1.0), other], 7_000, limited);
        assert_eq!(error.expect_err("two"), "exceeded limit of 1 with 2 alerts");
        assert_eq!(alerts.active().count(), 0);
    }
}
