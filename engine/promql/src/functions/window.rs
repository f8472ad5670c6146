//! A range function's window and its call: samples, edges, arguments, and where its annotations point.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::segments::Segments;
use super::sums::Sums;
use crate::eval::{Eval, Point, Windows};
use crate::plan::{Edges, Expr, ExprKind, FunctionId, Span};
use stillwell_model::histogram::{FloatHistogram, Merged};

/// What a range function sees at one step.
#[derive(Clone, Copy)]
pub(crate) struct RangeWindow<'s> {
    pub(crate) times: &'s [i64],
    pub(crate) values: &'s [f64],
    /// Start timestamps of the floats; empty where none are known.
    pub(crate) starts: &'s [i64],
    pub(crate) histogram_times: &'s [i64],
    pub(crate) histograms: &'s [Arc<FloatHistogram>],
    pub(crate) histogram_starts: &'s [i64],
    /// Exclusive.
    pub(crate) start_ms: i64,
    /// Inclusive.
    pub(crate) end_ms: i64,
    /// The length of the range in seconds.
    pub(crate) range_seconds: f64,
    /// The evaluation time, which `offset` and `@` do not move.
    pub(crate) eval_ms: i64,
    /// The series' metric name, for annotations.
    pub(crate) metric: &'s str,
}

impl RangeWindow<'_> {
    /// A window of which only the edges matter.
    pub(super) fn bare(start_ms: i64, end_ms: i64) -> RangeWindow<'static> {
        RangeWindow {
            times: &[],
            values: &[],
            starts: &[],
            histogram_times: &[],
            histograms: &[],
            histogram_starts: &[],
            start_ms,
            end_ms,
            range_seconds: (end_ms - start_ms) as f64 / 1000.0,
            eval_ms: end_ms,
            metric: "",
        }
    }
}

/// Whether the function is for counters, and whether it is per second.
pub(super) fn counter_and_per_second(id: FunctionId) -> (bool, bool) {
    match id {
        FunctionId::Rate => (true, true),
        FunctionId::Increase => (true, false),
        _ => (false, false),
    }
}

/// One call of a range function.
pub(crate) struct Call<'c, 'a> {
    pub(crate) eval: &'c Eval<'a>,
    pub(crate) expr: &'c Expr,
    pub(crate) id: FunctionId,
    /// The scalar arguments, a value per step.
    pub(crate) params: &'c [Vec<f64>],
    pub(crate) range: &'c Expr,
    pub(crate) edges: Edges,
    /// The metric name that the selector fixes.
    pub(super) name: Option<&'c str>,
    pub(super) scratch: RefCell<Scratch>,
    /// Whether the name was already found to be a counter's, or it does not matter.
    pub(super) counter_checked: Cell<bool>,
}

/// Memory that is reused from series to series.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) indices: Vec<u32>,
    pub(super) totals: Vec<f64>,
    pub(super) segments: Segments,
    pub(super) sums: Sums,
    pub(super) sorted: Vec<f64>,
}

impl Call<'_, '_> {
    /// The window at a step without its samples.
    pub(crate) fn window_edges<'w>(
        &self,
        windows: &'w Windows,
        metric: &'w str,
    ) -> impl Fn(usize) -> RangeWindow<'w> + use<'w> {
        let range_seconds = windows.range_ms as f64 / 1000.0;
        move |step| {
            let end_ms = windows.end_ms(step);
            RangeWindow {
                times: &[],
                values: &[],
                starts: &[],
                histogram_times: &[],
                histograms: &[],
                histogram_starts: &[],
                start_ms: end_ms.saturating_sub(windows.range_ms),
                end_ms,
                range_seconds,
                eval_ms: windows.grid.at(step),
                metric,
            }
        }
    }

    /// Where annotations point. Prometheus loses the place of a subquery on the way to the function.
    fn span(&self) -> Span {
        match self.range.bare().kind {
            ExprKind::Subquery(_) => Span::default(),
            _ => self.range.span,
        }
    }

    pub(crate) fn warn(&self, message: impl AsRef<str>) {
        self.eval.warn(self.span(), message);
    }

    pub(crate) fn info(&self, message: impl AsRef<str>) {
        self.eval.info(self.span(), message);
    }

    pub(crate) fn warn_mixed(&self, metric: &str) -> Point {
        self.warn(format!(
            "encountered a mix of histograms and floats for metric name {metric:?}"
        ));
        Point::None
    }

    pub(crate) fn annotate_ignored_histograms(&self, window: &RangeWindow<'_>) {
        if !window.histograms.is_empty() {
            self.info(format!(
                "ignored histograms in a range containing both floats and histograms for metric name {:?}",
                window.metric
            ));
        }
    }

    pub(crate) fn warn_layouts(&self, metric: &str) -> Point {
        self.warn(format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric:?}"
        ));
        Point::None
    }

    /// Notes that custom bounds differed, where they did.
    pub(crate) fn annotate_bounds(&self, merged: Merged, operation: &str) {
        if merged.bounds_reconciled {
            self.info(format!(
                "mismatched custom buckets were reconciled during {operation}"
            ));
        }
    }
}
