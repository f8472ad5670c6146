//! Instant selectors that are `smoothed`: at each step the value between the samples around it.

use std::sync::Arc;

use crate::QueryError;
use crate::arithmetic::{interpolate, interpolate_histograms};
use crate::plan::Selector;
use crate::select::{Projection, Samples, SelectRequest, is_stale};
use stillwell_model::histogram::ResetHint;
use stillwell_model::labels::Labels;

use super::column::{Column, Point};
use super::{Eval, Grid, Sink, known_ms};

/// What lies around a step: the samples of the lookback before it and of as long behind it.
struct Around<'s> {
    samples: &'s Samples,
    from: usize,
    to: usize,
    at_ms: i64,
}

impl Eval<'_> {
    pub(super) fn stream_smoothed(
        &self,
        selector: &Selector,
        grid: Grid,
        need: Projection<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let (offset_ms, lookback_ms) = (known_ms(&selector.offset), self.options.lookback_ms);
        let fixed = self.fixed_time(selector.at);
        let time = |step: usize| {
            fixed
                .unwrap_or_else(|| grid.at(step))
                .saturating_sub(offset_ms)
        };
        let request = SelectRequest {
            matchers: &selector.matchers,
            after_ms: time(0).saturating_sub(lookback_ms),
            until_ms: time(grid.count.saturating_sub(1)).saturating_add(lookback_ms),
            projection: need,
            last_only: false,
            memory: None,
            stop: None,
        };
        let selection = self.select(request)?;
        let (mut samples, mut column) = (Samples::default(), Column::default());
        for index in 0..selection.len() {
            self.poll()?;
            selection.read(index, &mut samples);
            column.reset(grid.count);
            for step in 0..grid.count {
                let at_ms = time(step);
                let times = &samples.times_ms;
                let from = times.partition_point(|time| *time <= at_ms.saturating_sub(lookback_ms));
                let to = times.partition_point(|time| *time <= at_ms.saturating_add(lookback_ms));
                let around = Around {
                    samples: &samples,
                    from,
                    to,
                    at_ms,
                };
                column.set(
                    step,
                    self.smoothed_at(&around, selector, selection.labels(index)),
                );
            }
            if !column.is_empty() {
                sink(selection.labels(index), false, &mut column)?;
            }
        }
        Ok(())
    }

    fn smoothed_at(&self, around: &Around<'_>, selector: &Selector, labels: &Labels) -> Point {
        let samples = around.samples;
        let point = |at: usize| match samples.histograms.get(at) {
            Some(Some(histogram)) => Point::Histogram(histogram.clone()),
            _ => Point::Float(samples.values[at]),
        };
        let live = |at: &usize| !is_stale(samples.values[*at]);
        let (mut floats, mut histograms) = (false, false);
        for at in (around.from..around.to).filter(live) {
            match point(at) {
                Point::Histogram(_) => histograms = true,
                _ => floats = true,
            }
        }
        let name = labels
            .metric_name()
            .or(selector.metric_name())
            .unwrap_or("");
        if floats && histograms {
            let message =
                format!("encountered a mix of histograms and floats for metric name {name:?}");
            self.warn(selector.span, message);
            return Point::None;
        }
        let split = samples
            .times_ms
            .partition_point(|time| *time <= around.at_ms);
        let Some(before) = (around.from..split.min(around.to)).rev().find(live) else {
            return Point::None;
        };
        let Some(behind) = (split.max(around.from)..around.to).find(live) else {
            return point(before);
        };
        let (t1, t2) = (samples.times_ms[before], samples.times_ms[behind]);
        if t1 == around.at_ms {
            return point(before);
        }
        match (point(before), point(behind)) {
            (Point::Float(v1), Point::Float(v2)) => {
                Point::Float(interpolate(t1, v1, t2, v2, around.at_ms, false))
            }
            (Point::Histogram(h1), Point::Histogram(h2)) => {
                let counter = h2.hint != ResetHint::Gauge;
                let mut note = |merged: stillwell_model::histogram::Merged, operation: &str| {
                    if merged.bounds_reconciled {
                        let message =
                            format!("mismatched custom buckets were reconciled during {operation}");
                        self.info(selector.span, message);
                    }
                };
                let mixed = h1.is_custom() != h2.is_custom();
                match interpolate_histograms((t1, &h1), (t2, &h2), around.at_ms, counter, &mut note)
                {
                    Ok(histogram) if !mixed => Point::Histogram(Arc::new(histogram)),
                    _ => {
                        self.warn(selector.span, format!(
                            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {name:?}"
                        ));
                        Point::None
                    }
                }
            }
            _ => Point::None,
        }
    }
}
