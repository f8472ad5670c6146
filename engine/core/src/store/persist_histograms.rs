//! Native histograms in a snapshot.
//!
//! ```text
//!  list  | milliseconds i | 1, where it repeats the one before | ... |
//!  ... otherwise:  | 0 | hint | schema i | zero threshold, zero count, count, sum f64 | buckets, both signs: list of (index i, f64) | bounds |
//! ```

use std::sync::Arc;

use super::native_histograms::TimedHistogram;
use crate::histogram::{Bucket, Buckets, FloatHistogram, ResetHint};
use crate::wire::{In, WireError, put_bool, put_f64, put_i, put_list};

pub(super) fn put<'a>(
    histograms: impl ExactSizeIterator<Item = &'a TimedHistogram>,
    out: &mut Vec<u8>,
) {
    let mut before: Option<&TimedHistogram> = None;
    put_list(out, histograms, |out, item| {
        let (time_ms, histogram) = item;
        put_i(out, *time_ms);
        let same = before.is_some_and(|(_, have)| Arc::ptr_eq(have, histogram));
        put_bool(out, same);
        if !same {
            put_histogram(out, histogram);
        }
        before = Some(item);
    });
}

const HINTS: [ResetHint; 4] = [
    ResetHint::Unknown,
    ResetHint::Reset,
    ResetHint::NotReset,
    ResetHint::Gauge,
];

fn put_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    let hint = HINTS.iter().position(|hint| *hint == histogram.hint);
    out.push(hint.unwrap_or(0) as u8);
    put_i(out, i64::from(histogram.schema));
    for value in [
        histogram.zero_threshold,
        histogram.zero_count,
        histogram.count,
        histogram.sum,
    ] {
        put_f64(out, value);
    }
    for side in [&histogram.positive, &histogram.negative] {
        put_list(out, side.iter(), |out, bucket| {
            put_i(out, i64::from(bucket.index));
            put_f64(out, bucket.count);
        });
    }
    put_list(out, histogram.custom_bounds.iter(), |out, bound| {
        put_f64(out, *bound);
    });
}

pub(super) fn take(bytes: &mut In<'_>) -> Result<Vec<(i64, FloatHistogram)>, WireError> {
    let mut before: Option<(i64, FloatHistogram)> = None;
    bytes.list(|bytes| {
        let time_ms = bytes.time()?;
        let histogram = match (bytes.bool()?, &before) {
            (true, Some((_, histogram))) => histogram.clone(),
            (true, None) => return Err("a histogram repeats none"),
            (false, _) => take_histogram(bytes)?,
        };
        if before
            .as_ref()
            .is_some_and(|(before_ms, _)| *before_ms >= time_ms)
        {
            return Err("histograms are not in order");
        }
        before = Some((time_ms, histogram.clone()));
        Ok((time_ms, histogram))
    })
}

fn take_histogram(bytes: &mut In<'_>) -> Result<FloatHistogram, WireError> {
    let hint = *HINTS
        .get(usize::try_from(bytes.u()?).unwrap_or(usize::MAX))
        .ok_or("a histogram has an unknown hint")?;
    let schema = i32::try_from(bytes.i()?).map_err(|_| "a histogram has an unknown schema")?;
    let [zero_threshold, zero_count, count, sum] =
        [bytes.f64()?, bytes.f64()?, bytes.f64()?, bytes.f64()?];
    let mut side = || {
        let buckets = bytes.list(|bytes| {
            let index = i32::try_from(bytes.i()?).map_err(|_| "a bucket has no index")?;
            let count = bytes.f64()?;
            Ok(Bucket { index, count })
        })?;
        match buckets.is_sorted_by(|a, b| a.index < b.index) {
            true => Ok(Buckets::from_sorted(buckets)),
            false => Err("buckets are not in order"),
        }
    };
    let (positive, negative) = (side()?, side()?);
    let histogram = FloatHistogram {
        hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive,
        negative,
        custom_bounds: bytes.list(In::f64)?,
    };
    // Counts were checked when it came; a float histogram's need not add up.
    histogram.validate(true).map(|()| histogram)
}
