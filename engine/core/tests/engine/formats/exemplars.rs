//! Exemplars of every format are kept, each once.

use super::*;

fn exemplar(trace: &str, time_ms: Option<i64>) -> Exemplar {
    Exemplar {
        label: labels(&[("trace_id", trace)]),
        value: Some(0.5),
        timestamp: time_ms.map(|ms| ProtoTimestamp {
            seconds: ms / 1000,
            nanos: (ms % 1000) as i32 * 1_000_000,
        }),
    }
}

#[test]
fn exemplars_are_kept_once() {
    let at_ms = START_MS + 250;
    let at_s = at_ms as f64 / 1000.0;
    let text = format!("c_total 1 # {{trace_id=\"x\"}} 0.5 {at_s}\n# EOF\n");
    let changed = "c_total 1 # {trace_id=\"y # \"} 2\n# EOF\n".to_owned();
    let proto = |trace, time_ms| {
        let metric = counter(&[], 1.0, Some(exemplar(trace, time_ms)));
        page(&[family("c_total", 0, vec![metric])])
    };
    for (first, second, format) in [
        (text.into_bytes(), changed.into_bytes(), Format::OpenMetrics),
        (
            proto("x", Some(at_ms)),
            proto("y # ", None),
            Format::Protobuf,
        ),
    ] {
        let mut scene = Scene::new(plain());
        for page in [&first, &first, &second, &second] {
            scene.scrape(page, format).expect("valid");
        }
        let query = Query::parse("rate(c_total[1m])", &Features::default()).expect("valid");
        let range = (Timestamp::from_ms(0), Timestamp::from_ms(scene.now_ms));
        let found = scene.reader.exemplars(&query, range.0, range.1);
        assert_eq!(found.len(), 1, "{format:?}: {found:?}");
        let (series, exemplars) = &found[0];
        assert_eq!(series.metric_name(), Some("c_total"));
        let shown: Vec<_> = exemplars
            .iter()
            .map(|e| (e.labels.get("trace_id").unwrap_or(""), e.time_ms))
            .collect();
        assert_eq!(
            shown,
            [("x", at_ms), ("y # ", START_MS + 3_000)],
            "{format:?}"
        );
        let none = Query::parse("other", &Features::default()).expect("valid");
        let none = scene.reader.exemplars(&none, range.0, range.1);
        assert!(none.is_empty());
    }
}

/// Of several exemplars of a native histogram only the newest was kept. They are those that the histogram has, else those of its
/// buckets, each with a time; a page that comes again adds none.
#[test]
fn all_exemplars_of_a_native_histogram_are_kept_once() {
    let of = |shown: &[(&str, i64)]| {
        let exemplars = shown.iter();
        let exemplars = exemplars.map(|(trace, ms)| exemplar(trace, Some(START_MS + ms)));
        exemplars.collect::<Vec<_>>()
    };
    let page_of = |own: Vec<Exemplar>, of_bucket: Option<Exemplar>| {
        let mut sent = both_kinds(1);
        sent.exemplars = own;
        sent.bucket[0].exemplar = of_bucket;
        page(&[family("h", 4, vec![histogram(sent)])])
    };
    let told = |scene: &Scene| {
        let query = Query::parse("h", &Features::default()).expect("valid");
        let range = (Timestamp::from_ms(0), Timestamp::from_ms(scene.now_ms));
        let found = scene.reader.exemplars(&query, range.0, range.1);
        let of_first = found.into_iter().flat_map(|(_, exemplars)| exemplars);
        of_first
            .map(|one| one.labels.get("trace_id").unwrap_or("").to_owned())
            .collect::<Vec<_>>()
    };
    let mut scene = Scene::new(native());
    let mut first = of(&[("c", 300), ("a", 100), ("b", 200)]);
    first.push(exemplar("no time", None));
    let first = page_of(first, Some(exemplar("bucket", Some(START_MS))));
    for _ in 0..3 {
        scene.scrape(&first, Format::Protobuf).expect("valid");
    }
    assert_eq!(told(&scene), ["a", "b", "c"]);
    // One of a time before the newest comes too late; what is new comes after it.
    let second = page_of(of(&[("late", 250), ("b", 200), ("d", 400)]), None);
    for _ in 0..2 {
        scene.scrape(&second, Format::Protobuf).expect("valid");
    }
    assert_eq!(told(&scene), ["a", "b", "c", "d"]);
    let of_bucket = page_of(Vec::new(), Some(exemplar("e", Some(START_MS + 500))));
    scene.scrape(&of_bucket, Format::Protobuf).expect("valid");
    assert_eq!(told(&scene), ["a", "b", "c", "d", "e"]);
    assert_eq!(scene.ask("histogram_count(h)"), ["{job=\"a\"} 6"]);
}

/// Buckets that are converted keep their exemplars; `_created` is no part of the histogram and stays a series of its own.
#[test]
fn converted_histograms_keep_exemplars_and_creation_times() {
    let text = format!(
        "# TYPE h histogram\nh_bucket{{le=\"2\"}} 1 # {{trace_id=\"a\"}} 1 {at}.1\nh_bucket{{le=\"+Inf\"}} 3 # {{trace_id=\"b\"}} 7 {at}.2\n\
         h_count 3\nh_sum 9\nh_created 5\n# EOF\n",
        at = START_MS / 1000
    );
    let mut scene = Scene::new(HistogramOptions {
        convert_classic: true,
        ..plain()
    });
    for _ in 0..3 {
        scene
            .scrape(text.as_bytes(), Format::OpenMetrics)
            .expect("valid");
    }
    let mut shown = scene.all();
    shown.sort();
    assert_eq!(
        shown,
        [
            "h_created{job=\"a\"} 5",
            "h{job=\"a\"} {count:3, sum:9, [-Inf,2]:1, (2,+Inf]:2}"
        ]
    );
    let query = Query::parse("h", &Features::default()).expect("valid");
    let range = (Timestamp::from_ms(0), Timestamp::from_ms(scene.now_ms));
    let found = scene.reader.exemplars(&query, range.0, range.1);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1.len(), 2, "{found:?}");
}
