//! `count_values`: a series per distinct value.

use crate::QueryError;
use crate::plan::Aggregate;
use crate::source::{is_valid_label_name, quote_bytes};
use stillwell_model::number_text::push_plain;

use super::super::column::{Column, Point, is_absent};
use super::super::group::Keys;
use super::super::{Eval, Grid, Sink, execution};

impl Eval<'_> {
    pub(super) fn count_values(
        &self,
        aggregate: &Aggregate,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let label = match &aggregate.param {
            Some(param) => self.string(param)?,
            None => "",
        };
        if !is_valid_label_name(label) {
            return Err(execution(format!(
                "invalid label name {}",
                quote_bytes(label)
            )));
        }
        let mut rule = super::rule(aggregate);
        rule.also(label);
        let mut keys = Keys::new(rule);
        let mut columns: Vec<Column> = Vec::new();
        for series in self.collect(&aggregate.expr, grid)? {
            let mut builder = series.labels.to_builder();
            let mut last: Option<(u64, usize)> = None;
            for step in 0..grid.count {
                let (bits, text) = match series.column.get(step) {
                    Point::None => continue,
                    Point::Float(value) => match last {
                        Some((bits, at)) if bits == value.to_bits() => {
                            count(&mut columns[at], step);
                            continue;
                        }
                        _ => (Some(value.to_bits()), decimal(value)),
                    },
                    Point::Histogram(histogram) => (None, histogram.to_string()),
                };
                self.poll()?;
                builder.set(label, &text);
                let at = keys.find_or_add(&builder.build());
                if at == columns.len() {
                    self.hold(grid.count as u64)?;
                    self.hold_bytes(keys.key(at).bytes())?;
                    columns.push(Column::absent(grid.count));
                }
                count(&mut columns[at], step);
                last = bits.map(|bits| (bits, at));
            }
        }
        for (at, mut column) in columns.into_iter().enumerate() {
            sink(keys.key(at), false, &mut column)?;
        }
        Ok(())
    }
}

fn count(column: &mut Column, step: usize) {
    let place = &mut column.floats[step];
    *place = if is_absent(*place) { 1.0 } else { *place + 1.0 };
}

/// All digits, no exponent.
fn decimal(value: f64) -> String {
    let mut text = String::new();
    push_plain(&mut text, value);
    text
}
