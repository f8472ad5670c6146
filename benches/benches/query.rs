//! Evaluation over the engine's store: the queries of `rivals` in process, and compiled signals (group `compiled`).
//!
//! `cargo bench -p stillwell-benches --bench query`

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use stillwell_benches::pages::{LoadPage, gateways};
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::incremental::{kahan_inc, kahan_inc_finite};
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::signal::Policy;
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

const INTERVAL_MS: i64 = 1_000;

struct Fixture {
    writer: Writer,
    reader: Reader,
    targets: Vec<(Stage, LoadPage)>,
    now_ms: i64,
}

impl Fixture {
    fn new(targets: usize, samples: usize, scrapes: usize) -> Fixture {
        let limits = Limits {
            memory_bytes_max: 8 << 30,
            ..Limits::default()
        };
        let (mut writer, reader) = Engine::new(limits);
        let targets = gateways(&mut writer, targets, samples, INTERVAL_MS as u64);
        let mut fixture = Fixture {
            writer,
            reader,
            targets,
            now_ms: 1_000_000,
        };
        for _ in 0..scrapes {
            fixture.scrape();
        }
        fixture
    }

    fn scrape(&mut self) {
        self.now_ms += INTERVAL_MS;
        for (stage, page) in &mut self.targets {
            page.step();
            let staged = stage
                .parse(&page.text, Format::Text)
                .expect("the page parses");
            let at = Timestamp::from_ms(self.now_ms);
            self.writer
                .commit(staged, at, ScrapeFacts::default())
                .expect("taken");
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    queries(&mut criterion);
    compiled(&mut criterion);
    ranges(&mut criterion);
    criterion.final_summary();
}

fn queries(criterion: &mut Criterion) {
    let fixture = Fixture::new(20, 2_024, 20);
    let view = fixture.reader.plain();
    let options = EvalOptions::default();
    let mut group = criterion.benchmark_group("instant");
    let phase = "llm_d_epp_request_phase_0000_duration_seconds";
    for (name, query, elements) in [
        (
            "sum_by_3200_series",
            format!("sum by (inference_pool) ({phase}_bucket)"),
            4,
        ),
        (
            "sum_one_pool",
            format!("sum({phase}_count{{inference_pool=\"pool-001-llama-3-1-8b-instruct\"}})"),
            1,
        ),
        (
            "sum_by_rate",
            format!("sum by (inference_pool) (rate({phase}_count[10s]))"),
            4,
        ),
    ] {
        group.bench_function(BenchmarkId::new("parse", name), |bencher| {
            bencher.iter(|| Query::parse(black_box(&query), &Features::default()).expect("valid"));
        });
        let parsed = Query::parse(&query, &Features::default()).expect("valid");
        let at = Timestamp::from_ms(fixture.now_ms);
        group.bench_function(BenchmarkId::new("evaluate", name), |bencher| {
            bencher.iter(|| {
                let answer = parsed.instant(&view, at, &options).expect("an answer");
                assert!(matches!(&answer.value, Value::Vector(vector) if vector.len() == elements));
            });
        });
    }
    group.finish();
}

/// Many series of one target, and another target with a page of two lines that makes the signal be evaluated. The
/// many are frozen, so that their windows stay as they are however often that happens.
struct Many {
    writer: Writer,
    reader: Reader,
    many: Stage,
    small: Stage,
    now_ms: i64,
}

impl Many {
    fn new(page: impl Fn(i64) -> String, scrapes: i64) -> Many {
        let (mut writer, reader) = Engine::new(Limits {
            memory_bytes_max: 8 << 30,
            ..Limits::default()
        });
        let mut target = |instance: &str| {
            let labels = Labels::from_pairs([("job", "epp"), ("instance", instance)]);
            let spec = TargetSpec {
                labels,
                interval_ms: INTERVAL_MS as u64,
                ..TargetSpec::default()
            };
            writer.add_target(spec).1
        };
        let (many, small) = (target("many"), target("small"));
        let mut fixture = Many {
            writer,
            reader,
            many,
            small,
            now_ms: 1_000_000,
        };
        for scrape in 0..scrapes {
            fixture.now_ms += INTERVAL_MS;
            let at = Timestamp::from_ms(fixture.now_ms);
            let page = page(scrape);
            let staged = fixture
                .many
                .parse(page.as_bytes(), Format::Text)
                .expect("parses");
            let facts = ScrapeFacts::default();
            fixture.writer.commit(staged, at, facts).expect("taken");
        }
        fixture.now_ms += INTERVAL_MS;
        let at = Timestamp::from_ms(fixture.now_ms);
        let failed =
            fixture
                .writer
                .fail(fixture.many.target(), at, ScrapeFacts::default(), "refused");
        failed.expect("time ascends");
        fixture.evaluate();
        fixture
    }

    /// The small page: every signal is evaluated.
    fn evaluate(&mut self) {
        self.now_ms += 1;
        let staged = self
            .small
            .parse(b"a 1\nb 2\n", Format::Text)
            .expect("parses");
        let at = Timestamp::from_ms(self.now_ms);
        let facts = ScrapeFacts::default();
        self.writer.commit(staged, at, facts).expect("taken");
    }
}

/// Counters of 16 models in turn, each moving on its own; `by_model` puts those of a model side by side.
fn counters(series: usize, by_model: bool) -> impl Fn(i64) -> String {
    move |scrape| {
        let mut page = String::new();
        for at in 0..series {
            let model = if by_model { at * 16 / series } else { at % 16 };
            let value = 1_000 + at as i64 * 3 + scrape * (at as i64 % 7);
            let labels = format!("fairness_id=\"f{at}\",model_name=\"m{model}\"");
            writeln!(page, "many_total{{{labels}}} {value}").expect("a String takes everything");
        }
        page
    }
}

/// Histograms with 20 buckets each.
fn histograms(series: usize) -> impl Fn(i64) -> String {
    move |scrape| {
        let mut page = String::new();
        for at in 0..series {
            let bound = at % 20;
            let le = if bound == 19 {
                "+Inf".to_owned()
            } else {
                bound.to_string()
            };
            let value = (bound as i64 + 1) * (1_000 + scrape * 3);
            let labels = format!("fairness_id=\"f{}\",le=\"{le}\"", at / 20);
            writeln!(page, "many_bucket{{{labels}}} {value}").expect("a String takes everything");
        }
        page
    }
}

/// One evaluation, with the page of two lines that causes it: less `page_alone`, it is the program.
fn compiled(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compiled");
    group.sample_size(20);
    let mut alone = Many::new(counters(1, false), 2);
    group.bench_function("page_alone", |bencher| bencher.iter(|| alone.evaluate()));
    chains(&mut group);
    let sums = [
        ("sum", "sum(many_total)", 1),
        ("sum_by", "sum by (model_name) (many_total)", 16),
    ];
    for series in [64usize, 1_000, 100_000, 1_000_000] {
        let mut fixture = Many::new(counters(series, false), 2);
        for query in sums {
            one(&mut group, &mut fixture, series, query);
        }
        let mut fixture = Many::new(counters(series, true), 2);
        let (_, query, elements) = sums[1];
        one(
            &mut group,
            &mut fixture,
            series,
            ("sum_by_in_a_row", query, elements),
        );
    }
    windows(&mut group);
    others(&mut group);
    group.finish();
}

/// Functions of ranges, and quantiles of histograms.
fn windows(group: &mut BenchmarkGroup<'_, WallTime>) {
    for series in [1_000usize, 10_000] {
        let mut fixture = Many::new(counters(series, false), 70);
        for (name, function) in [
            ("sum_by_rate_1m", "rate"),
            ("sum_by_max_1m", "max_over_time"),
            ("sum_by_avg_1m", "avg_over_time"),
            ("sum_by_stddev_1m", "stddev_over_time"),
            ("sum_by_deriv_1m", "deriv"),
        ] {
            let query = format!("sum by (model_name) ({function}(many_total[1m]))");
            one(group, &mut fixture, series, (name, &query, 16));
        }
        let mut fixture = Many::new(histograms(series), 70);
        for query in [
            (
                "quantile",
                "histogram_quantile(0.9, sum by (fairness_id, le) (many_bucket))",
                series / 20,
            ),
            (
                "quantile_rate_1m",
                "histogram_quantile(0.9, sum by (le) (rate(many_bucket[1m])))",
                1,
            ),
        ] {
            one(group, &mut fixture, series, query);
        }
    }
}

/// Joins, rankings, other labels, earlier times.
fn others(group: &mut BenchmarkGroup<'_, WallTime>) {
    for series in [1_000usize, 10_000] {
        let mut fixture = Many::new(counters(series, false), 70);
        for (name, query, elements) in [
            (
                "group_left",
                "many_total / on (model_name) group_left () sum by (model_name) (many_total)",
                series,
            ),
            ("topk", "topk(10, many_total)", 10),
            (
                "quantile_by",
                "quantile by (model_name) (0.9, many_total)",
                16,
            ),
            (
                "label_replace",
                "sum by (pod) (label_replace(many_total, \"pod\", \"p$1\", \"fairness_id\", \"f(.).*\"))",
                10,
            ),
            ("offset", "sum by (model_name) (many_total offset 30s)", 16),
            (
                "subquery_frozen",
                "max_over_time(sum by (model_name) (many_total)[1m:5s])",
                16,
            ),
        ] {
            one(group, &mut fixture, series, (name, query, elements));
        }
    }
}

/// The limit of a sum: compensated additions over values that stand side by side, with nothing around them. One chain is
/// bound by the latency of an addition, four by how many additions begin in a cycle.
fn chains(group: &mut BenchmarkGroup<'_, WallTime>) {
    let values: Vec<f64> = (0..1_000).map(|at| 1_000.0 + f64::from(at) * 3.3).collect();
    group.throughput(Throughput::Elements(values.len() as u64));
    group.bench_function("one_chain/1000", |bencher| {
        bencher.iter(|| {
            let (mut sum, mut compensation) = (0.0, 0.0);
            for value in black_box(&values) {
                kahan_inc(*value, &mut sum, &mut compensation);
            }
            black_box(sum + compensation)
        });
    });
    group.bench_function("four_chains/1000", |bencher| {
        bencher.iter(|| {
            let (mut sums, mut compensations) = ([0.0; 4], [0.0; 4]);
            for values in black_box(&values).as_chunks::<4>().0 {
                for at in 0..4 {
                    kahan_inc_finite(values[at], &mut sums[at], &mut compensations[at]);
                }
            }
            black_box((sums, compensations))
        });
    });
}

fn one(
    group: &mut BenchmarkGroup<'_, WallTime>,
    fixture: &mut Many,
    series: usize,
    (name, query, elements): (&str, &str, usize),
) {
    let signal = fixture
        .writer
        .register(query, Policy::default())
        .expect("valid");
    fixture.evaluate();
    let (program, ordinary) = fixture.reader.both_ways(signal).expect("evaluated");
    let (program, ordinary) = (program.expect("by program"), ordinary.expect("a result"));
    let program = program.expect("a result");
    assert_eq!(
        (program.values.len(), &program.values),
        (elements, &ordinary.values)
    );
    group.throughput(Throughput::Elements(series as u64));
    group.bench_function(BenchmarkId::new(name, series), |bencher| {
        bencher.iter(|| fixture.evaluate())
    });
    fixture.reader.remove(signal);
}

fn ranges(criterion: &mut Criterion) {
    let fixture = Fixture::new(20, 2_024, 600);
    let view = fixture.reader.plain();
    let options = EvalOptions::default();
    let mut group = criterion.benchmark_group("range_10m");
    group.sample_size(10);
    let phase = "llm_d_epp_request_phase_0000_duration_seconds";
    for (name, query) in [
        (
            "sum_rate_bucket",
            format!("sum by (model_name) (rate({phase}_bucket[1m]))"),
        ),
        (
            "quantile",
            format!("histogram_quantile(0.9, sum by (le) (rate({phase}_bucket[1m])))"),
        ),
    ] {
        let query = Query::parse(&query, &Features::default()).expect("valid");
        let end = Timestamp::from_ms(fixture.now_ms);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let answer = query
                    .range(&view, end.minus_ms(540_000), end, 1_000, &options)
                    .expect("an answer");
                assert!(matches!(&answer.value, Value::Matrix(matrix) if !matrix.is_empty()));
            });
        });
    }
    group.finish();
}
