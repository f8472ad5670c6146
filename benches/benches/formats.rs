//! The same page in every format: from its bytes to a commit, when a fifth of its values move.
//!
//! `cargo bench -p stillwell-benches --bench formats`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use stillwell_engine::labels::Labels;
use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer};
use stillwell_testing::metrics_proto::{Gauge, Metric, MetricFamily, labels, page};

const SERIES: [usize; 2] = [2_000, 20_000];
/// Series of one family.
const FAMILY_SERIES: usize = 100;
const INTERVAL_MS: i64 = 100;

/// The value of a series on the nth page.
fn value(series: usize, number: usize) -> f64 {
    let moved = if series.is_multiple_of(5) { number } else { 0 };
    (series + moved) as f64 + 0.25
}

fn pairs(series: usize) -> [(&'static str, String); 3] {
    [
        (
            "model_name",
            format!("meta-llama/Llama-3.1-8B-Instruct-{}", series % 7),
        ),
        ("fairness_id", format!("tenant-{series}")),
        ("inference_pool", "vllm-llama3-8b-instruct".to_owned()),
    ]
}

fn text_page(count: usize, number: usize) -> Vec<u8> {
    let mut text = String::new();
    for series in 0..count {
        let family = series / FAMILY_SERIES;
        if series % FAMILY_SERIES == 0 {
            text.push_str(&format!(
                "# HELP family_{family} help\n# TYPE family_{family} gauge\n"
            ));
        }
        let labels = pairs(series).map(|(name, value)| format!("{name}=\"{value}\""));
        let (labels, value) = (labels.join(","), value(series, number));
        text.push_str(&format!("family_{family}{{{labels}}} {value}\n"));
    }
    text.into_bytes()
}

fn protobuf_page(count: usize, number: usize) -> Vec<u8> {
    let metric = |series: usize| {
        let owned = pairs(series);
        let borrowed: Vec<(&str, &str)> = owned.iter().map(|(n, v)| (*n, &**v)).collect();
        Metric {
            label: labels(&borrowed),
            gauge: Some(Gauge {
                value: Some(value(series, number)),
            }),
            ..Metric::default()
        }
    };
    let family = |family: usize| {
        let first = family * FAMILY_SERIES;
        MetricFamily {
            name: Some(format!("family_{family}")),
            help: Some("help".to_owned()),
            r#type: Some(1),
            metric: (first..(first + FAMILY_SERIES).min(count))
                .map(metric)
                .collect(),
            unit: None,
        }
    };
    let families: Vec<_> = (0..count.div_ceil(FAMILY_SERIES)).map(family).collect();
    page(&families)
}

struct Target {
    writer: Writer,
    stage: Stage,
    at_ms: i64,
}

impl Target {
    fn new() -> Target {
        let limits = Limits {
            retention_ms: 5_000,
            ..Limits::default()
        };
        let (mut writer, _) = Engine::new(limits);
        let (_, stage) = writer.add_target(TargetSpec {
            labels: Labels::from_pairs([("job", "epp"), ("instance", "10.0.0.7:9090")]),
            ..TargetSpec::default()
        });
        Target {
            writer,
            stage,
            at_ms: 0,
        }
    }

    fn scrape(&mut self, page: &[u8], format: Format) {
        self.at_ms += INTERVAL_MS;
        let staged = self.stage.parse(black_box(page), format).expect("valid");
        let at = Timestamp::from_ms(self.at_ms);
        let committed = self.writer.commit(staged, at, ScrapeFacts::default());
        committed.expect("taken");
        if self.at_ms % 1_000 == 0 {
            self.writer.maintain(at);
        }
    }
}

#[expect(clippy::print_stdout, reason = "the sizes belong to the result")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("formats");
    for count in SERIES {
        let openmetrics = |number| [text_page(count, number), b"# EOF\n".to_vec()].concat();
        let pages = |page: &dyn Fn(usize) -> Vec<u8>| (0..8).map(page).collect::<Vec<_>>();
        for (name, format, pages) in [
            (
                "text",
                Format::Text,
                pages(&|number| text_page(count, number)),
            ),
            ("openmetrics", Format::OpenMetrics, pages(&openmetrics)),
            (
                "protobuf",
                Format::Protobuf,
                pages(&|number| protobuf_page(count, number)),
            ),
        ] {
            println!("{name}, {count} series: {} bytes", pages[0].len());
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                let mut target = Target::new();
                let mut next = 0;
                bencher.iter(|| {
                    target.scrape(&pages[next % pages.len()], format);
                    next += 1;
                });
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
