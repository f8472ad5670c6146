//! History written and read, and answers rendered.
//!
//! `cargo bench -p stillwell-benches --bench history`
//!
//! `append`: one scrape of a page on which every value changes by another step, so that every sample is encoded.
//! `read`: all samples of ten minutes at 1 s, series by series, as a range query reads them. `answer`: the JSON of a
//! vector and of a matrix.
//!
//! Before these it prints what an hour of a gateway's page takes that serves 1 to 50 requests a second (`traffic`), scraped every
//! second and every 100 ms: bytes of history for each sample that was scraped. `-- --hour` prints this alone.

#![expect(
    clippy::print_stdout,
    reason = "bytes per sample are no time, so criterion has no place for them"
)]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use stillwell_adapters::prometheus::query_body;
use stillwell_benches::traffic::Traffic;
use stillwell_engine::labels::{Labels, Matcher};
use stillwell_engine::promql::select::{Projection, Samples, SelectRequest, View as _};
use stillwell_engine::promql::{EvalOptions, Features, Query};
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

const SERIES: usize = 2_000;
const SCRAPES: usize = 600;

struct Fixture {
    writer: Writer,
    reader: Reader,
    stage: Stage,
    page: String,
    step: usize,
}

impl Fixture {
    fn new() -> Fixture {
        let (mut writer, reader) = Engine::new(Limits {
            memory_bytes_max: 4 << 30,
            ..Limits::default()
        });
        let spec = TargetSpec {
            labels: Labels::from_pairs([("job", "epp")]),
            interval_ms: 1_000,
            ..TargetSpec::default()
        };
        let stage = writer.add_target(spec).1;
        let mut fixture = Fixture {
            writer,
            reader,
            stage,
            page: String::new(),
            step: 0,
        };
        for _ in 0..SCRAPES {
            fixture.render();
            fixture.take();
        }
        fixture
    }

    /// Counters of every pace, and some values that are no integers.
    fn render(&mut self) {
        self.step += 1;
        self.page.clear();
        for series in 0..SERIES {
            let value = match series % 8 {
                0 => self.step as f64 * 0.37 + series as f64,
                pace => (self.step * pace * pace + series) as f64,
            };
            writeln!(self.page, "moved_total{{n=\"{series}\"}} {value}").expect("a String grows");
        }
    }

    fn take(&mut self) {
        let at = self.now();
        let staged = self.stage.parse(self.page.as_bytes(), Format::Text);
        let staged = staged.expect("the page parses");
        let committed = self.writer.commit(staged, at, ScrapeFacts::default());
        assert_eq!(committed.expect("taken").samples_scraped, SERIES as u64);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_000_000 + self.step as i64 * 1_000)
    }
}

fn main() {
    for interval_ms in [1_000, 100] {
        hour(interval_ms);
    }
    if std::env::args().any(|argument| argument == "--hour") {
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    append_and_read(&mut criterion);
    answers(&mut criterion);
    criterion.final_summary();
}

/// Scrapes a gateway that serves requests for an hour of its own time, all of which is kept, and prints what that takes.
fn hour(interval_ms: u64) {
    let (mut writer, reader) = Engine::new(Limits {
        memory_bytes_max: 4 << 30,
        retention_ms: 3_700_000,
    });
    let spec = TargetSpec {
        labels: Labels::from_pairs([("job", "epp")]),
        interval_ms,
        ..TargetSpec::default()
    };
    let mut stage = writer.add_target(spec).1;
    let (mut traffic, mut page) = (Traffic::new(), String::new());
    traffic.render(&mut page);
    let scrapes = 3_600_000 / interval_ms;
    let mut moved = 0;
    let mut before = 0;
    for scrape in 1..=scrapes {
        traffic.serve(interval_ms as f64 / 1_000.0);
        traffic.render(&mut page);
        let at = Timestamp::from_ms(1_000_000 + (scrape * interval_ms) as i64);
        let staged = stage.parse(page.as_bytes(), Format::Text);
        let staged = staged.expect("the page parses");
        let committed = writer.commit(staged, at, ScrapeFacts::default());
        let count = committed.expect("taken").samples_scraped;
        assert_eq!(count as usize, traffic.samples());
        moved += usize::from(traffic.served() > before);
        before = traffic.served();
    }
    let bytes = reader.stats().bytes;
    let samples = scrapes * traffic.samples() as u64;
    println!(
        "an hour every {interval_ms} ms, {} requests: {samples} samples, {moved} of {scrapes} pages moved; {} bytes of history, \
         {:.3} a sample, {:.1} a request; {} bytes held in all",
        traffic.served(),
        bytes.history,
        bytes.history as f64 / samples as f64,
        bytes.history as f64 / traffic.served() as f64,
        bytes.total(),
    );
}

fn append_and_read(criterion: &mut Criterion) {
    let mut fixture = Fixture::new();
    let stats = fixture.reader.stats();
    let samples = SERIES * SCRAPES;
    println!(
        "{samples} samples that all moved: {:.2} bytes of history each",
        stats.bytes.history as f64 / samples as f64
    );
    let mut group = criterion.benchmark_group("history");
    group.throughput(Throughput::Elements(samples as u64));
    let matchers = [Matcher::equal("__name__", "moved_total")];
    group.bench_function("read_10m", |bencher| {
        bencher.iter(|| {
            let request = SelectRequest {
                matchers: &matchers,
                after_ms: i64::MIN,
                until_ms: fixture.now().ms(),
                projection: Projection::All,
                last_only: false,
                memory: None,
                stop: None,
            };
            let selection = fixture.reader.plain().select(&request).expect("it selects");
            let (mut read, mut samples) = (0, Samples::default());
            for index in 0..selection.len() {
                selection.read(index, &mut samples);
                read += black_box(&samples.values).len();
            }
            assert_eq!(read, SERIES * SCRAPES);
        });
    });
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("append_scrape", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut total = std::time::Duration::ZERO;
            for _ in 0..rounds {
                fixture.render();
                let start = now();
                fixture.take();
                total += start.elapsed();
            }
            total
        });
    });
    group.finish();
}

fn answers(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let view = fixture.reader.plain();
    let (options, end) = (EvalOptions::default(), fixture.now());
    let query = |text: &str| Query::parse(text, &Features::default()).expect("valid");
    let one = query("sum(moved_total)").instant(&view, end, &options);
    let vector = query("moved_total").instant(&view, end, &options);
    let start = end.minus_ms(540_000);
    let matrix = query("moved_total{n=~\"1..\"}").range(&view, start, end, 1_000, &options);
    let mut group = criterion.benchmark_group("answer");
    for (name, answer, points) in [
        ("one_number", one, 1),
        ("vector_2000", vector, SERIES),
        ("matrix_100x541", matrix, 100 * 541),
    ] {
        let answer = answer.expect("an answer");
        let body = query_body(answer.clone(), None);
        assert!(
            body.matches("\"").count() >= points,
            "{name}: {} bytes",
            body.len()
        );
        group.throughput(Throughput::Elements(points as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || answer.clone(),
                |answer| query_body(answer, None),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

#[expect(clippy::disallowed_types, reason = "a bench measures")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
