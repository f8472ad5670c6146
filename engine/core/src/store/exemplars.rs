//! Exemplars: the newest ones of all series, in a ring (rules: Prometheus tsdb/exemplar.go; there a feature, here always
//! on, because what a page does not show costs nothing).
//!
//! An exemplar repeats on the page until another event replaces it, so each is compared with the newest one of its
//! series. The ring holds labels of series, not ids: it may outlive a series.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::ids::SeriesId;
use crate::labels::Labels;
use crate::limits::{EXEMPLAR_CHARS_MAX, EXEMPLARS_MAX};

/// A sample of the events behind a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Of the event, for example a trace id.
    pub labels: Labels,
    /// What was measured.
    pub value: f64,
    /// When, in milliseconds.
    pub time_ms: i64,
}

/// An exemplar with the series that showed it.
#[derive(Debug)]
pub(crate) struct SeriesExemplar {
    pub(crate) series: Labels,
    /// Its id when the exemplar was added.
    id: SeriesId,
    pub(crate) exemplar: Exemplar,
    /// The page gave its time.
    has_time: bool,
}

/// The exemplars of all series.
#[derive(Default)]
pub(crate) struct Exemplars {
    ring: VecDeque<Arc<SeriesExemplar>>,
    /// Of the series that have one in the ring.
    newest: HashMap<SeriesId, Arc<SeriesExemplar>>,
    bytes: usize,
    /// How many were ever added: the number of the next.
    added: u64,
}

impl Exemplars {
    /// Adds an exemplar of a series, unless it is the newest one again, older than that, or too large. Without a time of
    /// its own it has that of the scrape.
    pub(crate) fn add(
        &mut self,
        id: SeriesId,
        series: impl FnOnce() -> Labels,
        labels: &Labels,
        value: f64,
        time_ms: Option<i64>,
        scraped_ms: i64,
    ) {
        let exemplar = Exemplar {
            labels: labels.clone(),
            value,
            time_ms: time_ms.unwrap_or(scraped_ms),
        };
        let has_time = time_ms.is_some();
        if let Some(newest) = self.newest.get(&id) {
            let have = &newest.exemplar;
            let is_same = have.labels == exemplar.labels
                && have.value.to_bits() == value.to_bits()
                && (have.time_ms == exemplar.time_ms || !(has_time || newest.has_time));
            // Those of one time are in the order of their values, so that a page that comes again adds none of them.
            let is_before = exemplar.time_ms == have.time_ms
                && has_time
                && (exemplar.value < have.value
                    || (exemplar.value == have.value && exemplar.labels < have.labels));
            if is_same || is_before || exemplar.time_ms < have.time_ms {
                return;
            }
        }
        let chars = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
        if labels.iter().map(chars).sum::<usize>() > EXEMPLAR_CHARS_MAX {
            return;
        }
        let added = Arc::new(SeriesExemplar {
            series: self
                .newest
                .get(&id)
                .map_or_else(series, |newest| newest.series.clone()),
            id,
            exemplar,
            has_time,
        });
        if self.ring.len() >= EXEMPLARS_MAX {
            self.drop_oldest();
        }
        self.bytes += bytes(&added);
        self.added += 1;
        self.newest.insert(id, Arc::clone(&added));
        self.ring.push_back(added);
    }

    /// Those within the times, of all series, in the order in which they were scraped.
    pub(crate) fn between(&self, start_ms: i64, end_ms: i64) -> Vec<Arc<SeriesExemplar>> {
        let within = |at: &&Arc<SeriesExemplar>| (start_ms..=end_ms).contains(&at.exemplar.time_ms);
        self.ring.iter().filter(within).cloned().collect()
    }

    /// How many were ever added.
    pub(crate) fn added(&self) -> u64 {
        self.added
    }

    /// Those from number `from` on that are still there, at most so many, and the number after them.
    pub(crate) fn since(&self, from: u64, count_max: usize) -> (Vec<Arc<SeriesExemplar>>, u64) {
        let first = self.added - self.ring.len() as u64;
        let skipped = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let found = self.ring.iter().skip(skipped).take(count_max);
        let found: Vec<Arc<SeriesExemplar>> = found.cloned().collect();
        let next = from.max(first) + found.len() as u64;
        (found, next)
    }

    /// Drops those that were measured before `time_ms`.
    pub(crate) fn drop_before(&mut self, time_ms: i64) {
        while self
            .ring
            .front()
            .is_some_and(|front| front.exemplar.time_ms < time_ms)
        {
            self.drop_oldest();
        }
    }

    /// The id of a series is no longer its own.
    pub(crate) fn forget(&mut self, id: SeriesId) {
        if !self.newest.is_empty() {
            self.newest.remove(&id);
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.newest.allocation_size()
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.ring.pop_front() {
            self.bytes -= bytes(&oldest);
            let newest = self.newest.get(&oldest.id);
            if newest.is_some_and(|newest| Arc::ptr_eq(newest, &oldest)) {
                self.newest.remove(&oldest.id);
            }
        }
    }
}

/// Labels of series are counted with each of their exemplars, although they share them.
fn bytes(at: &SeriesExemplar) -> usize {
    size_of::<SeriesExemplar>() + at.series.bytes() + at.exemplar.labels.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels;

    fn add(exemplars: &mut Exemplars, id: u32, trace: &str, time_ms: Option<i64>, at_ms: i64) {
        let series = || labels! { "__name__" => "a" };
        let labels = labels! { "trace_id" => trace };
        exemplars.add(SeriesId(id), series, &labels, 1.0, time_ms, at_ms);
    }

    /// A native histogram shows several at once, in the order of their times and values.
    #[test]
    fn exemplars_of_a_histogram_that_stay_on_the_page_are_as_many_as_there_are() {
        let mut exemplars = Exemplars::default();
        for at_ms in [1_000, 2_000, 3_000] {
            for (trace, value, time_ms) in [
                ("a", 9.0, 400),
                ("b", 1.0, 500),
                ("c", 2.0, 500),
                ("d", 2.0, 500),
            ] {
                let labels = Labels::from_pairs([("trace_id", trace)]);
                let series = || Labels::from_pairs([("__name__", "h")]);
                exemplars.add(SeriesId(1), series, &labels, value, Some(time_ms), at_ms);
            }
        }
        let kept: Vec<f64> = exemplars
            .between(0, 9_000)
            .iter()
            .map(|one| one.exemplar.value)
            .collect();
        assert_eq!(kept, [9.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn an_exemplar_that_stays_on_the_page_is_one() {
        let mut exemplars = Exemplars::default();
        for at_ms in [1_000, 2_000, 3_000] {
            add(&mut exemplars, 1, "x", None, at_ms);
            add(&mut exemplars, 2, "x", Some(500), at_ms);
        }
        add(&mut exemplars, 2, "old", Some(400), 4_000);
        add(&mut exemplars, 2, &"x".repeat(200), Some(600), 4_000);
        add(&mut exemplars, 2, "y", Some(600), 4_000);
        let times = |exemplars: &Exemplars, start_ms, end_ms| {
            let found = exemplars.between(start_ms, end_ms);
            found
                .iter()
                .map(|at| at.exemplar.time_ms)
                .collect::<Vec<i64>>()
        };
        assert_eq!(times(&exemplars, 0, i64::MAX), [1_000, 500, 600]);
        assert_eq!(times(&exemplars, 550, 700), [600]);
        exemplars.drop_before(1_001);
        assert!(times(&exemplars, 0, i64::MAX).is_empty());
        assert_eq!(exemplars.bytes, 0);
    }

    #[test]
    fn they_are_bounded() {
        let mut exemplars = Exemplars::default();
        for event in 0..EXEMPLARS_MAX as i64 + 10 {
            add(&mut exemplars, 1, &event.to_string(), Some(event), event);
        }
        assert_eq!(exemplars.ring.len(), EXEMPLARS_MAX);
        assert_eq!(exemplars.ring[0].exemplar.time_ms, 10);
    }
}
