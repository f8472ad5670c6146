//! PromQL alone, over series in memory: typical queries over 4,000 series and an hour at 1 s, and how long it takes to
//! refuse hostile text. Selecting costs next to nothing here, so evaluation is what is timed.
//!
//! `cargo bench -p stillwell-benches --bench promql`

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use stillwell_engine::promql::model::labels;
use stillwell_engine::promql::model::labels::Labels;
use stillwell_engine::promql::model::time::Timestamp;
use stillwell_engine::promql::script::MemoryView;
use stillwell_engine::promql::select::{LastSample, Samples, SelectRequest, Selection, View};
use stillwell_engine::promql::{EvalOptions, Features, Query, QueryError, Value};

/// Series of each kind.
const SERIES: usize = 4_000;
const SAMPLES: usize = 3_600;

/// Series in memory, by metric name: selecting costs next to nothing, so that evaluation is what is timed.
struct Prepared(HashMap<String, Arc<Vec<(Labels, Samples)>>>);

struct Part {
    series: Arc<Vec<(Labels, Samples)>>,
    after_ms: i64,
    until_ms: i64,
}

impl View for Prepared {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
        let name = request
            .matchers
            .iter()
            .find(|m| m.name() == "__name__")
            .map_or("", |m| m.value());
        let series = self.0.get(name).cloned().unwrap_or_default();
        Ok(Box::new(Part {
            series,
            after_ms: request.after_ms,
            until_ms: request.until_ms,
        }))
    }
}

impl Selection for Part {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        &self.series[index].0
    }

    fn read(&self, index: usize, samples: &mut Samples) {
        let all = &self.series[index].1;
        let from = all.times_ms.partition_point(|time| *time <= self.after_ms);
        let to = all.times_ms.partition_point(|time| *time <= self.until_ms);
        samples.clear();
        samples.times_ms.extend_from_slice(&all.times_ms[from..to]);
        samples.values.extend_from_slice(&all.values[from..to]);
    }

    fn last(&self, index: usize, _: &mut Samples) -> Option<LastSample> {
        let all = &self.series[index].1;
        let at = all.times_ms.len() - 1;
        Some(LastSample {
            time_ms: all.times_ms[at],
            value: all.values[at],
            histogram: None,
        })
    }
}

fn prepare(view: &MemoryView) -> Prepared {
    let mut by_name: HashMap<String, Vec<(Labels, Samples)>> = HashMap::new();
    for (labels, samples) in view.iter() {
        let name = labels.metric_name().unwrap_or("").to_owned();
        by_name
            .entry(name)
            .or_default()
            .push((labels.clone(), samples.clone()));
    }
    Prepared(
        by_name
            .into_iter()
            .map(|(name, series)| (name, Arc::new(series)))
            .collect(),
    )
}

/// Bucket counters (ten per histogram) and queue gauges, a sample a second.
fn store() -> MemoryView {
    let bounds = [
        "0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "10", "60", "+Inf",
    ];
    let mut view = MemoryView::default();
    let mut state = 1u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        state >> 33
    };
    for index in 0..SERIES {
        let (pod, model) = (
            format!("pod-{}", index / 10),
            format!("model-{}", index / 200),
        );
        let bucket = labels! {
            "__name__" => "wait_bucket", "le" => bounds[index % 10], "pod" => &pod, "model_name" => &model,
            "job" => "epp", "namespace" => "inference", "instance" => &format!("10.0.{}.{}:9090", index / 250, index % 250),
        };
        let queue = labels! {
            "__name__" => "queue", "inference_pool" => &format!("pool-{}", index % 16), "pod" => &format!("pod-{index}"),
            "job" => "epp", "namespace" => "inference", "instance" => &format!("10.0.{}.{}:9090", index / 250, index % 250),
        };
        let mut counter = 0.0;
        for sample in 0..SAMPLES {
            counter += (random() % 4) as f64 * (1 + index % 10) as f64;
            view.add(&bucket, sample as i64 * 1000, counter);
            view.add(&queue, sample as i64 * 1000, (random() % 100) as f64);
        }
    }
    view
}

fn evaluation(criterion: &mut Criterion) {
    let view = prepare(&store());
    let options = EvalOptions::default();
    let at = Timestamp::from_ms;
    let mut group = criterion.benchmark_group("evaluate");
    group.sample_size(10);
    for text in [
        "sum by (model_name) (rate(wait_bucket[1m]))",
        "histogram_quantile(0.9, sum by (le) (rate(wait_bucket[1m])))",
        "sum by (inference_pool) (queue)",
        "max_over_time(queue[5m])",
        "sum by (inference_pool) (avg_over_time(queue[5m]))",
        "queue > 90",
        "sum(queue) / count(queue)",
    ] {
        let query = Query::parse(text, &Features::default()).expect("a valid query");
        let range = || query.range(&view, at(0), at(3_599_000), 15_000, &options);
        let found = range().expect("evaluates");
        assert!(
            matches!(found.value, Value::Matrix(matrix) if !matrix.is_empty()),
            "{text}"
        );
        group.bench_function(format!("range 1h by 15s: {text}"), |bencher| {
            bencher.iter(|| black_box(range()));
        });
        group.bench_function(format!("instant: {text}"), |bencher| {
            bencher.iter(|| black_box(query.instant(&view, at(3_599_000), &options)));
        });
    }
    group.finish();
}

/// Budget: text of any bytes is accepted or refused within 100 ms.
fn parsing(criterion: &mut Criterion) {
    const LENGTH: usize = 200 << 10;
    let mut group = criterion.benchmark_group("parse");
    group.sample_size(10);
    let typical = "histogram_quantile(0.9, sum by (le) (rate(wait_bucket{model_name=~\"model-1|model-2\"}[1m])))";
    let repeated = |unit: &str| unit.repeat(LENGTH / unit.len());
    for (name, text) in [
        ("typical", typical.to_owned()),
        ("brackets", repeated("(")),
        ("sums", format!("a{}", repeated("+a"))),
        ("matchers", format!("a{{{}}}", repeated("b=\"c\","))),
        ("alternatives", format!("a{{b=~\"{}\"}}", repeated("x|"))),
        (
            "repetitions",
            format!("a{{b=~\"{}\"}}", repeated("a{1000}")),
        ),
        (
            "unicode classes",
            format!("a{{b=~\"{}\"}}", repeated("\\\\pL")),
        ),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(Query::parse(&text, &Features::all()).is_ok()));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    evaluation(&mut criterion);
    parsing(&mut criterion);
    criterion.final_summary();
}
