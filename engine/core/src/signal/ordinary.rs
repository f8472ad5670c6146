//! Ordinary evaluation: a query in the signal view, for what is not compiled, and for whoever checks what is.

use crate::labels::Labels;
use crate::promql::{EvalOptions, Query, Value};
use crate::time::Timestamp;

use super::query::SignalQuery;
use super::view::SignalView;

/// What an evaluation yields.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The elements.
    pub values: Vec<(Labels, f64)>,
    /// Parts of the query that had no series.
    pub empty_parts: Vec<usize>,
}

/// A result, or why there is none.
pub type Evaluated = Result<Outcome, String>;

/// Evaluates a query in the signal view.
pub(crate) fn evaluate(
    query: &SignalQuery,
    view: &SignalView,
    at: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Outcome, String> {
    let values = vector(&query.query, view, at, options)?;
    let mut empty_parts = Vec::new();
    for (index, part) in query.parts.iter().enumerate() {
        if vector(&part.query, view, at, options)?.is_empty() {
            empty_parts.push(index);
        }
    }
    Ok(Outcome {
        values,
        empty_parts,
    })
}

fn vector(
    query: &Query,
    view: &SignalView,
    at: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Vec<(Labels, f64)>, String> {
    let answer = query
        .instant(view, at, options)
        .map_err(|error| error.to_string())?;
    match answer.value {
        Value::Vector(samples) if samples.iter().any(|sample| sample.histogram.is_some()) => Err(
            "the query yields native histograms, and a scaler takes numbers: reduce them, as by histogram_quantile, \
             histogram_count or histogram_sum"
                .to_owned(),
        ),
        Value::Vector(samples) => Ok(samples
            .into_iter()
            .map(|sample| (sample.labels, sample.value))
            .collect()),
        Value::Scalar(_, value) => Ok(vec![(Labels::empty(), value)]),
        Value::String(..) | Value::Matrix(_) => {
            Err("the query yields no instant vector".to_owned())
        }
    }
}
