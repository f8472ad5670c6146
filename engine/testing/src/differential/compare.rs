//! Whether two answers are the same.

use std::collections::BTreeMap;

use stillwell_promql::model::labels::Labels;
use stillwell_promql::{RangeSeries, Value, VectorSample};

/// Compares two answers to one question; the order of vectors does not count. Where they differ: what and where.
///
/// `relative` is how far floats may be apart, relative to their size. 0 asks for equal bits (all NaNs are one);
/// above 0 is for questions whose answer depends on the order of summation.
pub fn compare(ours: &Value, theirs: &Value, relative: f64) -> Result<(), String> {
    match (ours, theirs) {
        (Value::Scalar(t1, v1), Value::Scalar(t2, v2)) if t1 == t2 => {
            point("scalar", *v1, *v2, relative)
        }
        (Value::String(_, a), Value::String(_, b)) if a == b => Ok(()),
        (Value::Vector(ours), Value::Vector(theirs)) => vector(ours, theirs, relative),
        (Value::Matrix(ours), Value::Matrix(theirs)) => matrix(ours, theirs, relative),
        _ => Err("the answers are of different kinds".to_owned()),
    }
}

fn vector(ours: &[VectorSample], theirs: &[VectorSample], relative: f64) -> Result<(), String> {
    let series = |samples: &[VectorSample]| -> Vec<RangeSeries> {
        let one = |sample: &VectorSample| RangeSeries {
            labels: sample.labels.clone(),
            floats: if sample.histogram.is_none() {
                vec![(sample.time, sample.value)]
            } else {
                Vec::new()
            },
            histograms: sample
                .histogram
                .iter()
                .map(|histogram| (sample.time, histogram.clone()))
                .collect(),
        };
        samples.iter().map(one).collect()
    };
    matrix(&series(ours), &series(theirs), relative)
}

fn matrix(ours: &[RangeSeries], theirs: &[RangeSeries], relative: f64) -> Result<(), String> {
    let by_labels = |series: &[RangeSeries]| -> BTreeMap<Labels, RangeSeries> {
        series
            .iter()
            .map(|series| (series.labels.clone(), series.clone()))
            .collect()
    };
    let (ours, mut theirs) = (by_labels(ours), by_labels(theirs));
    for (labels, ours) in &ours {
        let Some(theirs) = theirs.remove(labels) else {
            return Err(format!("only we have {labels}"));
        };
        if ours.floats.len() != theirs.floats.len() || ours.histograms != theirs.histograms {
            let (our_count, their_count) = (ours.floats.len(), theirs.floats.len());
            return Err(format!(
                "{labels}: we have {our_count} points, they have {their_count}"
            ));
        }
        for ((our_time, our_value), (their_time, their_value)) in
            ours.floats.iter().zip(&theirs.floats)
        {
            if our_time != their_time {
                return Err(format!(
                    "{labels}: we have a point at {our_time}, they at {their_time}"
                ));
            }
            point(
                &format!("{labels} @ {our_time}"),
                *our_value,
                *their_value,
                relative,
            )?;
        }
    }
    match theirs.keys().next() {
        Some(labels) => Err(format!("only they have {labels}")),
        None => Ok(()),
    }
}

fn point(place: &str, ours: f64, theirs: f64, relative: f64) -> Result<(), String> {
    let same = ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan());
    let near = (ours - theirs).abs() <= relative * ours.abs().max(theirs.abs());
    if same || (relative > 0.0 && (near || ours == theirs)) {
        return Ok(());
    }
    Err(format!(
        "{place}: we have {ours:e} ({:#x}), they have {theirs:e} ({:#x})",
        ours.to_bits(),
        theirs.to_bits()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillwell_promql::model::time::Timestamp;

    #[test]
    fn bits_count_and_all_nans_are_one() {
        let scalar = |value: f64| Value::Scalar(Timestamp::from_ms(0), value);
        assert!(compare(&scalar(f64::NAN), &scalar(-f64::NAN), 0.0).is_ok());
        assert!(compare(&scalar(0.0), &scalar(-0.0), 0.0).is_err());
        assert!(compare(&scalar(0.1 + 0.2), &scalar(0.3), 0.0).is_err());
        assert!(compare(&scalar(0.1 + 0.2), &scalar(0.3), 1e-15).is_ok());
    }
}
