//! Histograms of OTLP as native ones (storage/remote/otlptranslator, `histograms.go`): exponential ones as they are, with
//! scales above 8 merged down, and those with bounds as histograms with custom buckets.
//!
//! Prometheus 3.5 puts the first bucket after a run of empty ones into the wrong place where it merges; here it is in its own.

use stillwell_engine::histogram::Buckets as NativeBuckets;
use stillwell_engine::histogram::{BUCKETS_MAX, Bucket, FloatHistogram};
use stillwell_engine::promql::select::STALE_NAN_BITS;

use super::messages::{Buckets, ExponentialHistogramDataPoint, HistogramDataPoint};

const SCALE_MIN: i32 = -4;
const SCALE_MAX: i32 = 8;
/// The schema of custom buckets.
const CUSTOM: i32 = -53;
/// OTLP tells none.
const ZERO_THRESHOLD: f64 = 1e-128;

/// A point of an exponential histogram. Error: it cannot be one here.
pub(super) fn exponential(point: &ExponentialHistogramDataPoint) -> Result<FloatHistogram, String> {
    if point.scale < SCALE_MIN {
        let scale = point.scale;
        return Err(format!("its scale {scale} is less than {SCALE_MIN}"));
    }
    let down = (point.scale - SCALE_MAX).max(0) as u32;
    let side = |buckets: &Option<Buckets>| match buckets {
        Some(buckets) => merged(&buckets.bucket_counts, buckets.offset, down),
        None => Ok(NativeBuckets::default()),
    };
    checked(FloatHistogram {
        schema: point.scale.min(SCALE_MAX),
        zero_threshold: ZERO_THRESHOLD,
        zero_count: point.zero_count as f64,
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive: side(&point.positive)?,
        negative: side(&point.negative)?,
        ..FloatHistogram::default()
    })
}

/// A point of a histogram with bounds.
pub(super) fn custom(point: &HistogramDataPoint) -> Result<FloatHistogram, String> {
    let counts = point.bucket_counts.iter().enumerate();
    let buckets = counts
        .filter(|(_, count)| **count != 0)
        .map(|(index, count)| Bucket {
            index: index as i32,
            count: *count as f64,
        });
    if point.bucket_counts.len() > BUCKETS_MAX {
        return Err(too_many(point.bucket_counts.len()));
    }
    checked(FloatHistogram {
        schema: CUSTOM,
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive: NativeBuckets::from_sorted(buckets.collect()),
        custom_bounds: point.explicit_bounds.clone(),
        ..FloatHistogram::default()
    })
}

/// One that says that nothing is measured any more.
pub(super) fn stale() -> FloatHistogram {
    FloatHistogram {
        sum: f64::from_bits(STALE_NAN_BITS),
        ..FloatHistogram::default()
    }
}

fn checked(histogram: FloatHistogram) -> Result<FloatHistogram, String> {
    histogram.validate(true).map_err(str::to_owned)?;
    Ok(histogram)
}

fn too_many(count: usize) -> String {
    format!("it has {count} buckets; at most {BUCKETS_MAX} are taken")
}

/// Buckets that are not empty. OTLP's bucket 0 begins where Prometheus' bucket 0 ends.
fn merged(counts: &[u64], offset: i32, down: u32) -> Result<NativeBuckets, String> {
    if counts.len() > BUCKETS_MAX {
        return Err(too_many(counts.len()));
    }
    if i64::from(offset).abs() > i64::from(i32::MAX) / 2 {
        return Err(format!("its offset {offset} is too large"));
    }
    let mut buckets: Vec<Bucket> = Vec::new();
    for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count != 0) {
        let index = ((offset + at as i32) >> down) + 1;
        match buckets.last_mut().filter(|last| last.index == index) {
            Some(last) => last.count += *count as f64,
            None => buckets.push(Bucket {
                index,
                count: *count as f64,
            }),
        }
    }
    Ok(NativeBuckets::from_sorted(buckets))
}
