//! Instant selectors: at each step the newest sample that is at most the lookback old and no staleness marker.

use std::sync::Arc;

use crate::QueryError;
use crate::plan::{At, Edges, Selector};
use crate::select::{Projection, Samples, SelectRequest, Selection, is_stale};
use stillwell_model::histogram::{FloatHistogram, ResetHint};

use super::column::{Column, Point};
use super::{Columns, Eval, Grid, Seek, Sink, Worker, known_ms};

/// The sample that an instant selector shows at a step.
pub(crate) struct SelectedSample {
    pub(crate) time_ms: i64,
    pub(crate) is_histogram: bool,
    pub(crate) start_ms: i64,
}

impl Eval<'_> {
    /// Where `@` points, if there is one.
    pub(crate) fn fixed_time(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Time(ms) => ms.saturating_sub(self.options.wall_offset_ms),
            At::Start => self.query_start_ms,
            At::End => self.query_end_ms,
        })
    }

    pub(super) fn stream_selector(
        &self,
        selector: &Selector,
        grid: Grid,
        need: Projection<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        if selector.edges == Edges::Smoothed {
            return self.stream_smoothed(selector, grid, need, sink);
        }
        let offset_ms = known_ms(&selector.offset);
        let fixed = self.fixed_time(selector.at);
        let first_ms = fixed.unwrap_or(grid.start_ms).saturating_sub(offset_ms);
        let last_ms = fixed
            .unwrap_or_else(|| grid.last_ms())
            .saturating_sub(offset_ms);
        let one_time = first_ms == last_ms;
        let request = SelectRequest {
            matchers: &selector.matchers,
            after_ms: first_ms.saturating_sub(self.options.lookback_ms),
            until_ms: last_ms,
            projection: need,
            last_only: one_time,
            memory: None,
            stop: None,
        };
        let selection = self.select(request)?;
        let columns = Shown {
            selection: &*selection,
            grid,
            first_ms,
            one_time,
            offset_ms,
            lookback_ms: self.options.lookback_ms,
            detect_resets: selector.detect_resets,
        };
        self.each_column(&columns, grid.count, &mut |index, column| {
            sink(selection.labels(index), false, column)
        })
    }

    /// Like an instant selector, with the samples' own times: for `timestamp` and `start_timestamp`, where beside `@`
    /// Prometheus reads the samples that the offset asks for, but looks at them as if there were none
    /// (`forget_offset`), and for `info`.
    pub(crate) fn stream_shown(
        &self,
        selector: &Selector,
        forget_offset: bool,
        grid: Grid,
        need: Projection<'_>,
        value: &dyn Fn(&SelectedSample) -> Result<f64, QueryError>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let fixed = self.fixed_time(selector.at);
        let lookback_ms = self.options.lookback_ms;
        let offset_ms = known_ms(&selector.offset);
        let first_ms = fixed.unwrap_or(grid.start_ms).saturating_sub(offset_ms);
        let last_ms = fixed
            .unwrap_or_else(|| grid.last_ms())
            .saturating_sub(offset_ms);
        let offset_ms = if forget_offset && fixed.is_some() {
            0
        } else {
            offset_ms
        };
        let request = SelectRequest {
            matchers: &selector.matchers,
            after_ms: first_ms.saturating_sub(lookback_ms),
            until_ms: last_ms,
            projection: need,
            last_only: false,
            memory: None,
            stop: None,
        };
        let selection = self.select(request)?;
        let mut samples = Samples::default();
        let mut column = Column::default();
        for index in 0..selection.len() {
            self.poll()?;
            selection.read(index, &mut samples);
            column.reset(grid.count);
            let (mut seek, mut any) = (Seek::default(), false);
            for step in 0..grid.count {
                let at_ms = fixed
                    .unwrap_or_else(|| grid.at(step))
                    .saturating_sub(offset_ms);
                if let Some(at) = newest(&samples, &mut seek, at_ms, lookback_ms) {
                    let selected = SelectedSample {
                        time_ms: samples.times_ms[at],
                        is_histogram: samples.histograms.get(at).is_some_and(Option::is_some),
                        start_ms: samples.starts_ms.get(at).copied().unwrap_or(0),
                    };
                    column.floats[step] = value(&selected)?;
                    any = true;
                }
            }
            if any {
                if let Some(tally) = self.options.tally {
                    let shown = column.points();
                    tally.add(shown, shown);
                }
                sink(selection.labels(index), false, &mut column)?;
            }
        }
        Ok(())
    }
}

/// The columns of an instant selector.
struct Shown<'s> {
    selection: &'s dyn Selection,
    grid: Grid,
    /// The time of the first step, offset and `@` applied.
    first_ms: i64,
    /// Whether it is that of all steps.
    one_time: bool,
    offset_ms: i64,
    lookback_ms: i64,
    detect_resets: bool,
}

impl Columns for Shown<'_> {
    fn selection(&self) -> &dyn Selection {
        self.selection
    }

    fn worker<'w>(&'w self, eval: &'w Eval<'_>) -> Box<Worker<'w>> {
        let mut samples = Samples::default();
        Box::new(move |index, column| {
            column.reset(self.grid.count);
            if !self.fill(index, &mut samples, column) {
                return Ok(None);
            }
            let points = column.len() as u64;
            if let Some(tally) = eval.options.tally {
                let shown = column.points();
                tally.add(shown, shown);
            }
            eval.hold(points)?;
            Ok(Some(points))
        })
    }
}

impl Shown<'_> {
    /// Fills the column; false where it stays empty.
    fn fill(&self, index: usize, samples: &mut Samples, column: &mut Column) -> bool {
        let (grid, offset_ms, lookback_ms) = (self.grid, self.offset_ms, self.lookback_ms);
        match (self.detect_resets, self.one_time) {
            (true, _) => {
                let fixed_grid = Grid {
                    start_ms: self.first_ms + offset_ms,
                    count: 1,
                    ..grid
                };
                let shown = if self.one_time { fixed_grid } else { grid };
                self.selection.read(index, samples);
                detect_resets(samples);
                fill(samples, shown, offset_ms, lookback_ms, column) && {
                    repeat_first(column, shown.count);
                    true
                }
            }
            (false, true) => fill_with_last(self.selection, index, samples, column),
            (false, false) => {
                self.selection.read(index, samples);
                fill(samples, grid, offset_ms, lookback_ms, column)
            }
        }
    }
}

/// Sets the steps from `filled` on to the first one: all steps of a selector with `@` show the same.
fn repeat_first(column: &mut Column, filled: usize) {
    let first = column.get(0);
    for step in filled..column.len() {
        column.set(step, first.clone());
    }
}

/// Sets every step to the newest sample; false where there is none or the series has ended.
fn fill_with_last(
    selection: &dyn Selection,
    index: usize,
    samples: &mut Samples,
    column: &mut Column,
) -> bool {
    let Some(last) = selection.last(index, samples) else {
        return false;
    };
    let point = match last.histogram {
        _ if is_stale(last.value) => return false,
        Some(histogram) => Point::Histogram(histogram),
        None => Point::Float(last.value),
    };
    for step in 0..column.len() {
        column.set(step, point.clone());
    }
    true
}

/// Finds out for each histogram of unknown origin whether it follows a counter reset.
pub(crate) fn detect_resets(samples: &mut Samples) {
    let mut before: Option<Arc<FloatHistogram>> = None;
    for (histogram, value) in samples.histograms.iter_mut().zip(&samples.values) {
        let Some(histogram) = histogram.as_mut().filter(|_| !is_stale(*value)) else {
            continue;
        };
        if let (ResetHint::Unknown, Some(before)) = (histogram.hint, &before) {
            let reset = histogram.is_reset_after(before);
            let hint = if reset {
                ResetHint::Reset
            } else {
                ResetHint::NotReset
            };
            Arc::make_mut(histogram).hint = hint;
        }
        before = Some(histogram.clone());
    }
}

/// The sample shown at `at_ms`, by index; `seek` moves along with ascending times.
fn newest(samples: &Samples, seek: &mut Seek, at_ms: i64, lookback_ms: i64) -> Option<usize> {
    let at = seek.past(&samples.times_ms, at_ms).checked_sub(1)?;
    let fresh = samples.times_ms[at] > at_ms.saturating_sub(lookback_ms);
    (fresh && !is_stale(samples.values[at])).then_some(at)
}

/// Fills the column; false where it stays empty.
fn fill(
    samples: &Samples,
    grid: Grid,
    offset_ms: i64,
    lookback_ms: i64,
    column: &mut Column,
) -> bool {
    let (mut seek, mut any) = (Seek::default(), false);
    let plain = samples.histograms.is_empty();
    let mut at_ms = grid.start_ms.saturating_sub(offset_ms);
    for step in 0..grid.count {
        if let Some(at) = newest(samples, &mut seek, at_ms, lookback_ms) {
            any = true;
            match samples.histograms.get(at) {
                Some(Some(histogram)) if !plain => column.set_histogram(step, histogram.clone()),
                _ => column.floats[step] = samples.values[at],
            }
        }
        at_ms = at_ms.saturating_add(grid.step_ms);
    }
    any
}
