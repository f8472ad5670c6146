//! What one request may hold, and what it may become.

use super::super::request::JSON_BYTES_MAX;
use super::*;

#[test]
fn labels_without_end_are_refused() {
    let points = (0..3_000).map(|at| HistogramDataPoint {
        attributes: vec![pair("long", &"x".repeat(2_000))],
        time_unix_nano: NOW_MS as u64 * 1_000_000 + at * 1_000_000,
        explicit_bounds: (0..100).map(f64::from).collect(),
        bucket_counts: vec![1; 101],
        ..HistogramDataPoint::default()
    });
    let data = Data::Histogram(Histogram {
        data_points: points.collect(),
        aggregation_temporality: 2,
    });
    let converted = convert::convert(&request(data), &OtlpSettings::default(), None);
    assert!(converted.rejected > 1_000, "{}", converted.rejected);
    assert!(
        converted
            .first
            .is_some_and(|why| why.contains("send fewer points"))
    );
}

#[test]
fn json_that_would_take_more_memory_than_protobuf_may_is_refused() {
    let settings = OtlpSettings::default();
    let empty = vec!["{\"\":0}"; 500_000].join(",");
    let hostile = format!("{{\"x\":[{empty}]}}");
    assert!(hostile.len() <= JSON_BYTES_MAX);
    let refused = series(hostile.as_bytes(), Encoding::Json, &settings);
    assert!(
        matches!(&refused, Err(Refusal::TooLarge(why)) if why.contains("send fewer points")),
        "{refused:?}"
    );
    // Of an SDK: some thousand points.
    let point = |at: u32| {
        format!(
            r#"{{"attributes":[{{"key":"http.route","value":{{"stringValue":"/v1/{at}"}}}}],"startTimeUnixNano":"{0}","timeUnixNano":"{0}","asDouble":{at}}}"#,
            NOW_MS as u64 * 1_000_000,
        )
    };
    let points: Vec<String> = (0..20_000).map(point).collect();
    let usual = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{}]}}}}]}}]}}]}}"#,
        points.join(",")
    );
    let taken = series(usual.as_bytes(), Encoding::Json, &settings);
    assert_eq!(taken.map(|series| series.len()), Ok(20_000));
}

/// What becomes of a gauge with one point that has these attributes.
fn gauge_with(attributes: Vec<KeyValue>) -> out::Converted {
    let point = NumberDataPoint {
        attributes,
        ..number(1.0)
    };
    let data = Data::Gauge(Gauge {
        data_points: vec![point],
    });
    convert::convert(&request(data), &OtlpSettings::default(), None)
}

#[test]
fn attributes_without_end_are_refused_before_they_are_joined() {
    let same = |count: usize, bytes: usize| {
        let value = "x".repeat(bytes);
        let name = |at: usize| format!("a{}b", [".", "_", "-", "+"][at % 4].repeat(at / 4 + 1));
        (0..count).map(|at| pair(&name(at), &value)).collect()
    };
    for (attributes, why) in [
        (same(4_097, 0), "4097 attributes"),
        (same(4, 300_000), "more than 1048576 bytes"),
    ] {
        let got = gauge_with(attributes);
        assert_eq!((got.rejected, got.series.len()), (1, 1), "target_info");
        assert!(
            got.first.as_ref().is_some_and(|got| got.contains(why)),
            "{got:?}"
        );
    }
    let got = gauge_with(vec![pair("a.b", "1"), pair("a_b", ""), pair("a-b", "3")]);
    assert_eq!((got.rejected, got.series.len()), (0, 2));
    let joined = got.series.iter().filter_map(|one| one.labels.get("a_b"));
    assert_eq!(joined.collect::<Vec<_>>(), ["3;1;"], "sorted by attribute");
}

#[test]
fn what_each_point_of_a_resource_would_copy_is_limited() {
    let long = "x".repeat(70_000);
    let mut request = request(sum(2));
    request.resource_metrics[0].resource = Some(Resource {
        attributes: vec![pair("service.name", &long)],
    });
    let got = convert::convert(&request, &OtlpSettings::default(), None);
    assert_eq!((got.rejected, got.series.len()), (1, 0));
    assert!(got.first.is_some_and(|why| why.contains("share")));
    let settings = OtlpSettings {
        promote_scope_metadata: true,
        ..OtlpSettings::default()
    };
    let mut request = self::request(sum(2));
    request.resource_metrics[0].scope_metrics[0].schema_url = long;
    let got = convert::convert(&request, &settings, None);
    assert!(got.first.is_some_and(|why| why.starts_with("a scope")));
    assert_eq!((got.rejected, got.series.len()), (1, 0));
}
