//! What a sender has sent: the newest sample of each of its series, and the lines that they make.

use std::collections::BTreeMap;
use std::sync::Arc;

use stillwell_adapters::prometheus::quoted_label_value;
use stillwell_engine::labels::{Labels, METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use stillwell_engine::number_text::push_json;
use stillwell_engine::promql::select::is_stale;

use super::memory::{Held, SenderMemory};
use super::sample::Sample;
use super::unknown::{Unknown, VALUE};

/// Series of one sender: what it has added up, not what it has scraped.
pub(super) const SERIES_MAX: usize = 100_000;
/// A series that its sender no longer sends, without a stale marker, is NaN until it is forgotten, as by a query's look back:
/// whether it has ended, or only its way to the sender is broken, nobody says.
const FORGOTTEN_MS: i64 = 300_000;

/// The newest sample of a series in one batch.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) labels: Labels,
    pub(super) at_ms: i64,
    pub(super) value: f64,
}

/// How long a series may be silent of which no second sample has come, while no more is known of the intervals of its sender:
/// Prometheus' usual interval. A server like this one sends its signals every 5 s, whatever the interval of its scrapes.
const FIRST_SILENCE_MS: i64 = 15_000;
pub(super) struct Known {
    series: BTreeMap<Labels, Sample>,
    /// For these, and for what is remembered of those that have ended.
    held: Held,
    /// The newest of all, no later than it came.
    pub(super) newest_ms: Option<i64>,
    /// Since when it sends: until an interval later not every series may have come.
    pub(super) since_ms: i64,
    /// Which of several replicas is taken, and the newest that it has sent.
    replica: Option<(String, i64)>,
    /// When another replica was taken: what it does not send either is not measured, or has ended.
    replaced_ms: Option<i64>,
    /// When there was last no place for a series: what is here then is not all.
    refused_ms: Option<i64>,
    unknown: Unknown,
}

impl Known {
    pub(super) fn new(memory: Arc<SenderMemory>) -> Known {
        Known {
            series: BTreeMap::new(),
            held: Held::nothing(memory),
            newest_ms: None,
            since_ms: 0,
            replica: None,
            replaced_ms: None,
            refused_ms: None,
            unknown: Unknown::default(),
        }
    }

    /// Whether samples of a replica are taken: one is, until it has been silent for so long (as Mimir's HA tracker has it).
    pub(super) fn takes(&mut self, replica: &str, newest_ms: i64, age_ms_max: i64) -> bool {
        match &mut self.replica {
            Some((taken, last_ms)) if taken == replica => {
                *last_ms = newest_ms.max(*last_ms);
                true
            }
            Some((_, last_ms)) if newest_ms.saturating_sub(*last_ms) <= age_ms_max => false,
            before => {
                if before.is_some() {
                    self.replaced_ms = Some(newest_ms);
                }
                self.replica = Some((replica.to_owned(), newest_ms));
                true
            }
        }
    }

    /// Takes a sample; what came late says nothing of now. False: there is no place for its series.
    pub(super) fn take(&mut self, one: Newest, now_ms: i64) -> bool {
        // A clock that is ahead must not make a number look new for longer than it is.
        let at_ms = one.at_ms.min(now_ms);
        let before = self.series.get(&one.labels).copied();
        if before.is_some_and(|before| before.at_ms > at_ms) {
            return true;
        }
        if is_stale(one.value) {
            if let Some(before) = before {
                self.series.remove(&one.labels);
                let rest = self.unknown.ended(one.labels, now_ms, before.value);
                rest.iter().for_each(|labels| self.held.give_back(labels));
            }
            return true;
        }
        let has_place =
            before.is_some() || (self.series.len() < SERIES_MAX && self.held.take(&one.labels));
        if !has_place {
            self.refused_ms = Some(now_ms);
            return false;
        }
        if self.unknown.take(&one.labels, one.value, now_ms) {
            self.held.give_back(&one.labels);
        }
        let sample = Sample::after(before, at_ms, one.value, self.since_ms);
        self.series.insert(one.labels, sample);
        true
    }

    /// Whether there was no place for a series that would count still.
    pub(super) fn is_incomplete(&self, now_ms: i64) -> bool {
        let refused_ms = self.refused_ms;
        refused_ms.is_some_and(|refused_ms| now_ms.saturating_sub(refused_ms) <= FORGOTTEN_MS)
    }

    /// Forgets what has ended without a stale marker.
    pub(super) fn forget(&mut self, now_ms: i64, newest_ms: i64) {
        let oldest_ms = newest_ms.saturating_sub(FORGOTTEN_MS);
        let (series, held) = (&mut self.series, &mut self.held);
        series.retain(|labels, sample| {
            let stays = sample.at_ms >= oldest_ms;
            if !stays {
                held.give_back(labels);
            }
            stays
        });
        let oldest_ms = now_ms.saturating_sub(FORGOTTEN_MS);
        let gone = self.unknown.look(&self.series, now_ms, oldest_ms);
        gone.iter().for_each(|labels| self.held.give_back(labels));
    }

    /// How long a series may be silent of which a single sample came: two of the longest intervals of the others, once those are
    /// known.
    fn first_silence_ms(&self, now_ms: i64, age_ms_max: i64) -> i64 {
        if now_ms.saturating_sub(self.since_ms) < FIRST_SILENCE_MS {
            return FIRST_SILENCE_MS;
        }
        let intervals_ms = self.series.values().filter_map(|sample| sample.interval_ms);
        let longest_ms = intervals_ms.max().unwrap_or(0);
        longest_ms
            .saturating_mul(2)
            .clamp(age_ms_max, FIRST_SILENCE_MS.max(age_ms_max))
    }

    pub(super) fn lines(&self, now_ms: i64, age_ms_max: i64) -> String {
        let mut out = String::new();
        let unknown = self.unknown.signals(&self.series, now_ms, age_ms_max);
        let is_unknown = |labels: &Labels| {
            labels.metric_name() == Some(VALUE)
                && labels
                    .get("signal")
                    .is_some_and(|signal| unknown.contains(signal))
        };
        let newest_ms = self.newest_ms.unwrap_or(now_ms);
        let first_ms = self.first_silence_ms(now_ms, age_ms_max);
        for (labels, sample) in &self.series {
            // One number that is none makes every sum over it none.
            let is_other_s = self.replaced_ms.is_some_and(|replaced_ms| {
                sample.at_ms < replaced_ms && now_ms.saturating_sub(replaced_ms) >= age_ms_max
            });
            let is_silent = is_other_s || sample.is_silent(newest_ms, first_ms, age_ms_max);
            let is_none = is_unknown(labels) || is_silent;
            let value = if is_none { f64::NAN } else { sample.value };
            line(&mut out, labels, value);
        }
        for (labels, ended_ms, value) in self.unknown.of_ended() {
            if is_unknown(labels) {
                line(&mut out, labels, f64::NAN);
            } else if now_ms.saturating_sub(ended_ms) < age_ms_max {
                line(&mut out, labels, value); // its signal may be about to be called unknown
            }
        }
        for labels in Unknown::bare(&self.series, &unknown) {
            line(&mut out, &labels, f64::NAN);
        }
        out
    }
}

/// A line of the text format; names that are not Prometheus' old ones stand in quotes.
fn line(out: &mut String, labels: &Labels, value: f64) {
    let name = labels.metric_name().unwrap_or("");
    let is_plain = is_legacy_metric_name(name);
    let mut first = true;
    if is_plain {
        out.push_str(name);
    }
    out.push('{');
    if !is_plain {
        quoted_label_value(out, name);
        first = false;
    }
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        match is_legacy_label_name(name) {
            true => out.push_str(name),
            false => quoted_label_value(out, name),
        }
        out.push('=');
        quoted_label_value(out, value);
    }
    out.push_str("} ");
    push_json(out, value);
    out.push('\n');
}
