//! `quantile`.

use crate::QueryError;
use crate::arithmetic::floats;
use crate::plan::Aggregate;
use stillwell_model::number_text::go_float;

use super::super::column::{Column, is_absent};
use super::super::{Eval, Grid, Sink};

impl Eval<'_> {
    pub(super) fn quantile_groups(
        &self,
        aggregate: &Aggregate,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let quantiles = self.param(aggregate, grid)?;
        for q in &quantiles {
            if q.is_nan() || !(0.0..=1.0).contains(q) {
                let span = aggregate
                    .param
                    .as_ref()
                    .map_or(aggregate.expr.span, |param| param.span);
                self.warn(
                    span,
                    format!(
                        "quantile value should be between 0 and 1, got {}",
                        go_float(*q)
                    ),
                );
            }
        }
        let series = self.collect(&aggregate.expr, grid)?;
        let (keys, groups) = super::members(&series, super::rule(aggregate));
        let mut values = Vec::new();
        for (at, members) in groups.iter().enumerate() {
            let mut column = Column::absent(grid.count);
            let mut drop_name = false;
            for (step, q) in quantiles.iter().enumerate() {
                values.clear();
                for member in members {
                    let series = &series[*member];
                    drop_name |= series.drop_name;
                    if series.column.histogram(step).is_some() {
                        self.info(
                            aggregate.expr.span,
                            "ignored histogram in quantile aggregation",
                        );
                    }
                    let value = series.column.floats[step];
                    if !is_absent(value) {
                        values.push(value);
                    }
                }
                if !values.is_empty() {
                    column.floats[step] = floats::quantile(*q, &mut values);
                }
            }
            if !column.is_empty() {
                sink(keys.key(at), drop_name, &mut column)?;
            }
        }
        Ok(())
    }
}
