//! What a sender's signals that are unknown there are here: no number, under every label set that they had.
//!
//! A server like this one sends the states of its signals and their numbers as series of their own, in requests that do not
//! come together. A sum here must not lose a part in between: the number of a series that has ended stands for as long as
//! the sender may be silent, a signal that is unknown is no number (NaN) under every label set of its numbers, and one
//! that was unknown stays so until its first number comes or as long has passed: a sender that has lost all its targets says
//! nothing of their signals any more, and is no part of a sum.

use std::collections::{BTreeMap, BTreeSet};

use stillwell_engine::labels::{Labels, LabelsBuilder, METRIC_NAME};

use super::sample::Sample;

/// What a server like this one says of its signals.
pub(super) const STATE: &str = "stillwell_signal_state";
pub(super) const VALUE: &str = "stillwell_signal_value";
/// Ended series, and signals that were unknown, that are remembered.
const ENDED_MAX: usize = 10_000;

/// What is remembered of signals beside the newest samples.
#[derive(Default)]
pub(super) struct Unknown {
    /// Numbers that have ended: when, and the last one.
    ended: BTreeMap<Labels, (i64, f64)>,
    /// When a signal was last said to be unknown.
    said: BTreeMap<String, i64>,
}

impl Unknown {
    /// A series has ended. Answers its labels, if they are not remembered.
    pub(super) fn ended(&mut self, labels: Labels, now_ms: i64, value: f64) -> Option<Labels> {
        if labels.metric_name() != Some(VALUE) || self.ended.len() >= ENDED_MAX {
            return Some(labels);
        }
        self.ended.insert(labels, (now_ms, value));
        None
    }

    /// A sample has come. True: its series was remembered as one that has ended.
    pub(super) fn take(&mut self, labels: &Labels, value: f64, now_ms: i64) -> bool {
        match (labels.metric_name(), labels.get("signal")) {
            (Some(VALUE), Some(_)) => return self.ended.remove(labels).is_some(),
            (Some(STATE), Some(signal)) if is_unknown(labels, value) => self.say(signal, now_ms),
            _ => {}
        }
        false
    }

    /// The signals that are unknown as of now.
    pub(super) fn signals<'a>(
        &'a self,
        series: &'a BTreeMap<Labels, Sample>,
        now_ms: i64,
        age_ms_max: i64,
    ) -> BTreeSet<&'a str> {
        let mut unknown = BTreeSet::new();
        let mut with_number = BTreeSet::new();
        for (labels, Sample { value, .. }) in series {
            let Some(signal) = labels.get("signal") else {
                continue;
            };
            match labels.metric_name() {
                Some(STATE) if is_unknown(labels, *value) => {
                    unknown.insert(signal);
                }
                Some(VALUE) => {
                    with_number.insert(signal);
                }
                _ => {}
            }
        }
        for (signal, said_ms) in &self.said {
            let waits = now_ms.saturating_sub(*said_ms) < age_ms_max;
            if waits && !with_number.contains(signal.as_str()) {
                unknown.insert(signal);
            }
        }
        unknown
    }

    /// Numbers that have ended: their labels, when, and the last.
    pub(super) fn of_ended(&self) -> impl Iterator<Item = (&Labels, i64, f64)> {
        let ended = self.ended.iter();
        ended.map(|(labels, (at_ms, value))| (labels, *at_ms, *value))
    }

    /// For each signal that is unknown its labels without more: it may never have had a number.
    pub(super) fn bare<'a>(
        series: &'a BTreeMap<Labels, Sample>,
        unknown: &'a BTreeSet<&str>,
    ) -> BTreeSet<Labels> {
        let states = series.keys().filter(|labels| {
            labels.metric_name() == Some(STATE)
                && labels
                    .get("signal")
                    .is_some_and(|signal| unknown.contains(signal))
        });
        let bare = states.map(|labels| {
            let mut bare = LabelsBuilder::default();
            for (name, value) in labels.iter().filter(|(name, _)| *name != "state") {
                bare.set(name, value);
            }
            bare.set(METRIC_NAME, VALUE);
            bare.build()
        });
        // Those that the numbers have are written with them.
        bare.filter(|labels| !series.contains_key(labels)).collect()
    }

    fn say(&mut self, signal: &str, now_ms: i64) {
        if let Some(said_ms) = self.said.get_mut(signal) {
            *said_ms = now_ms;
        } else if self.said.len() < ENDED_MAX {
            self.said.insert(signal.to_owned(), now_ms);
        }
    }

    /// Notes which signals are unknown now, and forgets what ended, and what was unknown, before `oldest_ms`. Answers what ended.
    pub(super) fn look(
        &mut self,
        series: &BTreeMap<Labels, Sample>,
        now_ms: i64,
        oldest_ms: i64,
    ) -> Vec<Labels> {
        for (labels, Sample { value, .. }) in series {
            if let Some(signal) = labels.get("signal")
                && is_unknown(labels, *value)
            {
                self.say(signal, now_ms);
            }
        }
        self.said.retain(|_, said_ms| *said_ms >= oldest_ms);
        let said = &self.said;
        let is_gone = |labels: &Labels, at_ms: i64| {
            let signal = labels.get("signal").unwrap_or("");
            at_ms < oldest_ms && !said.contains_key(signal)
        };
        let gone = self
            .ended
            .extract_if(.., |labels, (at_ms, _)| is_gone(labels, *at_ms));
        gone.map(|(labels, _)| labels).collect()
    }
}

fn is_unknown(labels: &Labels, value: f64) -> bool {
    labels.metric_name() == Some(STATE) && labels.get("state") == Some("unknown") && value == 1.0
}
