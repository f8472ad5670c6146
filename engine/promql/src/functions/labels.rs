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

/// What `label_replace` or `label_join` does to the labels of one series.
pub enum LabelChange {
    /// `label_replace`.
    Replace {
        /// The label that is set.
        destination: String,
        /// With references to groups of the pattern.
        replacement: String,
        /// The label whose value is compared with the pattern.
        source: String,
        /// The pattern.
        pattern: Re2,
    },
    /// `label_join`.
    Join {
        /// The label that is set.
        destination: String,
        /// What stands between the values.
        separator: String,
        /// The labels whose values are joined.
        sources: Vec<String>,
    },
}

impl LabelChange {
    /// `label_replace` with the texts of its arguments: destination, replacement, source, pattern. Error: the pattern or a
    /// name is not valid.
    pub fn replace(
        [destination, replacement, source, pattern]: [&str; 4],
    ) -> Result<LabelChange, QueryError> {
        let regex = Re2::new(pattern).map_err(|_| {
            execution(format!(
                "invalid regular expression in label_replace(): {pattern}"
            ))
        })?;
        check_name("label_replace", "destination ", destination)?;
        Ok(LabelChange::Replace {
            destination: destination.to_owned(),
            replacement: replacement.to_owned(),
            source: source.to_owned(),
            pattern: regex,
        })
    }

    /// `label_join` with the texts of its arguments. Error: a name is not valid.
    pub fn join(
        destination: &str,
        separator: &str,
        sources: &[&str],
    ) -> Result<LabelChange, QueryError> {
        for source in sources {
            check_name("label_join", "source ", source)?;
        }
        check_name("label_join", "destination ", destination)?;
        Ok(LabelChange::Join {
            destination: destination.to_owned(),
            separator: separator.to_owned(),
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        })
    }

    /// The label that is set.
    fn destination(&self) -> &str {
        match self {
            LabelChange::Replace { destination, .. } | LabelChange::Join { destination, .. } => {
                destination
            }
        }
    }

    /// The changed labels; `None` if they stay as they are. Error: a value would become too long.
    pub fn apply(&self, labels: &Labels) -> Result<Option<Labels>, QueryError> {
        let value = match self {
            LabelChange::Replace {
                replacement,
                source,
                pattern,
                ..
            } => {
                let value = labels.get(source).unwrap_or("");
                match pattern.expand(value, replacement, BUILT_VALUE_BYTES_MAX) {
                    Some(result) => result,
                    None => return Ok(None),
                }
            }
            LabelChange::Join {
                separator, sources, ..
            } => {
                let values: Vec<&str> = sources
                    .iter()
                    .map(|source| labels.get(source).unwrap_or(""))
                    .collect();
                let separators = separator
                    .len()
                    .saturating_mul(values.len().saturating_sub(1));
                check_value_bytes(
                    values.iter().map(|value| value.len()).sum::<usize>() + separators,
                )?;
                values.join(separator)
            }
        };
        check_value_bytes(value.len())?;
        Ok(Some(with(labels, self.destination(), &value)))
    }
}

pub(super) fn replace(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let text = |index: usize| eval.string(&args[index]);
    let change = LabelChange::replace([text(1)?, text(2)?, text(3)?, text(4)?])?;
    stream_changed(eval, &args[0], &change, grid, sink)
}

pub(super) fn join(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let text = |index: usize| eval.string(&args[index]);
    let sources = (3..args.len()).map(text).collect::<Result<Vec<_>, _>>()?;
    let change = LabelChange::join(text(1)?, text(2)?, &sources)?;
    stream_changed(eval, &args[0], &change, grid, sink)
}

fn stream_changed(
    eval: &Eval<'_>,
    arg: &Expr,
    change: &LabelChange,
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let mut merger = Merger::new(eval);
    eval.stream(
        arg,
        grid,
        Projection::All,
        &mut |labels, drop, column| match change.apply(labels)? {
            Some(changed) => merger.add(&changed, drop_after(drop, change.destination()), column),
            None => merger.add(labels, drop, column),
        },
    )?;
    merger.finish(sink)
}

/// The longest label value that a query may build. Nested `label_join` doubles a value at every level; what a scraped
/// page may hold is bounded by its size, and what anybody reads is much shorter.
const BUILT_VALUE_BYTES_MAX: usize = 64 << 10;

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
