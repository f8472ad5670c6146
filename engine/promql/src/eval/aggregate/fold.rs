//! Aggregations with a running state: `sum avg count min max group stddev stdvar`.
//!
//! Sums are compensated (Neumaier) in the order of the input, as Prometheus does it, so that they are equal to
//! its sums bit for bit where the order is. Budget: a float added at one step costs a few nanoseconds, no allocation.

use crate::QueryError;
use crate::plan::{Aggregate, AggregateOp};
use stillwell_model::arithmetic::kahan_inc;

use super::super::column::{ABSENT, Column, is_absent};
use super::super::group::Keys;
use super::super::{Eval, Grid, Sink};
use super::histograms::HistogramFold;
use crate::arithmetic::aggregation::{
    self as steps, add_to_max, add_to_mean, add_to_min, add_to_variance, start_variance,
};

impl Eval<'_> {
    pub(super) fn fold_groups(
        &self,
        aggregate: &Aggregate,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let mut keys = Keys::new(super::rule(aggregate));
        let mut groups: Vec<Fold> = Vec::new();
        self.stream(
            &aggregate.expr,
            grid,
            super::need(aggregate),
            &mut |labels, drop_name, column| {
                let at = keys.find_or_add(labels);
                if at == groups.len() {
                    self.hold(grid.count as u64)?;
                    self.hold_bytes(GROUP_BYTES + labels.bytes())?;
                    self.hold_bytes(grid.count * COUNT_BYTES)?;
                    groups.push(Fold::new(grid.count));
                }
                let group = &mut groups[at];
                group.drop_name |= drop_name;
                group.add_floats(aggregate.op, column);
                if !column.histograms.is_empty() {
                    let name = super::metric_name(aggregate, labels);
                    group.add_histograms(self, aggregate, column, name);
                }
                Ok(())
            },
        )?;
        for (at, group) in groups.into_iter().enumerate() {
            self.release(grid.count as u64);
            self.release_bytes(grid.count * COUNT_BYTES);
            let drop_name = group.drop_name;
            let mut column = group.finish(self, aggregate);
            if !column.is_empty() {
                sink(keys.key(at), drop_name, &mut column)?;
            }
        }
        Ok(())
    }
}

/// A group beside its labels' text and its columns, in bytes.
const GROUP_BYTES: usize = 256;
/// At each step, beside the two numbers that count as a sample.
const COUNT_BYTES: usize = size_of::<u32>();

/// The running state of one group, a place per step.
struct Fold {
    /// The sum, mean, extreme, or sum of squares; absent where no float came yet.
    value: Vec<f64>,
    /// What rounding took from the sum; the mean of variances.
    compensation: Vec<f64>,
    count: Vec<u32>,
    /// At which steps `value` is a running mean, since the sum would overflow. Empty where nowhere.
    incremental: Vec<bool>,
    /// Empty where there are none.
    histograms: Vec<HistogramFold>,
    drop_name: bool,
}

impl Fold {
    fn new(steps: usize) -> Fold {
        Fold {
            value: vec![ABSENT; steps],
            compensation: vec![0.0; steps],
            count: vec![0; steps],
            incremental: Vec::new(),
            histograms: Vec::new(),
            drop_name: false,
        }
    }

    fn add_floats(&mut self, op: AggregateOp, column: &Column) {
        let steps = self.value.len();
        let values = &column.floats[..steps];
        let (sums, compensations, counts) = (
            &mut self.value[..steps],
            &mut self.compensation[..steps],
            &mut self.count[..steps],
        );
        match op {
            AggregateOp::Sum => {
                for step in 0..steps {
                    let value = values[step];
                    if is_absent(value) {
                        continue;
                    }
                    if is_absent(sums[step]) {
                        sums[step] = value;
                    } else {
                        kahan_inc(value, &mut sums[step], &mut compensations[step]);
                    }
                }
            }
            AggregateOp::Count | AggregateOp::Group => {
                for step in 0..steps {
                    counts[step] += u32::from(!is_absent(values[step]));
                }
            }
            AggregateOp::Max => {
                for step in 0..steps {
                    let (value, best) = (values[step], &mut sums[step]);
                    if !is_absent(value) {
                        add_to_max(value, best);
                    }
                }
            }
            AggregateOp::Min => {
                for step in 0..steps {
                    let (value, best) = (values[step], &mut sums[step]);
                    if !is_absent(value) {
                        add_to_min(value, best);
                    }
                }
            }
            AggregateOp::Avg => self.add_to_mean(column),
            _ => self.add_to_variance(column),
        }
    }

    fn add_to_mean(&mut self, column: &Column) {
        for (step, value) in column
            .floats
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, value)| !is_absent(*value))
        {
            self.count[step] += 1;
            let (have, compensation) = (&mut self.value[step], &mut self.compensation[step]);
            if is_absent(*have) {
                *have = value;
                continue;
            }
            let before = self.incremental.get(step).copied().unwrap_or(false);
            let mut incremental = before;
            add_to_mean(
                value,
                self.count[step],
                have,
                compensation,
                &mut incremental,
            );
            if incremental && !before {
                self.incremental.resize(self.count.len(), false);
                self.incremental[step] = true;
            }
        }
    }

    fn add_to_variance(&mut self, column: &Column) {
        for (step, value) in column
            .floats
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, value)| !is_absent(*value))
        {
            self.count[step] += 1;
            let (squares, mean) = (&mut self.value[step], &mut self.compensation[step]);
            if is_absent(*squares) {
                (*squares, *mean) = start_variance(value);
                continue;
            }
            add_to_variance(value, self.count[step], squares, mean);
        }
    }

    fn add_histograms(
        &mut self,
        eval: &Eval<'_>,
        aggregate: &Aggregate,
        column: &Column,
        metric: &str,
    ) {
        let op = aggregate.op;
        for (step, histogram) in column.histograms.iter().enumerate() {
            let Some(histogram) = histogram else { continue };
            match op {
                AggregateOp::Count | AggregateOp::Group => self.count[step] += 1,
                AggregateOp::Sum | AggregateOp::Avg => {
                    if self.histograms.is_empty() {
                        self.histograms
                            .resize_with(self.value.len(), HistogramFold::default);
                    }
                    self.histograms[step].add(eval, aggregate, histogram, metric);
                }
                _ => eval.info(
                    aggregate.expr.span,
                    format!("ignored histogram in {} aggregation", op.as_str()),
                ),
            }
        }
    }

    fn finish(mut self, eval: &Eval<'_>, aggregate: &Aggregate) -> Column {
        for step in 0..self.value.len() {
            let (compensation, count) = (self.compensation[step], self.count[step]);
            let value = &mut self.value[step];
            let counts = matches!(aggregate.op, AggregateOp::Count | AggregateOp::Group);
            if (counts && count > 0) || (!counts && !is_absent(*value)) {
                let incremental = self.incremental.get(step) == Some(&true);
                *value = steps::finish(aggregate.op, *value, compensation, count, incremental);
            }
        }
        let mut column = Column {
            floats: self.value,
            histograms: Vec::new(),
        };
        for (step, fold) in self.histograms.into_iter().enumerate() {
            fold.finish(eval, aggregate, &mut column, step);
        }
        column
    }
}
