//! What a query answers: a value with its annotations, or an error of one of Prometheus' kinds.

use std::fmt;
use std::sync::Arc;

use stillwell_model::histogram::FloatHistogram;
use stillwell_model::labels::Labels;
use stillwell_model::time::Timestamp;

/// A query's value and what it wants to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// Prometheus' annotations, worded as Prometheus words them.
    pub annotations: Annotations,
}

impl Answer {
    /// The same with every time later by `ms`.
    #[must_use]
    pub fn moved_by(mut self, ms: i64) -> Answer {
        if ms == 0 {
            return self;
        }
        let later = |time: &mut Timestamp| *time = time.plus_ms(ms);
        match &mut self.value {
            Value::Scalar(time, _) | Value::String(time, _) => later(time),
            Value::Vector(samples) => samples
                .iter_mut()
                .for_each(|sample| later(&mut sample.time)),
            Value::Matrix(list) => {
                for series in list {
                    series.floats.iter_mut().for_each(|(time, _)| later(time));
                    series
                        .histograms
                        .iter_mut()
                        .for_each(|(time, _)| later(time));
                }
            }
        }
        self
    }
}

/// The four types of PromQL results.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number at a time.
    Scalar(Timestamp, f64),
    /// A text at a time.
    String(Timestamp, String),
    /// One sample per series, in the order in which Prometheus would print them.
    Vector(Vec<VectorSample>),
    /// Points over time per series, sorted by labels (range queries; instant queries of a range selector).
    Matrix(Vec<RangeSeries>),
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// Its labels.
    pub labels: Labels,
    /// The evaluation time.
    pub time: Timestamp,
    /// The value; 0 where there is a histogram.
    pub value: f64,
    /// The value of a native histogram element.
    pub histogram: Option<Arc<FloatHistogram>>,
}

/// One series of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSeries {
    /// Its labels.
    pub labels: Labels,
    /// Float points, ascending in time.
    pub floats: Vec<(Timestamp, f64)>,
    /// Native histogram points, ascending in time.
    pub histograms: Vec<(Timestamp, Arc<FloatHistogram>)>,
}

/// Warnings and infos, each text once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Results that are likely wrong.
    pub warnings: Vec<String>,
    /// Results that may surprise.
    pub infos: Vec<String>,
}

/// Why a query has no answer. The kinds are Prometheus' `errorType`s (web/api/v1/api.go).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryError {
    /// The text or a parameter is wrong: `bad_data`, 400. `position` is a byte range of the text, where known.
    BadData {
        /// What is wrong and what would be right.
        message: String,
        /// Byte offsets `(start, end)` in the query.
        position: Option<(usize, usize)>,
    },
    /// It failed while running: `execution`, 422.
    Execution(String),
    /// It ran past its time: `timeout`, 503.
    Timeout(String),
    /// Somebody stopped it: `canceled`, 503.
    Canceled(String),
    /// Queries hold all the memory that they may hold together: `unavailable`, 503.
    Overloaded(String),
    /// Our fault: `internal`, 500.
    Internal(String),
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::BadData { message, .. }
            | QueryError::Execution(message)
            | QueryError::Timeout(message)
            | QueryError::Canceled(message)
            | QueryError::Overloaded(message)
            | QueryError::Internal(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for QueryError {}
