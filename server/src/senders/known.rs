//! What a sender has sent: the newest sample of each of its series, and the lines that they make.

use std::collections::BTreeMap;
use std::sync::Arc;

use stillwell_adapters::prometheus::quoted_label_value;
use stillwell_adapters::time::rfc3339;
use stillwell_engine::labels::{Labels, METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use stillwell_engine::number_text::push_json;
use stillwell_engine::promql::select::is_stale;
use stillwell_engine::{NotKnown, Timestamp, with_labels_of};

use super::before::Sent;
use super::memory::{Held, SenderMemory};
use super::sample::Sample;
use super::unknown::{Unknown, VALUE};

/// Series of one sender: what it has added up, not what it has scraped.
pub(super) const SERIES_MAX: usize = 100_000;
/// Signals that were unknown, and numbers of signals that have ended, are remembered for as long as a query looks back.
const SIGNALS_MS: i64 = 300_000;

/// The newest sample of a series in one batch.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) labels: Labels,
    pub(super) at_ms: i64,
    pub(super) value: f64,
}

/// How long a series may be silent of which no second sample has come, while no more is known of the intervals of its sender:
/// Prometheus' usual interval. A server like this one sends its signals every 5 s, whatever the interval of its scrapes.
pub(super) const FIRST_SILENCE_MS: i64 = 15_000;

/// What a sender has sent.
pub(super) struct Known {
    series: BTreeMap<Labels, Sample>,
    /// For these, and for what is remembered of those that have ended.
    held: Held,
    /// The newest of all, no later than it came.
    pub(super) newest_ms: Option<i64>,
    /// When something came last.
    pub(super) came_ms: Option<i64>,
    /// Since when it sends: until an interval later not every series may have come.
    pub(super) since_ms: i64,
    /// Which of several replicas is taken, and the newest that it has sent.
    replica: Option<(String, i64)>,
    /// When another replica was taken: what it does not send either is not measured, or has ended.
    replaced_ms: Option<i64>,
    /// When there was last no place for a series: what is here then is not all.
    refused_ms: Option<i64>,
    unknown: Unknown,
    /// Series that were there before this program started and have not come since, with the labels of the target, and when each
    /// was sent last.
    before: BTreeMap<Labels, i64>,
    /// The labels of the target.
    target: Labels,
}

impl Known {
    pub(super) fn new(memory: Arc<SenderMemory>) -> Known {
        Known {
            series: BTreeMap::new(),
            held: Held::nothing(memory),
            newest_ms: None,
            came_ms: None,
            since_ms: 0,
            replica: None,
            replaced_ms: None,
            refused_ms: None,
            unknown: Unknown::default(),
            before: BTreeMap::new(),
            target: Labels::empty(),
        }
    }

    /// Adds what was known before this program started of the sender that is this target.
    pub(super) fn remember(&mut self, target: &Labels, sent: Sent, now_ms: i64) {
        self.target = target.clone();
        for (labels, at_ms) in sent {
            let labels = with_labels_of(target, &labels);
            let at_ms = at_ms.min(now_ms);
            if let Some(newest_ms) = self.before.get_mut(&labels) {
                *newest_ms = at_ms.max(*newest_ms);
            } else if self.before.len() < SERIES_MAX && self.held.take(&labels) {
                self.before.insert(labels, at_ms);
            } else {
                self.refused_ms = Some(now_ms);
            }
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
        if before.is_none() && !self.comes_again(&one.labels, at_ms, is_stale(one.value)) {
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

    /// A series has come of which no sample was known. False: it is one of before, and this was sent before as well.
    fn comes_again(&mut self, labels: &Labels, at_ms: i64, ends: bool) -> bool {
        if self.before.is_empty() {
            return true;
        }
        let labels = with_labels_of(&self.target, labels);
        match self.before.get(&labels) {
            Some(&sent_ms) if at_ms <= sent_ms && !ends => false,
            Some(_) => {
                self.before.remove(&labels);
                self.held.give_back(&labels);
                true
            }
            None => true,
        }
    }

    /// Whether it has sent nothing but signals of a server like this one, which come all together.
    pub(super) fn sends_signals(&self) -> bool {
        let metrics = self.series.keys().map(|labels| labels.metric_name());
        let mut others = metrics.filter(|metric| !metric.is_some_and(is_of_signal));
        others.next().is_none()
    }

    /// Whether there was no place for a series that would count still.
    pub(super) fn is_incomplete(&self, now_ms: i64, forget_ms: i64) -> bool {
        let refused_ms = self.refused_ms;
        refused_ms.is_some_and(|refused_ms| now_ms.saturating_sub(refused_ms) <= forget_ms)
    }

    /// Forgets what counts as ended without a stale marker.
    pub(super) fn forget(&mut self, now_ms: i64, newest_ms: i64, forget_ms: i64) {
        let oldest_ms = newest_ms.saturating_sub(forget_ms);
        let held = &mut self.held;
        let mut stays = |labels: &Labels, at_ms: i64| {
            let stays = at_ms >= oldest_ms;
            if !stays {
                held.give_back(labels);
            }
            stays
        };
        self.series
            .retain(|labels, sample| stays(labels, sample.at_ms));
        self.before.retain(|labels, at_ms| stays(labels, *at_ms));
        let oldest_ms = now_ms.saturating_sub(SIGNALS_MS);
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

    /// What is silent while the sender goes on, or will be before its next samples, with what has not come since the start of this
    /// program: a page lacks no more than that.
    pub(super) fn silent(&self, now_ms: i64, age_ms_max: i64) -> Sent {
        let newest_ms = self.newest_ms.unwrap_or(now_ms);
        let next_ms = newest_ms.saturating_add(age_ms_max / 2);
        let first_ms = self.first_silence_ms(now_ms, age_ms_max);
        let silent = self.series.iter().filter(|(_, sample)| {
            self.is_other_s(sample, now_ms, age_ms_max)
                || sample.is_silent(next_ms, first_ms, age_ms_max)
        });
        let silent = silent.map(|(labels, sample)| (labels, sample.at_ms));
        let before = self.before.iter().map(|(labels, at_ms)| (labels, *at_ms));
        let all = silent.chain(before);
        all.map(|(labels, at_ms)| (labels.clone(), at_ms)).collect()
    }

    /// Whether a replica has sent it that is no longer taken, and the one that is has had the time to send it.
    fn is_other_s(&self, sample: &Sample, now_ms: i64, age_ms_max: i64) -> bool {
        self.replaced_ms.is_some_and(|replaced_ms| {
            sample.at_ms < replaced_ms && now_ms.saturating_sub(replaced_ms) >= age_ms_max
        })
    }

    /// The lines of the page, and what is not known. A series that is silent while its sender goes on is not on the page: whether
    /// it has ended, or only its way to the sender is broken, nobody says.
    pub(super) fn page(&self, sender: &str, now_ms: i64, age_ms_max: i64) -> (String, NotKnown) {
        let (mut out, mut not_known) = (String::new(), NotKnown::default());
        let unknown = self.unknown.signals(&self.series, now_ms, age_ms_max);
        // One number that is none makes every sum over it none.
        let mut without_number = |out: &mut String, labels: &Labels| {
            line(out, labels, f64::NAN);
            not_known.add(labels, || {
                let signal = labels.get("signal").unwrap_or("");
                format!("sender {sender:?} says that its signal {signal:?} is unknown; its `/signals` says why, or has it no more")
            });
        };
        let is_unknown = |labels: &Labels| {
            labels.metric_name() == Some(VALUE)
                && labels
                    .get("signal")
                    .is_some_and(|signal| unknown.contains(signal))
        };
        let newest_ms = self.newest_ms.unwrap_or(now_ms);
        let first_ms = self.first_silence_ms(now_ms, age_ms_max);
        let mut silent = Vec::new();
        for (labels, sample) in &self.series {
            let is_other_s = self.is_other_s(sample, now_ms, age_ms_max);
            if is_unknown(labels) {
                without_number(&mut out, labels);
            } else if is_other_s || sample.is_silent(newest_ms, first_ms, age_ms_max) {
                silent.push((labels, sample.at_ms));
            } else {
                line(&mut out, labels, sample.value);
            }
        }
        for (labels, ended_ms, value) in self.unknown.of_ended() {
            if is_unknown(labels) {
                without_number(&mut out, labels);
            } else if now_ms.saturating_sub(ended_ms) < age_ms_max {
                line(&mut out, labels, value); // its signal may be about to be called unknown
            }
        }
        for labels in Unknown::bare(&self.series, &unknown) {
            without_number(&mut out, &labels);
        }
        silent.extend(self.before.iter().map(|(labels, at_ms)| (labels, *at_ms)));
        for (labels, at_ms) in silent {
            let since = || rfc3339(Timestamp::from_ms(at_ms));
            not_known.add(labels, || {
                format!(
                    "sender {sender:?} has not sent {labels} since {}, and sends others",
                    since()
                )
            });
        }
        (out, not_known)
    }
}

fn is_of_signal(metric: &str) -> bool {
    metric.starts_with("stillwell_signal_")
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
