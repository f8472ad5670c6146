//! Sources behind a page that whoever wrote it could not read: the page's own `up` of them is 0 (S2e).
//!
//! Prometheus ends the series of a target whose scrape fails as it ends those of one that has left. The two differ by `up`, which
//! stays at 0 in the first case and ends in the second. What a source had that is down is not known.
//!
//! Cost: nothing for pages without such series; else a look at the value of each `up`, and where one falls to 0 a look for the
//! series with its `instance` and `job`, those that have ended included.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use crate::labels::{Labels, Matcher};
use crate::limits::{LOOKED_AT_SOURCES_MAX, SERIES_OF_SOURCES_MAX, SOURCES_PER_TARGET_MAX};
use crate::not_known::NotKnown;
use crate::scrape::REPORT;
use crate::store::{SeriesId, Store, TargetId, for_each_match};

use super::super::names::TableMetric;
use super::super::retain_set::RetainSet;
use super::Facts;

/// By these labels a source is known, also under the names that they have where the target's own win.
const OF_SOURCE: [&str; 4] = ["instance", "job", "exported_instance", "exported_job"];

/// The sources behind a page.
#[derive(Debug, Default)]
pub(crate) struct SourcesDown {
    /// The series `up` of the page, as far as there is place.
    ups: Vec<SeriesId>,
    /// Those that are 0, or were a moment ago.
    down: BTreeMap<SeriesId, Down>,
    /// One of them has left the page.
    one_left: bool,
    not_known: NotKnown,
}

/// A source that is down.
#[derive(Debug, Default)]
struct Down {
    name: String,
    /// What it has shown of what signals may read.
    series: Vec<Labels>,
    /// For which signals that was looked for, by the version of what they need; `None`: it was not yet.
    looked_for: Option<u64>,
    /// Since when it is not down any more: its series need not come with its `up`.
    back_ms: Option<i64>,
}

/// The target whose page it is.
struct OfTarget<'a> {
    id: TargetId,
    name: &'a str,
    interval_ms: i64,
    /// Whether a label is one of the target itself, which names no source.
    is_own: &'a dyn Fn(&str) -> bool,
}

impl SourcesDown {
    /// Adds a series `up` of the page.
    pub(super) fn add(&mut self, up: SeriesId) {
        if self.ups.len() < SOURCES_PER_TARGET_MAX {
            self.ups.push(up);
        }
    }

    /// Adds those of another.
    pub(super) fn add_all(&mut self, others: SourcesDown) {
        others.ups.into_iter().for_each(|up| self.add(up));
    }

    /// Removes series that have left the page.
    pub(super) fn remove(&mut self, has_left: impl Fn(SeriesId) -> bool) {
        self.ups.retain(|up| !has_left(*up));
        let before = self.down.len();
        self.down.retain(|up, _| !has_left(*up));
        self.one_left |= self.down.len() < before;
    }

    /// The series that are not known because their source is down.
    pub(crate) fn not_known(&self) -> &NotKnown {
        &self.not_known
    }

    /// Takes the values of `up`. Whether something may differ from the page before.
    fn take_values(&mut self, store: &Store, at_ms: i64) -> bool {
        let mut differs = std::mem::take(&mut self.one_left);
        for up in &self.ups {
            let is_down = f64::from_bits(store.series.row(*up).bits) == 0.0;
            match self.down.get_mut(up) {
                Some(down) if is_down => down.back_ms = None,
                Some(down) => {
                    down.back_ms.get_or_insert(at_ms);
                    differs = true;
                }
                None if is_down => {
                    self.down.insert(*up, Down::default());
                    differs = true;
                }
                None => {}
            }
        }
        differs
    }
}

impl Facts {
    /// Looks which sources behind a target are down by its newest page, on which series have come or gone where it `has_changed`.
    pub(crate) fn look_at_sources(
        &mut self,
        id: TargetId,
        at_ms: i64,
        has_changed: bool,
        store: &RwLock<Store>,
    ) {
        let Some(target) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let sources = &mut target.sources;
        if sources.ups.is_empty() && sources.down.is_empty() && !sources.one_left {
            return;
        }
        let mut differs = sources.take_values(&store.read(), at_ms);
        if sources.down.is_empty() && !differs {
            return;
        }
        let needed = self.requirements.newest();
        let is_old = |down: &Down| down.looked_for != Some(needed.version);
        differs |= has_changed || sources.down.values().any(is_old);
        if !differs {
            return;
        }
        let mut sources = std::mem::take(&mut target.sources);
        let of = OfTarget {
            id,
            name: &target.name,
            interval_ms: target.interval_ms,
            is_own: &|label| target.constant_label(label).is_some(),
        };
        sources.look_for_series(&of, &needed, store);
        sources.note_missing(&of, at_ms, store);
        target.sources = sources;
        self.update_losses(id);
    }
}

impl SourcesDown {
    /// Looks for what sources have shown that are down, for some at a time.
    fn look_for_series(&mut self, of: &OfTarget<'_>, needed: &RetainSet, store: &RwLock<Store>) {
        let down = &mut self.down;
        let mut held: usize = down.values().map(|one| one.series.len()).sum();
        let is_new = |down: &Down| down.looked_for.is_none();
        let is_old = |down: &Down| down.looked_for != Some(needed.version);
        // Those of which nothing is known yet come first.
        for is_wanted in [&is_new as &dyn Fn(&Down) -> bool, &is_old] {
            let wanted = down.iter_mut().filter(|(_, one)| is_wanted(one));
            for (up, one) in wanted.take(LOOKED_AT_SOURCES_MAX) {
                held -= one.series.len();
                let found = of.series_of_source(*up, needed, store);
                held += found.1.len();
                if held > SERIES_OF_SOURCES_MAX {
                    held -= found.1.len();
                    one.series = Vec::new();
                    one.looked_for = None;
                } else {
                    (one.name, one.series) = found;
                    one.looked_for = Some(needed.version);
                }
            }
        }
    }

    /// Notes what is not known because its source is down: what it had and the newest page has not. One that is not down any
    /// more has two intervals for that.
    fn note_missing(&mut self, of: &OfTarget<'_>, at_ms: i64, store: &RwLock<Store>) {
        let mut not_known = NotKnown::default();
        let store = store.read();
        let is_shown = |labels: &Labels| {
            let found = store.series.find(labels);
            found.is_some_and(|series| store.series.row(series).is_present())
        };
        let (page, interval_ms) = (of.name, of.interval_ms);
        self.down.retain(|_, down| {
            if down.looked_for.is_none() {
                not_known.add_any(|| {
                    format!("more sources of {page} are down than can be looked at at once")
                });
                return down.back_ms.is_none();
            }
            let missing: Vec<&Labels> = down.series.iter().filter(|one| !is_shown(one)).collect();
            let is_back = down.back_ms.is_some_and(|back_ms| {
                missing.is_empty() || at_ms.saturating_sub(back_ms) > 2 * interval_ms
            });
            for labels in missing.iter().filter(|_| !is_back) {
                let name = &down.name;
                not_known.add(labels, || {
                    format!("{name} is down according to `up` on the page of {page}")
                });
            }
            !is_back
        });
        drop(store);
        self.not_known = not_known;
    }
}

impl OfTarget<'_> {
    /// The name of the source of a series `up`, and its series on this target that signals may read. None where nothing but the
    /// target names it.
    fn series_of_source(
        &self,
        up: SeriesId,
        needed: &RetainSet,
        store: &RwLock<Store>,
    ) -> (String, Vec<Labels>) {
        let labels = store.read().series.labels(up);
        let of_source = labels
            .iter()
            .filter(|(label, _)| OF_SOURCE.contains(label) && !(self.is_own)(label));
        let of_source: Vec<(&str, &str)> = of_source.collect();
        let name = of_source
            .iter()
            .find(|(label, _)| label.ends_with("instance"));
        let Some((_, name)) = name else {
            return Default::default();
        };
        let matchers: Vec<Matcher> = of_source
            .iter()
            .map(|(label, value)| Matcher::equal(label, value))
            .collect();
        let mut found = Vec::new();
        for_each_match(store, &matchers, |store, series| {
            let clock = store.series.row(series).clock;
            let is_of_page = clock.target() == Some(self.id) && !clock.is_report();
            let is_needed = |metric: &str| {
                !REPORT.contains(&metric)
                    && (TableMetric::of(metric).is_some() || needed.retains(metric))
            };
            if is_of_page && store.metric_name(series).is_some_and(is_needed) {
                found.push(store.series.labels(series));
            }
            0
        });
        ((*name).to_owned(), found)
    }
}
