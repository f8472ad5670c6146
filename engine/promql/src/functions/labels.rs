//! `label_replace` and `label_join`.

use crate::QueryError;
use crate::eval::{Eval, Grid, Merger, Sink, execution};
use crate::plan::Expr;
use crate::select::Projection;
use crate::source::is_valid_label_name;
use stillwell_model::labels::{Labels, METRIC_NAME, Re2};

fn check_name(function: &str, role: &str, name: &str) -> Result<(), QueryError> {
    if !is_valid_label_name(name) {
        return Err(execution(format!(
            "invalid {role}label name in {function}(): {name}"
        )));
    }
    Ok(())
}

pub(super) fn replace(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let text = |index: usize| eval.string(&args[index]);
    let (destination, replacement, source, pattern) = (text(1)?, text(2)?, text(3)?, text(4)?);
    let regex = Re2::new(pattern).map_err(|_| {
        execution(format!(
            "invalid regular expression in label_replace(): {pattern}"
        ))
    })?;
    check_name("label_replace", "destination ", destination)?;
    let mut merger = Merger::new(eval);
    eval.stream(
        &args[0],
        grid,
        Projection::All,
        &mut |labels, drop, column| {
            let value = labels.get(source).unwrap_or("");
            match regex.expand(value, replacement, BUILT_VALUE_BYTES_MAX) {
                Some(result) => {
                    check_value(&result)?;
                    merger.add(
                        &with(labels, destination, &result),
                        drop_after(drop, destination),
                        column,
                    )
                }
                None => merger.add(labels, drop, column),
            }
        },
    )?;
    merger.finish(sink)
}

pub(super) fn join(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let text = |index: usize| eval.string(&args[index]);
    let (destination, separator) = (text(1)?, text(2)?);
    let sources = (3..args.len()).map(text).collect::<Result<Vec<_>, _>>()?;
    for source in &sources {
        check_name("label_join", "source ", source)?;
    }
    check_name("label_join", "destination ", destination)?;
    let mut merger = Merger::new(eval);
    eval.stream(
        &args[0],
        grid,
        Projection::All,
        &mut |labels, drop, column| {
            let values: Vec<&str> = sources
                .iter()
                .map(|source| labels.get(source).unwrap_or(""))
                .collect();
            let separators = separator
                .len()
                .saturating_mul(values.len().saturating_sub(1));
            check_value_bytes(values.iter().map(|value| value.len()).sum::<usize>() + separators)?;
            let result = values.join(separator);
            merger.add(
                &with(labels, destination, &result),
                drop_after(drop, destination),
                column,
            )
        },
    )?;
    merger.finish(sink)
}

/// The longest label value that a query may build. Nested `label_join` doubles a value at every level; what a scraped
/// page may hold is bounded by its size, and what anybody reads is much shorter.
const BUILT_VALUE_BYTES_MAX: usize = 64 << 10;

fn check_value(value: &str) -> Result<(), QueryError> {
    check_value_bytes(value.len())
}

fn check_value_bytes(bytes: usize) -> Result<(), QueryError> {
    if bytes > BUILT_VALUE_BYTES_MAX {
        return Err(execution(format!(
            "the query builds a label value of {bytes} bytes; at most {BUILT_VALUE_BYTES_MAX} may be built"
        )));
    }
    Ok(())
}

fn with(labels: &Labels, name: &str, value: &str) -> Labels {
    let mut builder = labels.to_builder();
    builder.set(name, value);
    builder.build()
}

/// A name that was set on purpose stays.
fn drop_after(drop: bool, destination: &str) -> bool {
    drop && destination != METRIC_NAME
}
