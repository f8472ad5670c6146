//! Whether an answer is what a script wants. Numbers may differ by a millionth, as in Prometheus' own runner.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::arithmetic::almost_equal;
use crate::{Annotations, RangeSeries, Value, VectorSample};
use stillwell_model::histogram::{Buckets, FloatHistogram, ResetHint};
use stillwell_model::labels::{Labels, Re2};

use super::command::{AnnotationKind, Eval, Expect, When};
use super::series::Item;

const EPSILON: f64 = 1e-6;

type Outcome = Result<(), (String, String)>;

/// Whether a message is as it must be.
pub(crate) fn says(say: &AnnotationKind, message: &str) -> bool {
    match say {
        AnnotationKind::Anything => true,
        AnnotationKind::Exactly(text) => message == text || message.contains(text.as_str()),
        AnnotationKind::Regex(pattern) => {
            Re2::new(&format!(".*(?:{pattern}).*")).is_ok_and(|regex| regex.is_match(message))
        }
    }
}

pub(crate) fn annotations(expect: &Expect, got: &Annotations) -> Outcome {
    kind("warning", &expect.warn, expect.no_warn, &got.warnings)?;
    kind("info", &expect.info, expect.no_info, &got.infos)
}

fn kind(name: &str, wanted: &[AnnotationKind], none: bool, got: &[String]) -> Outcome {
    if none && !got.is_empty() {
        return Err((format!("{name}s: {got:?}"), format!("no {name}")));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let unmet = wanted
        .iter()
        .any(|say| !got.iter().any(|message| says(say, message)));
    let unwanted = got
        .iter()
        .any(|message| !wanted.iter().any(|say| says(say, message)));
    if unmet || unwanted {
        return Err((format!("{name}s: {got:?}"), format!("{name}s: {wanted:?}")));
    }
    Ok(())
}

/// What a case wants as its value.
pub(crate) struct Expected<'e> {
    eval: &'e Eval,
    ordered: bool,
}

impl<'e> Expected<'e> {
    pub(crate) fn of(eval: &'e Eval) -> Expected<'e> {
        Expected {
            eval,
            ordered: eval.expect.ordered,
        }
    }

    pub(crate) fn unordered(&self) -> Expected<'e> {
        Expected {
            eval: self.eval,
            ordered: false,
        }
    }

    pub(crate) fn check(&self, got: &Value) -> Outcome {
        let fits = match (got, self.eval.when) {
            (Value::Scalar(_, value), _) => {
                self.eval.scalar.is_some_and(|wanted| close(*value, wanted))
            }
            (Value::String(_, text), _) => self.eval.string.as_deref() == Some(text),
            (Value::Vector(vector), _) => self.vector(vector),
            (Value::Matrix(matrix), when) => self.matrix(matrix, self.eval.matrix.unwrap_or(when)),
        };
        if fits {
            Ok(())
        } else {
            Err((show(got), self.to_string()))
        }
    }

    fn vector(&self, got: &[VectorSample]) -> bool {
        if got.len() != self.eval.series.len() {
            return false;
        }
        got.iter().enumerate().all(|(place, sample)| {
            let wanted = self
                .eval
                .series
                .iter()
                .enumerate()
                .find(|(_, wanted)| wanted.labels == sample.labels);
            wanted.is_some_and(|(at, wanted)| {
                let value = match wanted.items.as_slice() {
                    [Item::Float(value)] => {
                        sample.histogram.is_none() && close(sample.value, *value)
                    }
                    [Item::Histogram(wanted)] => sample
                        .histogram
                        .as_ref()
                        .is_some_and(|got| same_histogram(got, wanted)),
                    _ => false,
                };
                value && (!self.ordered || place == at)
            })
        })
    }

    fn matrix(&self, got: &[RangeSeries], when: When) -> bool {
        let When::Range {
            start_ms, step_ms, ..
        } = when
        else {
            return false;
        };
        let present = |items: &[Item]| items.iter().any(|item| *item != Item::Nothing);
        let wanted: Vec<_> = self
            .eval
            .series
            .iter()
            .filter(|wanted| present(&wanted.items))
            .collect();
        if got.len() != wanted.len() {
            return false;
        }
        wanted.iter().all(|wanted| {
            let Some(series) = got.iter().find(|series| series.labels == wanted.labels) else {
                return false;
            };
            let points = wanted
                .items
                .iter()
                .filter(|item| **item != Item::Nothing)
                .count();
            points == series.floats.len() + series.histograms.len()
                && wanted.items.iter().enumerate().all(|(at, item)| {
                    let time_ms = start_ms + step_ms * at as i64;
                    same_point(series, time_ms, item)
                })
        })
    }
}

fn same_point(series: &RangeSeries, time_ms: i64, wanted: &Item) -> bool {
    let float = series.floats.iter().find(|(time, _)| time.ms() == time_ms);
    let histogram = series
        .histograms
        .iter()
        .find(|(time, _)| time.ms() == time_ms);
    match wanted {
        Item::Nothing => float.is_none() && histogram.is_none(),
        Item::Float(wanted) => float.is_some_and(|(_, got)| close(*got, *wanted)),
        Item::Histogram(wanted) => histogram.is_some_and(|(_, got)| same_histogram(got, wanted)),
    }
}

fn close(got: f64, wanted: f64) -> bool {
    almost_equal(got, wanted, EPSILON)
}

/// Numbers may differ a little; hints count only where the script gives one.
fn same_histogram(got: &Arc<FloatHistogram>, wanted: &Arc<FloatHistogram>) -> bool {
    let (mut got, mut wanted) = ((**got).clone(), (**wanted).clone());
    got.compact();
    wanted.compact();
    let same_side = |a: &Buckets, b: &Buckets| {
        a.len() == b.len()
            && a.iter()
                .zip(b.iter())
                .all(|(a, b)| a.index == b.index && close(a.count, b.count))
    };
    got.schema == wanted.schema
        && (wanted.hint == ResetHint::Unknown || got.hint == wanted.hint)
        && close(got.count, wanted.count)
        && close(got.sum, wanted.sum)
        && close(got.zero_threshold, wanted.zero_threshold)
        && close(got.zero_count, wanted.zero_count)
        && got.custom_bounds == wanted.custom_bounds
        && same_side(&got.positive, &wanted.positive)
        && same_side(&got.negative, &wanted.negative)
}

/// The samples of one step.
pub(crate) fn step_of(matrix: Vec<RangeSeries>, at_ms: i64) -> Vec<VectorSample> {
    let mut vector = Vec::new();
    for series in matrix {
        let time = stillwell_model::time::Timestamp::from_ms(at_ms);
        let float = series
            .floats
            .iter()
            .find(|(at, _)| *at == time)
            .map(|(_, value)| *value);
        let histogram = series
            .histograms
            .iter()
            .find(|(at, _)| *at == time)
            .map(|(_, value)| value.clone());
        if float.is_some() || histogram.is_some() {
            vector.push(VectorSample {
                labels: series.labels,
                time,
                value: float.unwrap_or(0.0),
                histogram,
            });
        }
    }
    vector
}

/// A value on one line, for reports.
pub(crate) fn show(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Scalar(_, value) => text = value.to_string(),
        Value::String(_, value) => text = format!("{value:?}"),
        Value::Vector(vector) => {
            for sample in vector {
                let _ = write!(text, "{} ", sample.labels);
                match &sample.histogram {
                    Some(histogram) => show_histogram(&mut text, histogram),
                    None => text.push_str(&sample.value.to_string()),
                }
                text.push_str("; ");
            }
        }
        Value::Matrix(matrix) => {
            for series in matrix {
                show_labels(&mut text, &series.labels);
                for (time, value) in &series.floats {
                    let _ = write!(text, " {value}@{time}");
                }
                for (time, value) in &series.histograms {
                    text.push(' ');
                    show_histogram(&mut text, value);
                    let _ = write!(text, "@{time}");
                }
                text.push_str("; ");
            }
        }
    }
    if text.is_empty() {
        "nothing".to_owned()
    } else {
        text
    }
}

fn show_labels(text: &mut String, labels: &Labels) {
    let _ = write!(text, "{labels}");
}

fn show_histogram(text: &mut String, histogram: &FloatHistogram) {
    let _ = write!(text, "{histogram}");
    if histogram.hint != ResetHint::Unknown {
        let _ = write!(text, "({:?})", histogram.hint);
    }
}

impl std::fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let eval = self.eval;
        if let Some(value) = eval.scalar {
            return write!(f, "{value}");
        }
        if let Some(text) = &eval.string {
            return write!(f, "{text:?}");
        }
        if eval.series.is_empty() {
            return f.write_str("nothing");
        }
        for series in &eval.series {
            write!(f, "{}", series.labels)?;
            for item in &series.items {
                match item {
                    Item::Nothing => f.write_str(" _")?,
                    Item::Float(value) => write!(f, " {value}")?,
                    Item::Histogram(histogram) => {
                        let mut text = String::new();
                        show_histogram(&mut text, histogram);
                        write!(f, " {text}")?;
                    }
                }
            }
            f.write_str("; ")?;
        }
        Ok(())
    }
}
