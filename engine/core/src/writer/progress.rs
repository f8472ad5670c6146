//! A commit between two of its holds of the store: how far it has come, and what it knows by then.
//!
//! The lines of a page are applied list by list, each list from its beginning: new lines, ended series, changed values, samples
//! that are passed on at every scrape, exemplars, families. One hold takes as many of them as it is allowed, so that a page
//! of any length holds the store, and the writer, for some 0.5 ms at a time.

use super::outcome::Committed;
use super::own_times::OwnTimes;
use super::page_commit::PageCommit;
use crate::exposition::{Placement, Staged};
use crate::histogram::FloatHistogram;
use crate::signal::{Gatherer, PageFacts, RememberedLabels};
use crate::store::{ClockId, GrowingIdSet, IdSet, SeriesId, TargetId, histogram_bytes};

/// From so many new samples on it is gathered what they tell, instead of telling it line by line.
const GATHERED_SAMPLES_MIN: usize = 64;
/// A native histogram counts as one line more for so many bytes of it.
const HISTOGRAM_BYTES_PER_LINE: usize = 512;

/// The state of one commit.
pub(super) struct Progress {
    pub(super) clock: ClockId,
    pub(super) at_ms: i64,
    pub(super) target: TargetId,
    pub(super) times: OwnTimes,
    /// The target's pages do not report a process start time, so counter resets are detected (rule S6a).
    pub(super) detect_counter_drops: bool,
    pub(super) counter_dropped: bool,
    /// How many series had ended in the whole store when the commit began.
    pub(super) endings: u64,
    pub(super) committed: Committed,
    /// Where the new samples went, in page order.
    pub(super) placements: Vec<Placement>,
    /// The series of removed lines.
    pub(super) leaving: IdSet,
    /// The series that new lines have taken.
    pub(super) claimed: GrowingIdSet,
    /// The series with timestamps on this page, once they were asked for.
    pub(super) stating: Option<IdSet>,
    /// The series that are removed and added again, once all new lines have a place.
    pub(super) staying: Option<IdSet>,
    /// The metrics of series that have left the page, and of how many one after the other.
    pub(super) left: Vec<(Box<str>, u32)>,
    /// Labels whose values signals remember, where what the page tells is gathered.
    pub(super) remembered: Option<RememberedLabels>,
    /// What was gathered of the series that have appeared.
    pub(super) page_facts: Option<PageFacts>,
    next: Next,
}

/// The place in each list from which on it is yet to be applied.
#[derive(Default)]
struct Next {
    /// New lines for which series were added, by their samples.
    added: usize,
    /// The other new lines.
    lines: usize,
    removed: usize,
    changes: usize,
    explicit: usize,
    histograms: usize,
    exemplars: usize,
    metadata: usize,
}

/// The next places of a list, as many as are left to be taken.
fn take(next: &mut usize, len: usize, left: &mut usize) -> std::ops::Range<usize> {
    let from = *next;
    let until = len.min(from.saturating_add(*left)).max(from);
    *next = until;
    *left -= until - from;
    from..until
}

impl Progress {
    pub(super) fn new(
        staged: &Staged<'_>,
        times: OwnTimes,
        committed: Committed,
        mut placements: Vec<Placement>,
    ) -> Progress {
        placements.clear();
        let target = staged.target();
        Progress {
            clock: ClockId::page_of(target),
            at_ms: times.at_ms,
            target,
            times,
            detect_counter_drops: false,
            counter_dropped: false,
            endings: 0,
            committed,
            placements,
            leaving: IdSet::new(&staged.page().removed),
            claimed: GrowingIdSet::default(),
            stating: None,
            staying: None,
            left: Vec::new(),
            remembered: None,
            page_facts: None,
            next: Next {
                lines: staged.added_samples().1,
                ..Next::default()
            },
        }
    }

    /// Whether what the page's new samples tell is gathered.
    pub(super) fn is_gathered(staged: &Staged<'_>) -> bool {
        staged.new_series().0 >= GATHERED_SAMPLES_MIN
    }

    fn is_placed(&self, staged: &Staged<'_>) -> bool {
        self.next.added == staged.added_samples().0.len() && self.next.lines >= staged.new_lines()
    }

    /// Finds out, once all new lines have a place, which series are removed and added again: a moved line, or a page compared as
    /// if it were the first. Needs no lock.
    pub(super) fn find_staying(&mut self, staged: &Staged<'_>) {
        if self.staying.is_some() || !self.is_placed(staged) {
            return;
        }
        let stays = |placement: &Placement| match placement {
            Placement::Series(id) if self.leaving.contains(*id) => Some(*id),
            _ => None,
        };
        let staying: Vec<SeriesId> = match staged.page().removed.is_empty() {
            true => Vec::new(),
            false => self.placements.iter().filter_map(stays).collect(),
        };
        self.staying = Some(IdSet::new(&staying));
    }

    /// Whether a series was on the page before and is not on this one.
    pub(super) fn has_left(&self, id: SeriesId) -> bool {
        let stays = |staying: &IdSet| staying.contains(id);
        self.leaving.contains(id) && !self.staying.as_ref().is_some_and(stays)
    }

    /// Gathers what the series that have appeared tell, where that is so many: some 0.1 us for each, and needs no lock.
    pub(super) fn gather(&mut self, staged: &Staged<'_>) {
        let Some(remembered) = &self.remembered else {
            return;
        };
        let mut gatherer = Gatherer::new(remembered, staged.stage.spec());
        let stays = |id| matches!(&self.staying, Some(staying) if staying.contains(id));
        for (sample, at) in staged.new_samples().zip(&self.placements) {
            if let (Some(labels), Placement::Series(id) | Placement::Own(id)) = (sample.labels, at)
                && !stays(*id)
            {
                gatherer.store(*id, labels);
            }
        }
        for labels in &staged.page().learned {
            gatherer.look_at(labels);
        }
        self.page_facts = Some(gatherer.finish());
    }
}

impl PageCommit<'_, '_> {
    /// Applies up to so many lines. True: there may be more; [`Progress::find_staying`] is to be called before the next step.
    pub(super) fn step(&mut self, staged: &Staged<'_>, lines_max: usize) -> bool {
        let mut left = lines_max;
        self.place_lines(staged, &mut left);
        let removed = &staged.page().removed;
        if !removed.is_empty() && self.of.staying.is_none() {
            return true;
        }
        for at in take(&mut self.of.next.removed, removed.len(), &mut left) {
            self.note_left(removed[at]);
            self.end(removed[at]);
            self.yield_to_readers();
        }
        let page = staged.page();
        let changes = take(&mut self.of.next.changes, page.changes.len(), &mut left);
        for change in &page.changes[changes] {
            self.change(change);
        }
        let explicit = take(&mut self.of.next.explicit, page.explicit.len(), &mut left);
        for sample in &page.explicit[explicit] {
            self.store_explicit(staged, sample);
            self.yield_to_readers();
        }
        while left > 0 && self.of.next.histograms < page.histograms.len() {
            let sample = &page.histograms[self.of.next.histograms];
            self.store_histogram(staged, sample);
            self.of.next.histograms += 1;
            left = left.saturating_sub(lines_of(staged, Some(sample.index)));
            self.yield_to_readers();
        }
        for at in take(&mut self.of.next.exemplars, page.exemplars.len(), &mut left) {
            self.add_exemplar(staged, at);
        }
        let metadata = take(&mut self.of.next.metadata, page.metadata.len(), &mut left);
        if !metadata.is_empty() {
            let known = self.store.metadata.entry(self.of.target).or_default();
            page.metadata[metadata]
                .iter()
                .for_each(|of| of.write_to(known));
        }
        left == 0
    }

    /// Stores the next new lines.
    fn place_lines(&mut self, staged: &Staged<'_>, left: &mut usize) {
        let (added, _) = staged.added_samples();
        while *left > 0 && self.of.next.added < added.len() {
            let sample = &added[self.of.next.added];
            self.of.next.added += 1;
            if let Some(placement) = self.place_added(staged, sample) {
                self.of.placements.push(placement);
            }
            let new = staged.new_sample(sample.line());
            let histogram = new.and_then(|new| new.histogram);
            *left = left.saturating_sub(lines_of(staged, histogram));
            self.yield_to_readers();
        }
        while *left > 0 && self.of.next.lines < staged.new_lines() {
            let new = staged.new_sample(self.of.next.lines as u32);
            self.of.next.lines += 1;
            let mut lines = 1;
            if let Some(new) = new {
                let placement = self.place_new(staged, &new);
                self.of.placements.push(placement);
                lines = lines_of(staged, new.histogram);
                self.yield_to_readers();
            }
            *left = left.saturating_sub(lines);
        }
    }

    /// Notes the metric of a series that has left the page.
    fn note_left(&mut self, id: SeriesId) {
        if !self.of.has_left(id) {
            return;
        }
        let metric = self.store.metric_name(id).unwrap_or("");
        match self.of.left.last_mut() {
            Some((last, count)) if **last == *metric => *count += 1,
            _ => self.of.left.push((metric.into(), 1)),
        }
    }
}

/// As how many lines a sample counts.
fn lines_of(staged: &Staged<'_>, histogram: Option<u32>) -> usize {
    let histogram = histogram.and_then(|index| staged.histogram(index));
    histogram.map_or(1, lines_of_histogram)
}

/// As how many lines a native histogram counts.
pub(super) fn lines_of_histogram(histogram: &FloatHistogram) -> usize {
    1 + histogram_bytes(histogram) / HISTOGRAM_BYTES_PER_LINE
}
