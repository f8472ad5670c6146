//! A query's answer in Prometheus' JSON, written into one buffer.

use stillwell_engine::Timestamp;
use stillwell_engine::number_text::{push_json, push_plain};
use stillwell_engine::promql::{Annotations, Answer, RangeSeries, Value, VectorSample};

use super::histogram::histogram_point;
use super::number::time;
use super::stats::QueryStats;
use crate::json;

/// A guess that spares most answers a copy: bytes per point or element.
const BYTES_PER_POINT: usize = 32;

/// A native histogram is about as long as so many points.
pub(super) const POINTS_PER_HISTOGRAM: usize = 16;

/// The whole body of a successful query, cut to `limit` series.
pub fn query_body(answer: Answer, limit: Option<usize>) -> String {
    query_body_with(answer, limit, None)
}

/// The same with what was counted and timed, where somebody asked for it.
pub(super) fn query_body_with(
    mut answer: Answer,
    limit: Option<usize>,
    stats: Option<&QueryStats>,
) -> String {
    if let Some(limit) = limit
        && cut(&mut answer.value, limit)
    {
        answer
            .annotations
            .warnings
            .push("results truncated due to limit".to_owned());
    }
    let mut out = String::with_capacity(256 + BYTES_PER_POINT * points(&answer.value));
    out.push_str("{\"status\":\"success\",\"data\":{\"resultType\":");
    match &answer.value {
        Value::Scalar(at, value) => {
            // Scalars alone have no exponent, whatever their size.
            out.push_str("\"scalar\",\"result\":[");
            time(&mut out, *at);
            out.push_str(",\"");
            push_plain(&mut out, *value);
            out.push_str("\"]");
        }
        Value::String(at, text) => {
            out.push_str("\"string\",\"result\":[");
            time(&mut out, *at);
            out.push(',');
            json::string(&mut out, text);
            out.push(']');
        }
        Value::Vector(elements) => {
            out.push_str("\"vector\",\"result\":[");
            json::joined(&mut out, elements, element);
            out.push(']');
        }
        Value::Matrix(series) => {
            out.push_str("\"matrix\",\"result\":[");
            json::joined(&mut out, series, row);
            out.push(']');
        }
    }
    if let Some(stats) = stats {
        stats.write(&mut out);
    }
    out.push('}');
    annotations(&mut out, &answer.annotations);
    out.push('}');
    out
}

/// Appends `warnings` and `infos`, where there are any.
pub(super) fn annotations(out: &mut String, annotations: &Annotations) {
    for (name, texts) in [
        ("warnings", &annotations.warnings),
        ("infos", &annotations.infos),
    ] {
        if !texts.is_empty() {
            out.push_str(&format!(",\"{name}\":"));
            json::strings(out, texts.iter().map(String::as_str));
        }
    }
}

fn cut(value: &mut Value, limit: usize) -> bool {
    match value {
        Value::Vector(elements) if elements.len() > limit => elements.truncate(limit),
        Value::Matrix(series) if series.len() > limit => series.truncate(limit),
        _ => return false,
    }
    true
}

fn points(value: &Value) -> usize {
    match value {
        Value::Vector(elements) => 4 * elements.len(),
        Value::Matrix(series) => series
            .iter()
            .map(|one| 4 + one.floats.len() + POINTS_PER_HISTOGRAM * one.histograms.len())
            .sum(),
        _ => 0,
    }
}

fn point(out: &mut String, at: Timestamp, value: f64) {
    out.push('[');
    time(out, at);
    out.push_str(",\"");
    push_json(out, value);
    out.push_str("\"]");
}

fn element(out: &mut String, sample: &VectorSample) {
    out.push_str("{\"metric\":");
    json::object(out, sample.labels.iter());
    if let Some(value) = &sample.histogram {
        out.push_str(",\"histogram\":");
        histogram_point(out, sample.time, value);
    } else {
        out.push_str(",\"value\":");
        point(out, sample.time, sample.value);
    }
    out.push('}');
}

fn row(out: &mut String, series: &RangeSeries) {
    out.push_str("{\"metric\":");
    json::object(out, series.labels.iter());
    if !series.floats.is_empty() || series.histograms.is_empty() {
        out.push_str(",\"values\":[");
        json::joined(out, &series.floats, |out, (at, value)| {
            point(out, *at, *value)
        });
        out.push(']');
    }
    if !series.histograms.is_empty() {
        out.push_str(",\"histograms\":[");
        json::joined(out, &series.histograms, |out, (at, value)| {
            histogram_point(out, *at, value)
        });
        out.push(']');
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;

    use super::*;

    fn body(value: Value, warnings: &[&str], limit: Option<usize>) -> String {
        let warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
        let annotations = Annotations {
            warnings,
            infos: Vec::new(),
        };
        query_body(Answer { value, annotations }, limit)
    }

    fn sample(name: &str, value: f64) -> VectorSample {
        let time = Timestamp::from_ms(1_435_781_451_781);
        VectorSample {
            labels: labels! { "__name__" => name, "job" => "a\"b" },
            time,
            value,
            histogram: None,
        }
    }

    #[test]
    fn every_type_is_written_as_prometheus_writes_it() {
        let at = Timestamp::from_ms(1_500);
        for (value, json) in [
            (Value::Scalar(at, 1.0), r#""scalar","result":[1.500,"1"]}}"#),
            (
                Value::Scalar(at, 1e-7),
                r#""scalar","result":[1.500,"0.0000001"]}}"#,
            ),
            (
                Value::String(at, "x\"".to_owned()),
                r#""string","result":[1.500,"x\""]}}"#,
            ),
            (Value::Vector(Vec::new()), r#""vector","result":[]}}"#),
            (
                Value::Vector(vec![sample("up", f64::NAN)]),
                r#""vector","result":[{"metric":{"__name__":"up","job":"a\"b"},"value":[1435781451.781,"NaN"]}]}}"#,
            ),
            (
                Value::Matrix(vec![RangeSeries {
                    labels: labels! {},
                    floats: vec![
                        (Timestamp::from_ms(0), 0.5),
                        (Timestamp::from_ms(1000), f64::INFINITY),
                    ],
                    histograms: Vec::new(),
                }]),
                r#""matrix","result":[{"metric":{},"values":[[0,"0.5"],[1,"+Inf"]]}]}}"#,
            ),
        ] {
            assert_eq!(
                body(value, &[], None),
                format!(r#"{{"status":"success","data":{{"resultType":{json}"#)
            );
        }
    }

    #[test]
    fn a_cut_result_says_so() {
        let text = body(
            Value::Vector(vec![sample("a", 1.0), sample("b", 2.0)]),
            &["w"],
            Some(1),
        );
        assert!(
            text.ends_with(r#"]}]},"warnings":["w","results truncated due to limit"]}"#),
            "{text}"
        );
    }
}
