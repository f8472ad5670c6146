//! Native histograms in Prometheus' JSON (util/jsonutil, `MarshalHistogram`).
//!
//! ```text
//! [t, {"count":"7","sum":"3.5","buckets":[[boundaries, "lower", "upper", "count"], ...]}]
//!                                          0 (lower, upper]   1 [lower, upper)   2 (lower, upper)   3 [lower, upper]
//! ```
//!
//! Empty buckets are left out, and `buckets` altogether where all are empty.

use stillwell_engine::Timestamp;
use stillwell_engine::histogram::{FloatHistogram, Range};
use stillwell_engine::number_text::push_json;

use super::number::time;

/// Appends a histogram with its time.
pub(super) fn histogram_point(out: &mut String, at: Timestamp, histogram: &FloatHistogram) {
    out.push('[');
    time(out, at);
    out.push_str(",{\"count\":");
    quoted(out, histogram.count);
    out.push_str(",\"sum\":");
    quoted(out, histogram.sum);
    let mut next = ",\"buckets\":[";
    for range in histogram.ranges().filter(|range| range.count != 0.0) {
        out.push_str(next);
        bucket(out, &range);
        next = ",";
    }
    if next == "," {
        out.push(']');
    }
    out.push_str("}]");
}

fn bucket(out: &mut String, range: &Range) {
    out.push_str(match (range.lower_inclusive, range.upper_inclusive) {
        (false, true) => "[0",
        (true, false) => "[1",
        (false, false) => "[2",
        (true, true) => "[3",
    });
    for value in [range.lower, range.upper, range.count] {
        out.push(',');
        quoted(out, value);
    }
    out.push(']');
}

fn quoted(out: &mut String, value: f64) {
    out.push('"');
    push_json(out, value);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use stillwell_engine::histogram::{Bucket, Buckets};

    use super::*;

    fn json(histogram: &FloatHistogram) -> String {
        let mut out = String::new();
        histogram_point(&mut out, Timestamp::from_ms(1_500), histogram);
        out
    }

    fn buckets(of: &[(i32, f64)]) -> Buckets {
        let bucket = |(index, count): &(i32, f64)| Bucket {
            index: *index,
            count: *count,
        };
        Buckets::from_sorted(of.iter().map(bucket).collect())
    }

    #[test]
    fn buckets_come_in_order_with_their_kind_of_bounds() {
        let histogram = FloatHistogram {
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 9.5,
            sum: -1.25,
            positive: buckets(&[(1, 3.0), (2, 0.0), (3, 1.5)]),
            negative: buckets(&[(0, 3.0)]),
            ..FloatHistogram::default()
        };
        assert_eq!(
            json(&histogram),
            r#"[1.500,{"count":"9.5","sum":"-1.25","buckets":[[1,"-1","-0.5","3"],[3,"-0.001","0.001","2"],[0,"1","2","3"],[0,"4","8","1.5"]]}]"#
        );
    }

    #[test]
    fn custom_bounds_reach_to_infinity() {
        let histogram = FloatHistogram {
            schema: stillwell_engine::histogram::CUSTOM_SCHEMA,
            count: 4.0,
            sum: 8.0,
            positive: buckets(&[(0, 1.0), (1, 3.0)]),
            custom_bounds: vec![0.25],
            ..FloatHistogram::default()
        };
        assert_eq!(
            json(&histogram),
            r#"[1.500,{"count":"4","sum":"8","buckets":[[3,"-Inf","0.25","1"],[0,"0.25","+Inf","3"]]}]"#
        );
    }

    #[test]
    fn an_empty_histogram_has_no_buckets() {
        assert_eq!(
            json(&FloatHistogram::default()),
            r#"[1.500,{"count":"0","sum":"0"}]"#
        );
    }
}
