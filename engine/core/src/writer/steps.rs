//! The steps of a commit.
//!
//! The lines of a page are applied list by list, each list from its beginning: new lines, ended series, changed values, samples
//! that are passed on at every scrape, exemplars, families. One hold takes as many of them as it is allowed, so that a page
//! of any length holds the store, and the writer, for some 0.5 ms at a time.

use std::ops::Range;

use super::page_commit::PageCommit;
use crate::exposition::Staged;
use crate::histogram::FloatHistogram;
use crate::store::{SeriesId, histogram_bytes};

/// A native histogram counts as one line more for so many bytes of it.
const HISTOGRAM_BYTES_PER_LINE: usize = 512;

/// The next places of a list, as many as are left to be taken.
fn take(next: &mut usize, len: usize, left: &mut usize) -> Range<usize> {
    let from = *next;
    let until = len.min(from.saturating_add(*left)).max(from);
    *next = until;
    *left -= until - from;
    from..until
}

impl PageCommit<'_, '_> {
    /// Applies up to so many lines. True: there may be more; `Progress::find_staying` comes before the next step.
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
            self.add_exemplars(staged, at);
        }
        let metadata = take(&mut self.of.next.metadata, page.metadata.len(), &mut left);
        if !metadata.is_empty() {
            let known = self.store.metadata.entry(self.of.target).or_default();
            for of in &page.metadata[metadata] {
                of.write_to(|family, change| known.change(family, change));
            }
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
