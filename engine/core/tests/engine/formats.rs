//! Pages in OpenMetrics and protobuf hold what the same page in the text format holds, and what only they can say.

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::{
    Engine, Format, HistogramOptions, Limits, PageError, Reader, ScrapeFacts, Stage, TargetSpec,
    Timestamp, Writer,
};
use stillwell_testing::metrics_proto::{
    Bucket, BucketSpan, Counter, Exemplar, Gauge, Histogram, Metric, MetricFamily, Quantile,
    Summary, Timestamp as ProtoTimestamp, labels, page,
};

const START_MS: i64 = 1_800_000_000_000;

struct Scene {
    writer: Writer,
    reader: Reader,
    stage: Stage,
    now_ms: i64,
}

impl Scene {
    fn new(histograms: HistogramOptions) -> Scene {
        let (mut writer, reader) = Engine::new(Limits::default());
        let (_, stage) = writer.add_target(TargetSpec {
            labels: Labels::from_pairs([("job", "a")]),
            honor_timestamps: true,
            interval_ms: 1_000,
            histograms,
            ..TargetSpec::default()
        });
        Scene {
            writer,
            reader,
            stage,
            now_ms: START_MS,
        }
    }

    fn scrape(&mut self, page: &[u8], format: Format) -> Result<(), PageError> {
        self.now_ms += 1_000;
        let at = Timestamp::from_ms(self.now_ms);
        let target = self.stage.target();
        match self.stage.parse(page, format) {
            Ok(staged) => {
                let committed = self.writer.commit(staged, at, ScrapeFacts::default());
                committed.expect("the page is taken");
                Ok(())
            }
            Err(error) => {
                let failed = self.writer.fail(target, at, ScrapeFacts::default(), "bad");
                failed.expect("time moves on");
                Err(error)
            }
        }
    }

    fn ask(&self, query: &str) -> Vec<String> {
        let query = Query::parse(query, &Features::default()).expect("valid");
        let at = Timestamp::from_ms(self.now_ms);
        let answer = query.instant(&self.reader.plain(), at, &EvalOptions::default());
        let Value::Vector(samples) = answer.expect("answers").value else {
            panic!("a vector was asked for");
        };
        let show = |sample: &stillwell_engine::promql::VectorSample| match &sample.histogram {
            Some(histogram) => format!("{} {histogram}", sample.labels),
            None => format!("{} {}", sample.labels, sample.value),
        };
        let mut shown: Vec<String> = samples.iter().map(show).collect();
        shown.sort();
        shown
    }

    /// Everything that pages show.
    fn all(&self) -> Vec<String> {
        self.ask("{job=\"a\",__name__!~\"up|scrape_.*\"}")
    }
}

fn plain() -> HistogramOptions {
    HistogramOptions::default()
}

fn native() -> HistogramOptions {
    HistogramOptions {
        native: true,
        ..plain()
    }
}

const TEXT: &str = "# HELP c \\\"quoted\\\"\n# TYPE c_total counter\nc_total{a=\"x\\\"\\\\\\n\"} 7\n\
    # TYPE g gauge\ng 0.1\ng{b=\"\"} NaN\n# TYPE h histogram\nh_count 3\nh_sum 1.5\n\
    h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\n# TYPE s summary\ns_count 4\ns_sum 9\ns{quantile=\"0.5\"} 2\n";

/// The page of `TEXT` in OpenMetrics.
fn openmetrics() -> Vec<u8> {
    let text = TEXT.replace("g{b=\"\"} NaN\n", "g{b=\"\"} nan\n");
    format!("{text}# EOF\n").into_bytes()
}

fn family(name: &str, kind: i32, metrics: Vec<Metric>) -> MetricFamily {
    MetricFamily {
        name: Some(name.to_owned()),
        r#type: Some(kind),
        metric: metrics,
        ..MetricFamily::default()
    }
}

fn gauge(pairs: &[(&str, &str)], value: f64) -> Metric {
    Metric {
        label: labels(pairs),
        gauge: Some(Gauge { value: Some(value) }),
        ..Metric::default()
    }
}

fn counter(pairs: &[(&str, &str)], value: f64, exemplar: Option<Exemplar>) -> Metric {
    Metric {
        label: labels(pairs),
        counter: Some(Counter {
            value: Some(value),
            exemplar,
        }),
        ..Metric::default()
    }
}

fn classic(counts: &[(f64, u64)], count: u64, sum: f64) -> Histogram {
    let bucket = |(bound, count): &(f64, u64)| Bucket {
        cumulative_count: Some(*count),
        upper_bound: Some(*bound),
        ..Bucket::default()
    };
    Histogram {
        sample_count: Some(count),
        sample_sum: Some(sum),
        bucket: counts.iter().map(bucket).collect(),
        ..Histogram::default()
    }
}

fn histogram(histogram: Histogram) -> Metric {
    Metric {
        histogram: Some(histogram),
        ..Metric::default()
    }
}

/// The page of `TEXT` in protobuf, its values plus `more`.
fn protobuf(more: f64) -> Vec<u8> {
    let summary = Metric {
        summary: Some(Summary {
            sample_count: Some(4),
            sample_sum: Some(9.0),
            quantile: vec![Quantile {
                quantile: Some(0.5),
                value: Some(2.0),
            }],
        }),
        ..Metric::default()
    };
    page(&[
        family(
            "c_total",
            0,
            vec![counter(&[("a", "x\"\\\n")], 7.0 + more, None)],
        ),
        family(
            "g",
            1,
            vec![gauge(&[], 0.1 + more), gauge(&[("b", "")], f64::NAN)],
        ),
        family("h", 4, vec![histogram(classic(&[(1.0, 2)], 3, 1.5))]),
        family("s", 2, vec![summary]),
    ])
}

#[test]
fn one_page_in_three_formats_is_one_content() {
    let mut text = Scene::new(plain());
    text.scrape(TEXT.as_bytes(), Format::Text).expect("valid");
    assert_eq!(text.all().len(), 9, "{:?}", text.all());
    let mut other = Scene::new(plain());
    let pages = [
        (openmetrics(), Format::OpenMetrics),
        (protobuf(0.0), Format::Protobuf),
        (TEXT.as_bytes().to_vec(), Format::Text),
        (openmetrics(), Format::OpenMetrics),
    ];
    for (page, format) in pages {
        other.scrape(&page, format).expect("valid");
        assert_eq!(other.all(), text.all(), "{format:?}");
        other.scrape(&page, format).expect("valid");
        assert_eq!(other.all(), text.all(), "{format:?} again");
    }
    let drops = other.ask("resets(c_total[1m])");
    assert!(drops[0].ends_with(" 0"), "{drops:?}");
}

#[test]
fn values_in_protobuf_follow_the_page() {
    let mut scene = Scene::new(plain());
    for more in [0.0, 1.0, 0.5, 1e300, 0.0] {
        scene
            .scrape(&protobuf(more), Format::Protobuf)
            .expect("valid");
        let expected = format!("g{{job=\"a\"}} {}", 0.1 + more);
        assert_eq!(scene.ask("g < inf"), [expected]);
    }
}

#[test]
fn openmetrics_has_seconds_and_its_own_rules() {
    let mut scene = Scene::new(plain());
    let at_s = (START_MS + 500) as f64 / 1000.0;
    let page = format!("# TYPE a gauge\n# UNIT a \na 1 {at_s}\n# EOF\n");
    scene
        .scrape(page.as_bytes(), Format::OpenMetrics)
        .expect("valid");
    let time = scene.ask("timestamp(a)");
    assert!(time[0].ends_with(&format!(" {at_s}")), "{time:?}");
    for (page, line, reason) in [
        ("a 1\n", 1, "does not end with # EOF"),
        ("a 1\n# EOF\nb 1\n# EOF\n", 2, "something follows # EOF"),
        ("a 1\n\n# EOF\n", 2, "expected a metric name"),
        ("# a comment\n# EOF\n", 1, "no other comments"),
        ("# TYPE a untyped\n# EOF\n", 1, "invalid metric type"),
        ("# UNIT a s\n# EOF\n", 1, "not a suffix"),
        ("a  1\n# EOF\n", 1, "expected a value"),
        ("a{b=\"c\" } 1\n# EOF\n", 1, "expected \",\""),
        ("a 1 NaN\n# EOF\n", 1, "expected a value"),
        ("a 1 # 3\n# EOF\n", 1, "expected a value"),
    ] {
        let error = scene
            .scrape(page.as_bytes(), Format::OpenMetrics)
            .expect_err(page);
        assert!(error.reason.contains(reason), "{page:?}: {error}");
        assert_eq!(error.line, line, "{page:?}: {error}");
    }
}

#[test]
fn what_openmetrics_adds_is_kept() {
    let mut scene = Scene::new(plain());
    let page = "# TYPE a_seconds info\n# HELP a_seconds h\n# UNIT a_seconds seconds\n\
                # TYPE b counter\nb_total 1\nb_created 1.5\n# EOF";
    scene
        .scrape(page.as_bytes(), Format::OpenMetrics)
        .expect("valid");
    let metadata = scene.reader.metadata();
    let info = &metadata["a_seconds"][0];
    assert_eq!(
        (info.family_type.as_str(), &*info.help, &*info.unit),
        ("info", "h", "seconds")
    );
    assert_eq!(scene.ask("b_created"), ["b_created{job=\"a\"} 1.5"]);
}

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

/// Schema 0, three buckets of 1, 2 and 3 observations from 1 to 8, and as classic ones.
fn both_kinds(factor: u64) -> Histogram {
    Histogram {
        schema: Some(0),
        zero_threshold: Some(1e-128),
        positive_span: vec![BucketSpan {
            offset: Some(1),
            length: Some(3),
        }],
        positive_delta: vec![factor as i64, factor as i64, factor as i64],
        ..classic(&[(2.0, factor), (8.0, 6 * factor)], 6 * factor, 24.0)
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

#[test]
fn native_histograms_are_samples_of_the_page() {
    let mut scene = Scene::new(native());
    let page_of = |factor| page(&[family("h", 4, vec![histogram(both_kinds(factor))])]);
    for factor in [1, 1, 2, 4] {
        scene
            .scrape(&page_of(factor), Format::Protobuf)
            .expect("valid");
    }
    assert_eq!(scene.all().len(), 1, "{:?}", scene.all());
    let shown = "h{job=\"a\"} {count:24, sum:24, (1,2]:4, (2,4]:8, (4,8]:12}";
    assert_eq!(scene.all(), [shown]);
    assert_eq!(scene.ask("histogram_count(h)"), ["{job=\"a\"} 24"]);
    assert_eq!(scene.ask("histogram_count(increase(h[3s]))").len(), 1);
    assert_eq!(scene.ask("count_over_time(h[1m])"), ["{job=\"a\"} 4"]);
    // A reset, a failed scrape, and the end of the series.
    scene.scrape(&page_of(1), Format::Protobuf).expect("valid");
    assert_eq!(scene.ask("resets(h[1m])"), ["{job=\"a\"} 1"]);
    scene
        .scrape(b"\xff", Format::Protobuf)
        .expect_err("no page");
    assert!(scene.all().is_empty(), "{:?}", scene.all());
    scene.scrape(&page_of(2), Format::Protobuf).expect("valid");
    assert_eq!(scene.ask("histogram_count(h)"), ["{job=\"a\"} 12"]);
    scene.scrape(b"", Format::Protobuf).expect("empty");
    assert!(scene.all().is_empty(), "{:?}", scene.all());
    // A float under the same name, and back.
    scene
        .scrape(
            &page(&[family("h", 1, vec![gauge(&[], 5.0)])]),
            Format::Protobuf,
        )
        .expect("valid");
    assert_eq!(scene.all(), ["h{job=\"a\"} 5"]);
    scene.scrape(&page_of(1), Format::Protobuf).expect("valid");
    assert_eq!(scene.ask("histogram_count(h)"), ["{job=\"a\"} 6"]);
}

#[test]
fn a_job_chooses_what_becomes_of_histograms() {
    let both = page(&[family("h", 4, vec![histogram(both_kinds(1))])]);
    let only_classic = page(&[family(
        "h",
        4,
        vec![histogram(classic(&[(2.0, 1)], 3, 9.0))],
    )]);
    let names = |options: HistogramOptions, page: &[u8], format| {
        let mut scene = Scene::new(options);
        scene.scrape(page, format).expect("valid");
        scene.scrape(page, format).expect("valid");
        let name = |shown: &String| {
            let name = shown.split('{').next().unwrap_or("").to_owned();
            let is_native = shown.contains("count:");
            name + if is_native { "!" } else { "" }
        };
        let mut names: Vec<String> = scene.all().iter().map(name).collect();
        names.dedup();
        names.join(" ")
    };
    let options = |native, always_classic, convert_classic| HistogramOptions {
        native,
        always_classic,
        convert_classic,
        ..plain()
    };
    let all = "h_bucket h_count h_sum";
    let text =
        b"# TYPE h histogram\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 9\n";
    for (options, of_both, of_classic) in [
        (options(false, false, false), all, all),
        (options(true, false, false), "h!", all),
        (options(true, true, false), "h_bucket h_count h_sum h!", all),
        (options(false, false, true), "h!", "h!"),
        (
            options(true, true, true),
            "h_bucket h_count h_sum h!",
            "h_bucket h_count h_sum h!",
        ),
    ] {
        let format = Format::Protobuf;
        assert_eq!(names(options, &both, format), of_both, "{options:?}");
        assert_eq!(
            names(options, &only_classic, format),
            of_classic,
            "{options:?}"
        );
        assert_eq!(
            names(options, text, Format::Text),
            of_classic,
            "{options:?} text"
        );
        let openmetrics = [&text[..], b"# EOF\n"].concat();
        let of_text = names(options, &openmetrics, Format::OpenMetrics);
        assert_eq!(of_text, of_classic, "{options:?} OpenMetrics");
    }
    let mut scene = Scene::new(options(false, false, true));
    scene.scrape(text, Format::Text).expect("valid");
    scene.scrape(text, Format::Text).expect("valid");
    assert_eq!(
        scene.ask("h"),
        ["h{job=\"a\"} {count:3, sum:9, [-Inf,2]:1, (2,+Inf]:2}"]
    );
}

#[test]
fn damaged_pages_are_refused_with_the_family() {
    let good = page(&[family("good", 1, vec![gauge(&[], 1.0)])]);
    let with = |family: MetricFamily| [good.clone(), page(&[family])].concat();
    let mut wrong_count = both_kinds(1);
    wrong_count.sample_count = Some(7);
    let unit = MetricFamily {
        unit: Some("s".to_owned()),
        ..family("x", 1, vec![gauge(&[], 1.0)])
    };
    for (page, reason) in [
        (
            with(family("h", 4, vec![histogram(wrong_count)])),
            "family 2 (\"h\"): the buckets do not add up",
        ),
        (
            with(family("x", 9, vec![gauge(&[], 1.0)])),
            "unknown metric type 9",
        ),
        (with(unit), "unit \"s\" is not a suffix"),
        (with(family("", 1, vec![gauge(&[], 1.0)])), "no name"),
        (
            with(family("x", 1, vec![gauge(&[("a", "1"), ("a", "2")], 1.0)])),
            "\"a\" is there twice",
        ),
    ] {
        let error = Scene::new(native())
            .scrape(&page, Format::Protobuf)
            .expect_err(reason);
        assert!(error.reason.contains(reason), "{error}");
    }
    for end in 1..good.len() {
        let mut scene = Scene::new(native());
        assert!(
            scene.scrape(&good[..end], Format::Protobuf).is_err(),
            "{end}"
        );
    }
}

/// A gauge that was a native histogram for two pages: the program read those from history as numbers, and `> bool 0` of a NaN
/// is a 0 where there is no answer.
#[test]
fn a_program_reads_no_native_histogram_as_a_number() {
    use stillwell_engine::signal::Policy;
    let queries = [
        "sum(sum_over_time(h[30s])) > bool 0",
        "max_over_time(h[30s])",
        "sum(h)",
        "sum(h offset 3s)",
        "count_over_time(h[30s:1s])",
    ];
    let mut scene = Scene::new(native());
    let signals = queries.map(|query| {
        let registered = scene.writer.register(query, Policy::default());
        (query, registered.expect(query))
    });
    let gauge_page = page(&[family("h", 1, vec![gauge(&[], 5.0)])]);
    let histogram_page = page(&[family("h", 4, vec![histogram(both_kinds(1))])]);
    let mut by_program = Vec::new();
    for number in 0..60 {
        let is_histogram = matches!(number, 5 | 6);
        let page = if is_histogram {
            &histogram_page
        } else {
            &gauge_page
        };
        scene.scrape(page, Format::Protobuf).expect("valid");
        for (query, id) in signals {
            let (program, ordinary) = scene.reader.both_ways(id).expect("registered");
            let Some(program) = program else { continue };
            by_program.push((query, number));
            let shown = |outcome: stillwell_engine::signal::Evaluated| {
                format!("{:?}", outcome.map(|all| all.values))
            };
            assert_eq!(shown(program), shown(ordinary), "{query} at page {number}");
        }
    }
    // Before them, and when they have left the windows.
    for query in queries {
        for number in [3, 59] {
            assert!(
                by_program.contains(&(query, number)),
                "{query} at page {number}"
            );
        }
    }
}

/// A frozen target is read as of its last good scrape, its histograms too.
#[test]
fn a_signal_over_native_histograms_is_held_like_any_other() {
    use stillwell_engine::signal::{Policy, State};
    let mut scene = Scene::new(native());
    let query = "sum(histogram_count(h))";
    let signal = scene
        .writer
        .register(query, Policy::default())
        .expect("valid");
    let held = page(&[family("h", 4, vec![histogram(both_kinds(2))])]);
    for _ in 0..20 {
        scene.scrape(&held, Format::Protobuf).expect("valid");
    }
    for is_held in [false, true] {
        let now = Timestamp::from_ms(scene.now_ms);
        let reading = scene.reader.signal(signal, now, &[]).expect("registered");
        assert_eq!(reading.elements.len(), 1, "{reading:?}");
        assert_eq!(reading.elements[0].value, 12.0);
        assert_eq!(
            matches!(reading.state, State::Held { .. }),
            is_held,
            "{reading:?}"
        );
        scene
            .scrape(b"\xff", Format::Protobuf)
            .expect_err("no page");
    }
}

/// A window with floats and native histograms yields nothing, and that was told as 0: the series is there.
#[test]
fn what_evaluation_leaves_out_is_not_absent() {
    use stillwell_engine::signal::{Policy, State};
    let mut scene = Scene::new(native());
    let registered = scene
        .writer
        .register("sum(avg_over_time(h[10s]))", Policy::default());
    let signal = registered.expect("valid");
    let gauge_page = page(&[family("h", 1, vec![gauge(&[], 5.0)])]);
    let histogram_page = page(&[family("h", 4, vec![histogram(both_kinds(1))])]);
    for number in 0..8 {
        let page = if number == 4 {
            &histogram_page
        } else {
            &gauge_page
        };
        scene.scrape(page, Format::Protobuf).expect("valid");
    }
    let now = Timestamp::from_ms(scene.now_ms);
    let reading = scene.reader.signal(signal, now, &[]).expect("registered");
    let State::Unknown { why } = &reading.state else {
        panic!("{reading:?}");
    };
    assert!(
        why.contains("although there are series that it reads"),
        "{why}"
    );
}
