//! Histograms with custom buckets as classic ones, which every form can hold.

use stillwell_engine::histogram::FloatHistogram;

/// The upper bounds, without the infinite one, each with how many observations are no greater.
pub(super) fn buckets(histogram: &FloatHistogram) -> impl Iterator<Item = (f64, f64)> + '_ {
    let mut counts = histogram.positive.iter().peekable();
    let mut cumulative = 0.0;
    let bounds = histogram.custom_bounds.iter().enumerate();
    bounds.map(move |(index, &bound)| {
        let is_of = |wanted: i32| usize::try_from(wanted) == Ok(index);
        if let Some(bucket) = counts.next_if(|bucket| is_of(bucket.index)) {
            cumulative += bucket.count;
        }
        (bound, cumulative)
    })
}
