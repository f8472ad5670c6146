//! Range selectors and subqueries: all samples of one series that any window of the query needs, stale markers
//! left out, floats and histograms apart.

use std::sync::Arc;

use crate::QueryError;
use crate::plan::{Edges, Expr, ExprKind, Selector, Subquery};
use crate::select::{Projection, Samples, SelectRequest, Selection, is_stale};
use stillwell_model::histogram::{FloatHistogram, ResetHint};
use stillwell_model::labels::Labels;

use super::column::is_absent;
use super::{Eval, Grid, SAMPLE_BYTES, Selected, Windows, known_ms};

/// The samples of one series, ascending in time.
#[derive(Clone, Debug, Default)]
pub(crate) struct RangeSamples {
    pub(crate) times: Vec<i64>,
    pub(crate) values: Vec<f64>,
    /// Start timestamps of the floats; empty, or as long.
    pub(crate) starts: Vec<i64>,
    pub(crate) histogram_times: Vec<i64>,
    pub(crate) histograms: Vec<Arc<FloatHistogram>>,
    pub(crate) histogram_starts: Vec<i64>,
}

/// What a range argument is, without parentheses and marks.
pub(crate) struct RangeInput<'e> {
    pub(crate) expr: &'e Expr,
    pub(crate) windows: Windows,
    pub(crate) edges: Edges,
}

/// Receives a series: labels, whether its name goes at the end, samples.
pub(crate) type RangeSink<'s> =
    dyn FnMut(&Labels, bool, &RangeSamples) -> Result<(), QueryError> + 's;

impl Eval<'_> {
    /// Looks at a range argument.
    pub(crate) fn range_input<'e>(
        &self,
        expr: &'e Expr,
        grid: Grid,
    ) -> Result<RangeInput<'e>, QueryError> {
        let expr = expr.bare();
        let (range, offset, at, edges) = match &expr.kind {
            ExprKind::Range {
                selector,
                range,
                edges,
            } => (range, &selector.offset, selector.at, *edges),
            ExprKind::Subquery(subquery) => {
                (&subquery.range, &subquery.offset, subquery.at, Edges::Plain)
            }
            _ => {
                return Err(QueryError::Internal(
                    "a range vector was expected".to_owned(),
                ));
            }
        };
        let windows = Windows {
            grid,
            range_ms: known_ms(range),
            offset_ms: known_ms(offset),
            fixed_ms: self.fixed_time(at),
        };
        Ok(RangeInput {
            expr,
            windows,
            edges,
        })
    }

    /// Streams the series of a range argument.
    pub(crate) fn stream_range(
        &self,
        input: &RangeInput<'_>,
        need: Projection<'_>,
        sink: &mut RangeSink<'_>,
    ) -> Result<(), QueryError> {
        match &input.expr.kind {
            ExprKind::Range { selector, .. } => self.stream_samples(selector, input, need, sink),
            ExprKind::Subquery(subquery) => self.stream_subquery(subquery, &input.windows, sink),
            _ => Err(QueryError::Internal(
                "a range vector was expected".to_owned(),
            )),
        }
    }

    /// Selects the series of a range selector.
    pub(crate) fn select_range(
        &self,
        selector: &Selector,
        input: &RangeInput<'_>,
        need: Projection<'_>,
    ) -> Result<Selected<'_>, QueryError> {
        let windows = &input.windows;
        let lookback_ms = self.options.lookback_ms;
        // Made-up samples at the edges come from what lies up to a lookback outside.
        let (before_ms, behind_ms) = match input.edges {
            Edges::Plain => (0, 0),
            Edges::Anchored => (lookback_ms, 0),
            Edges::Smoothed => (lookback_ms, lookback_ms),
        };
        self.select(SelectRequest {
            matchers: &selector.matchers,
            after_ms: windows.start_ms(0).saturating_sub(before_ms),
            until_ms: windows.last_end_ms().saturating_add(behind_ms),
            projection: need,
            last_only: false,
            memory: None,
            stop: None,
        })
    }

    fn stream_samples(
        &self,
        selector: &Selector,
        input: &RangeInput<'_>,
        need: Projection<'_>,
        sink: &mut RangeSink<'_>,
    ) -> Result<(), QueryError> {
        let selection = self.select_range(selector, input, need)?;
        let mut reader = RangeReader::default();
        for index in 0..selection.len() {
            self.poll()?;
            let count = reader.read(self, &*selection, index, selector, &input.windows)?;
            if count > 0 {
                sink(selection.labels(index), false, &reader.samples)?;
                self.release(count);
            }
        }
        Ok(())
    }

    fn stream_subquery(
        &self,
        subquery: &Subquery,
        windows: &Windows,
        sink: &mut RangeSink<'_>,
    ) -> Result<(), QueryError> {
        let step_ms = subquery
            .step
            .as_ref()
            .map_or(self.options.subquery_step_ms, known_ms)
            .max(1);
        // Steps lie at multiples of the step, whatever the query's own times are; the first is after the range's start.
        let from_ms = windows.start_ms(0);
        let mut start_ms = step_ms.saturating_mul(from_ms / step_ms);
        if start_ms <= from_ms {
            start_ms = start_ms.saturating_add(step_ms);
        }
        let grid = Grid::new(start_ms, windows.last_end_ms(), step_ms);
        if grid.count == 0 {
            return Ok(());
        }
        if grid.count as u64 > self.options.samples_max {
            self.hold(grid.count as u64)?;
        }
        let (mut samples, mut counted) = (RangeSamples::default(), 0);
        let streamed = self.stream(
            &subquery.expr,
            grid,
            Projection::All,
            &mut |labels, drop_name, column| {
                samples.clear();
                // They are kept for the next series, so the most of one counts.
                let bytes = column.points() as usize * SAMPLE_BYTES as usize;
                if bytes > counted {
                    self.hold_bytes(bytes - counted)?;
                    counted = bytes;
                }
                for (step, value) in column.floats.iter().enumerate() {
                    if !is_absent(*value) {
                        samples.times.push(grid.at(step));
                        samples.values.push(*value);
                    } else if let Some(histogram) = column.histogram(step) {
                        samples.histogram_times.push(grid.at(step));
                        let mut histogram = histogram.clone();
                        // What it knew of the one before it does not hold across a subquery's steps.
                        if matches!(histogram.hint, ResetHint::Reset | ResetHint::NotReset) {
                            Arc::make_mut(&mut histogram).hint = ResetHint::Unknown;
                        }
                        samples.histograms.push(histogram);
                    }
                }
                if samples.times.is_empty() && samples.histogram_times.is_empty() {
                    return Ok(());
                }
                sink(labels, drop_name, &samples)
            },
        );
        self.release_bytes(counted);
        streamed
    }
}

/// Reads the samples of one series after the other into the same memory.
#[derive(Debug, Default)]
pub(crate) struct RangeReader {
    raw: Samples,
    /// Those of the series that was read last.
    pub(crate) samples: RangeSamples,
}

impl RangeReader {
    /// Reads a series. Answers how many samples the query holds now (`Eval::hold`) until they are not needed any more.
    pub(crate) fn read(
        &mut self,
        eval: &Eval<'_>,
        selection: &dyn Selection,
        index: usize,
        selector: &Selector,
        windows: &Windows,
    ) -> Result<u64, QueryError> {
        let (raw, samples) = (&mut self.raw, &mut self.samples);
        selection.read(index, raw);
        if !eval.options.features.start_timestamps {
            raw.starts_ms.clear();
        }
        if selector.detect_resets {
            super::select::detect_resets(raw);
        }
        samples.take(raw);
        let count = (samples.times.len() + samples.histogram_times.len()) as u64;
        if count > 0 {
            if let Some(tally) = eval.options.tally {
                tally.add(samples.in_windows(windows), count);
            }
            eval.hold(count)?;
        }
        Ok(count)
    }
}

impl RangeSamples {
    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.histogram_times.clear();
        self.histograms.clear();
        self.histogram_starts.clear();
    }

    /// Samples in all windows, each counted once per window.
    fn in_windows(&self, windows: &Windows) -> u64 {
        let until = |times: &[i64], ms: i64| times.partition_point(|time| *time <= ms);
        let within = |times: &[i64], step: usize| {
            until(times, windows.end_ms(step)) - until(times, windows.start_ms(step))
        };
        let steps = 0..windows.grid.count;
        let counts =
            steps.map(|step| within(&self.times, step) + within(&self.histogram_times, step));
        counts.sum::<usize>() as u64
    }

    /// Takes over what was read, without stale markers; `raw` gets our old memory back.
    fn take(&mut self, raw: &mut Samples) {
        self.clear();
        // A marker is a NaN, of which most series have none: that is seen many values at a time.
        let values = raw.values.iter();
        let nan = values.fold(false, |any, value| any | value.is_nan());
        let stale = nan && raw.values.iter().any(|value| is_stale(*value));
        if !stale && raw.histograms.is_empty() {
            std::mem::swap(&mut self.times, &mut raw.times_ms);
            std::mem::swap(&mut self.values, &mut raw.values);
            std::mem::swap(&mut self.starts, &mut raw.starts_ms);
            return;
        }
        for (at, time) in raw.times_ms.iter().enumerate() {
            if is_stale(raw.values[at]) {
                continue;
            }
            match raw.histograms.get_mut(at).and_then(Option::take) {
                Some(histogram) => {
                    self.histogram_times.push(*time);
                    self.histograms.push(histogram);
                    if let Some(start) = raw.starts_ms.get(at) {
                        self.histogram_starts.push(*start);
                    }
                }
                None => {
                    self.times.push(*time);
                    self.values.push(raw.values[at]);
                    if let Some(start) = raw.starts_ms.get(at) {
                        self.starts.push(*start);
                    }
                }
            }
        }
    }
}
