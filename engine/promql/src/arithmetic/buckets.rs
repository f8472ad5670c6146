//! Classic histograms: the buckets of a histogram are series with an `le` label.

/// Relative differences below this are rounding errors of sums and rates, not broken buckets.
const TOLERANCE: f64 = 1e-12;

/// One bucket of a classic histogram.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// The upper bound: the value of the `le` label.
    pub upper: f64,
    /// Observations up to the bound, those of all lower buckets included.
    pub count: f64,
}

/// Buckets whose cumulative counts fell, although they must not, and were raised (Prometheus promql/quantile.go
/// `ensureMonotonicAndIgnoreSmallDeltas`).
#[derive(Clone, Copy, Debug)]
pub struct Monotonicity {
    /// The upper bound of the first raised bucket.
    pub lowest: f64,
    /// The upper bound of the last raised bucket.
    pub highest: f64,
    /// The largest amount by which a count was raised.
    pub difference: f64,
}

/// `le`'s value as Go's ParseFloat reads it.
pub fn parse_bound(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "+inf" | "inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        _ => fast_float2::parse(text.strip_prefix('+').unwrap_or(text)).ok(),
    }
}

/// The `q` quantile of buckets sorted by bound, interpolated linearly inside a bucket, and which buckets had to be
/// raised. NaN without observations, without an infinite bucket or with fewer than two buckets (Prometheus
/// promql/quantile.go `BucketQuantile`).
pub fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Monotonicity>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets
        .last()
        .is_none_or(|last| last.upper != f64::INFINITY)
    {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let forced = ensure_monotonic(buckets);
    if buckets.len() < 2 {
        return (f64::NAN, None);
    }
    let observations = buckets[buckets.len() - 1].count;
    if observations == 0.0 {
        return (f64::NAN, None);
    }
    let mut rank = q * observations;
    let at = search(buckets.len() - 1, |at| buckets[at].count >= rank);
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

/// Go's sort.Search: the first index below `count` that fits, if they fit from some index on. With NaNs they may not,
/// and then it matters where it looks.
fn search(count: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
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
fn ensure_monotonic(buckets: &mut [Bucket]) -> Option<Monotonicity> {
    let mut forced: Option<Monotonicity> = None;
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
            let difference = previous - current;
            let forced = forced.get_or_insert(Monotonicity {
                lowest: bucket.upper,
                highest: bucket.upper,
                difference,
            });
            forced.highest = forced.highest.max(bucket.upper);
            forced.difference = forced.difference.max(difference);
            continue;
        }
        previous = current;
    }
    forced
}

/// The share of observations between two values.
pub(crate) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets
        .last()
        .is_none_or(|last| last.upper != f64::INFINITY)
    {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let (mut rank, mut lower_rank, mut upper_rank) = (0.0, None, None);
    for (at, bucket) in buckets.iter().enumerate() {
        let start = match at {
            0 if bucket.upper > 0.0 => 0.0,
            0 => f64::NEG_INFINITY,
            _ => buckets[at - 1].upper,
        };
        let inside = bucket.count - rank;
        for (limit, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if found.is_some() {
                continue;
            }
            if start >= limit {
                *found = Some(rank);
            } else if bucket.upper > limit {
                *found = Some(if start == f64::NEG_INFINITY {
                    rank + inside
                } else {
                    rank + inside * (limit - start) / (bucket.upper - start)
                });
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank = bucket.count;
    }
    let close = |found: Option<f64>| found.filter(|rank| *rank <= count).unwrap_or(count);
    (close(upper_rank) - close(lower_rank)) / count
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
