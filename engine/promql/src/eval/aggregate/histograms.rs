//! Sum and mean of native histograms in one group at one step.

use std::sync::Arc;

use crate::plan::{Aggregate, AggregateOp};
use stillwell_model::histogram::{Compensated, FloatHistogram, ResetHint};

use super::super::Eval;
use super::super::column::{ABSENT, Column, is_absent};

#[derive(Default)]
pub(super) struct HistogramFold {
    total: Option<Compensated>,
    count: f64,
    /// The total is a running mean, since the sum would overflow.
    incremental: bool,
    /// Layouts met that do not add up; there is no value.
    incompatible: bool,
    reset: bool,
    not_reset: bool,
}

impl HistogramFold {
    pub(super) fn add(
        &mut self,
        eval: &Eval<'_>,
        aggregate: &Aggregate,
        histogram: &Arc<FloatHistogram>,
        metric: &str,
    ) {
        if self.incompatible {
            return;
        }
        self.reset |= histogram.hint == ResetHint::Reset;
        self.not_reset |= histogram.hint == ResetHint::NotReset;
        self.count += 1.0;
        let Some(total) = self.total.take() else {
            self.total = Some(Compensated::new((**histogram).clone()));
            return;
        };
        let average = aggregate.op == AggregateOp::Avg;
        match self.added(total, histogram, average) {
            Some((total, reconciled)) => {
                self.total = Some(total);
                if reconciled {
                    let message = "mismatched custom buckets were reconciled during aggregation";
                    eval.info(aggregate.expr.span, message);
                }
            }
            None => {
                self.incompatible = true;
                eval.warn(aggregate.expr.span, format!(
                    "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric:?}"
                ));
            }
        }
    }

    fn added(
        &mut self,
        mut total: Compensated,
        histogram: &FloatHistogram,
        average: bool,
    ) -> Option<(Compensated, bool)> {
        if !self.incremental {
            let mut longer = total.clone();
            let merged = longer.add(histogram).ok()?;
            if !average || !longer.sum.has_overflow() {
                return Some((longer, merged.bounds_reconciled));
            }
            self.incremental = true;
            total.divide(self.count - 1.0);
        }
        total.multiply((self.count - 1.0) / self.count);
        let mut part = histogram.clone();
        part.divide(self.count);
        let merged = total.add(&part).ok()?;
        Some((total, merged.bounds_reconciled))
    }

    /// Puts the value into the column. Floats beside histograms leave no value.
    pub(super) fn finish(
        self,
        eval: &Eval<'_>,
        aggregate: &Aggregate,
        column: &mut Column,
        step: usize,
    ) {
        if self.count == 0.0 && !self.incompatible {
            return;
        }
        if !is_absent(column.floats[step]) {
            column.floats[step] = ABSENT;
            let message = "encountered a mix of histograms and floats for aggregation";
            eval.warn(aggregate.expr.span, message);
            return;
        }
        if self.incompatible {
            return;
        }
        let Some(mut total) = self.total else { return };
        if aggregate.op == AggregateOp::Avg && !self.incremental {
            total.divide(self.count);
        }
        if self.reset && self.not_reset {
            eval.warn(
                aggregate.expr.span,
                "conflicting counter resets during histogram aggregation",
            );
        }
        let mut total = total.finish();
        total.compact();
        column.set_histogram(step, Arc::new(total));
    }
}
