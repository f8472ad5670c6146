//! Evaluation of a query from its plan, in the signal view: for queries that are not compiled, and for the test that
//! compares the two.

use crate::labels::Labels;
use crate::promql::select::View;
use crate::promql::{Annotations, EvalOptions, Query, QueryError, Value};
use crate::time::Timestamp;

use super::query::SignalQuery;
use super::view::SignalView;

/// The result of one evaluation.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// The elements of the result vector.
    pub values: Vec<(Labels, f64)>,
    /// Parts of the query (indices into `SignalQuery::parts`) whose result was empty.
    pub empty_parts: Vec<usize>,
    /// Whether it is empty because comparisons leave out all that was there.
    pub left_out: Compared,
    /// Series that the query reads whose newest sample is NaN or infinite, where its result would not show that: their
    /// labels, without the name.
    pub not_finite: Vec<Labels>,
    /// Elements that are NaN where `nan: zero` makes no number of them: only a part of what they read is NaN.
    pub nan_in_part: Vec<Labels>,
}

/// What an evaluation says of the comparisons of a query whose result is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// They leave nothing of what is there, 0 included where that is proven.
    pub all: bool,
    /// The operands that have no series, which has to be proven to mean 0.
    pub operands_empty: Vec<usize>,
}

impl Compared {
    /// What follows of an empty result from which of the queries are empty that `Comparison::looked_at` names, `looked_at` of them.
    pub(super) fn note(&mut self, looked_at: usize, is_empty: impl Fn(usize) -> bool) {
        self.clear();
        let Some(operands) = looked_at.checked_sub(2) else {
            return; // nothing is compared
        };
        self.operands_empty
            .extend((0..operands).filter(|at| is_empty(*at)));
        let (filled, holds) = (operands, operands + 1);
        self.all = is_empty(filled) && !is_empty(holds);
    }

    pub(super) fn clear(&mut self) {
        self.all = false;
        self.operands_empty.clear();
    }
}

/// The result of an evaluation, or why it has none.
pub type Evaluated = Result<Evaluation, String>;

/// Evaluates a query in the signal view.
pub(crate) fn evaluate(
    query: &SignalQuery,
    view: &SignalView,
    at: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Evaluation, QueryError> {
    let values = vector(&query.query, view, at, options)?;
    let mut empty_parts = Vec::new();
    // What a comparison has let through was there, and need not be evaluated again.
    let is_known = |part: &SignalQuery| {
        query.filter.is_some() && part.fallback.is_none() && !values.is_empty()
    };
    for (index, part) in query.parts.iter().enumerate() {
        if !is_known(part) && vector(&part.query, view, at, options)?.is_empty() {
            empty_parts.push(index);
        }
    }
    let mut left_out = Compared::default();
    if let (Some(comparison), true) = (&query.comparison, values.is_empty()) {
        let mut are_empty = Vec::new();
        for query in comparison.looked_at() {
            are_empty.push(vector(query, view, at, options)?.is_empty());
        }
        left_out.note(are_empty.len(), |at| are_empty[at]);
    }
    let mut not_finite = Vec::new();
    for selected in &query.not_finite {
        let answer = selected.instant(view, at, options)?;
        if let Value::Vector(samples) = answer.value {
            not_finite.extend(samples.into_iter().map(|sample| sample.labels));
        }
    }
    not_finite.sort_unstable();
    Ok(Evaluation {
        values,
        empty_parts,
        left_out,
        not_finite,
        nan_in_part: Vec::new(),
    })
}

pub(super) fn vector(
    query: &Query,
    view: &dyn View,
    at: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Vec<(Labels, f64)>, QueryError> {
    let answer = query.instant(view, at, options)?;
    let unfit = |why: &str| Err(QueryError::Execution(why.to_owned()));
    let is_empty = matches!(&answer.value, Value::Vector(samples) if samples.is_empty());
    // An absence is proven by series that are not there (S4); these are, and evaluation leaves them out.
    if let (true, Some(why)) = (is_empty, left_out(&answer.annotations)) {
        return unfit(&format!(
            "the result is empty although there are series that it reads: {why}"
        ));
    }
    match answer.value {
        Value::Vector(samples) if samples.iter().any(|sample| sample.histogram.is_some()) => unfit(
            "the query yields native histograms, and a scaler takes numbers: reduce them, as by histogram_quantile, \
             histogram_count or histogram_sum",
        ),
        Value::Vector(samples) => Ok(samples
            .into_iter()
            .map(|sample| (sample.labels, sample.value))
            .collect()),
        Value::Scalar(_, value) => Ok(vec![(Labels::empty(), value)]),
        Value::String(..) | Value::Matrix(_) => unfit("the query yields no instant vector"),
    }
}

/// What evaluation says of series that it has left out because they hold native histograms, beside floats or where numbers
/// are expected.
fn left_out(annotations: &Annotations) -> Option<&str> {
    let all = annotations.warnings.iter().chain(&annotations.infos);
    let mut texts = all.map(String::as_str);
    texts.find(|text| text.contains("histograms and floats") || text.contains("ignored histogram"))
}
