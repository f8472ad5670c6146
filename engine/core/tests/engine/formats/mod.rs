//! Pages in OpenMetrics and protobuf hold what the same page in the text format holds, and what only they can say.

mod exemplars;
mod histogram_signals;
mod histograms;
mod openmetrics;

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
