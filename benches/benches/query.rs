//! One evaluation: the queries of `rivals` in process, standing signals, history written and read.
//!
//! `cargo bench -p stillwell-benches --bench query`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use stillwell_benches::pages::LoadPage;
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::signal::{Policy, State};
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

const INTERVAL_MS: i64 = 1_000;

struct World {
    writer: Writer,
    reader: Reader,
    targets: Vec<(Stage, LoadPage)>,
    now_ms: i64,
}

impl World {
    fn new(targets: usize, samples: usize, scrapes: usize) -> World {
        let limits = Limits {
            memory_bytes_max: 8 << 30,
            ..Limits::default()
        };
        let (mut writer, reader) = Engine::new(limits);
        let targets = (0..targets).map(|target| {
            let instance = format!("10.0.0.{target}:9090");
            let labels = Labels::from_pairs([("job", "epp"), ("instance", instance.as_str())]);
            let spec = TargetSpec {
                labels,
                interval_ms: INTERVAL_MS as u64,
                ..TargetSpec::default()
            };
            (
                writer.add_target(spec).1,
                LoadPage::new(target % 4, samples, 20),
            )
        });
        let targets = targets.collect();
        let mut world = World {
            writer,
            reader,
            targets,
            now_ms: 1_000_000,
        };
        for _ in 0..scrapes {
            world.scrape();
        }
        world
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
    standing(&mut criterion);
    ranges(&mut criterion);
    criterion.final_summary();
}

fn queries(criterion: &mut Criterion) {
    let world = World::new(20, 2_024, 20);
    let view = world.reader.plain();
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
        let at = Timestamp::from_ms(world.now_ms);
        group.bench_function(BenchmarkId::new("evaluate", name), |bencher| {
            bencher.iter(|| {
                let answer = parsed.instant(&view, at, &options).expect("an answer");
                assert!(matches!(&answer.value, Value::Vector(vector) if vector.len() == elements));
            });
        });
    }
    group.finish();
}

/// A scrape of one small page and the standing sum over all series: the difference to a scrape alone is the fold.
fn standing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("standing");
    group.sample_size(10);
    for series in [1_000usize, 100_000] {
        let mut world = World::new(1, series, 3);
        let queries = [
            "sum by (inference_pool) ({__name__=~\".*_bucket\"})",
            "sum(llm_d_epp_flow_control_queue_size)",
        ];
        let signal = world
            .writer
            .watch(queries[1], Policy::default())
            .expect("valid");
        world.scrape();
        let at = Timestamp::from_ms(world.now_ms);
        let reading = world.reader.signal(signal, at, &[]).expect("watched");
        assert_eq!(reading.state, State::Value);
        group.throughput(Throughput::Elements(series as u64));
        group.bench_function(BenchmarkId::new("scrape_with_sum", series), |bencher| {
            bencher.iter(|| world.scrape())
        });
    }
    group.finish();
}

fn ranges(criterion: &mut Criterion) {
    let world = World::new(20, 2_024, 600);
    let view = world.reader.plain();
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
        let end = Timestamp::from_ms(world.now_ms);
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
