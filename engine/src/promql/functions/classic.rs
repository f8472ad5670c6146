//! Classic histograms: the buckets of a histogram are series with an `le` label.

use std::sync::Arc;

use crate::labels::METRIC_NAME;
use crate::promql::QueryError;
use crate::promql::eval::{Column, Eval, Grid, KeyRule, Keys, Series, Sink, is_absent};
use crate::promql::plan::Expr;

const BUCKET_LABEL: &str = "le";
/// Relative differences below this are rounding errors of sums and rates, not broken buckets.
const TOLERANCE: f64 = 1e-12;

/// One bucket: cumulative count up to a bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// The series of one classic histogram.
struct Family {
    key: usize,
    /// Upper bound and series, ascending by bound.
    members: Vec<(f64, usize)>,
}

pub(super) fn quantile(
    eval: &Eval<'_>,
    expr: &Expr,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let quantiles = eval.scalar(&args[0], grid)?;
    for q in &quantiles {
        if q.is_nan() || *q < 0.0 || *q > 1.0 {
            eval.warn(
                args[0].span,
                format!(
                    "quantile value should be between 0 and 1, got {}",
                    go_float(*q)
                ),
            );
        }
    }
    let series = eval.collect(&args[1], grid)?;
    if series
        .iter()
        .any(|series| !series.column.histograms.is_empty())
    {
        return Err(crate::promql::eval::not_yet(
            expr,
            "histogram_quantile of native histograms",
        ));
    }
    let (keys, families) = families(&series);
    let mut buckets = Vec::new();
    let mut column = Column::default();
    for family in &families {
        column.reset(grid.count);
        for step in 0..grid.count {
            buckets.clear();
            for (upper, member) in &family.members {
                let count = series[*member].column.floats[step];
                if !is_absent(count) {
                    buckets.push(Bucket {
                        upper: *upper,
                        count,
                    });
                }
            }
            if !buckets.is_empty() {
                let (value, forced) = bucket_quantile(quantiles[step], &mut buckets);
                column.floats[step] = value;
                if forced {
                    eval.info(args[1].span, "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)");
                }
            }
        }
        sink(keys.key(family.key), false, &mut column)?;
    }
    Ok(())
}

/// Groups bucket series by their other labels.
fn families(series: &[Series]) -> (Keys, Vec<Family>) {
    let mut keys = Keys::new(KeyRule::all_but(&[
        Arc::from(BUCKET_LABEL),
        Arc::from(METRIC_NAME),
    ]));
    let mut families: Vec<Family> = Vec::new();
    for (index, series) in series.iter().enumerate() {
        let Some(upper) = series.labels.get(BUCKET_LABEL).and_then(parse_bound) else {
            continue;
        };
        let key = keys.find_or_add(&series.labels);
        if key == families.len() {
            families.push(Family {
                key,
                members: Vec::new(),
            });
        }
        families[key].members.push((upper, index));
    }
    for family in &mut families {
        family.members.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    (keys, families)
}

/// `le`'s value as Go's ParseFloat reads it.
fn parse_bound(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "+inf" | "inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        _ => fast_float2::parse(text.strip_prefix('+').unwrap_or(text)).ok(),
    }
}

/// The quantile of sorted cumulative buckets and whether they had to be forced to grow.
pub(crate) fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, bool) {
    if q.is_nan() {
        return (f64::NAN, false);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, false);
    }
    if q > 1.0 {
        return (f64::INFINITY, false);
    }
    if buckets
        .last()
        .is_none_or(|last| last.upper != f64::INFINITY)
    {
        return (f64::NAN, false);
    }
    coalesce(buckets);
    let forced = ensure_monotonic(buckets);
    if buckets.len() < 2 {
        return (f64::NAN, false);
    }
    let observations = buckets[buckets.len() - 1].count;
    if observations == 0.0 {
        return (f64::NAN, false);
    }
    let mut rank = q * observations;
    let at = buckets[..buckets.len() - 1].partition_point(|bucket| bucket.count < rank);
    if at == buckets.len() - 1 {
        return (buckets[buckets.len() - 2].upper, forced);
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, forced);
    }
    let (mut start, end, mut count) = (0.0, buckets[at].upper, buckets[at].count);
    if at > 0 {
        start = buckets[at - 1].upper;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (start + (end - start) * (rank / count), forced)
}

/// Joins buckets with the same bound (`le="1"` and `le="1.0"`).
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Cumulative counts must not fall. Tiny falls and rises are rounding and smoothed silently.
fn ensure_monotonic(buckets: &mut [Bucket]) -> bool {
    let mut forced = false;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let current = bucket.count;
        if current == previous {
            continue;
        }
        if almost_equal(previous, current, TOLERANCE) {
            bucket.count = previous;
            continue;
        }
        if current < previous {
            bucket.count = previous;
            forced = true;
            continue;
        }
        previous = current;
    }
    forced
}

/// Equal up to a relative error.
pub(crate) fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    const SMALLEST_NORMAL: f64 = f64::MIN_POSITIVE;
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < SMALLEST_NORMAL {
        return difference < epsilon * SMALLEST_NORMAL;
    }
    difference / sum.min(f64::MAX) < epsilon
}

/// A float as Go's `%g` with the shortest digits prints it in messages.
pub(crate) fn go_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 {
            "+Inf".to_owned()
        } else {
            "-Inf".to_owned()
        }
    } else {
        format!("{value}")
    }
}
