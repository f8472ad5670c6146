//! One scrape through the engine: the page is compared and its changes are committed. By kind of page and size.
//!
//! `cargo bench -p stillwell-benches --bench scrape`
//!
//! Before a repeating page is timed, the bench checks that it allocates nothing.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use stillwell_benches::pages::LoadPage;
use stillwell_engine::labels::Labels;
use stillwell_engine::signal::Policy;
use stillwell_engine::{
    Engine, Format, Limits, Retain, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};
use stillwell_testing::counting;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Short, so that a few pages fill it and history stops growing.
const RETENTION_MS: i64 = 5_000;
/// The time between two pages.
const INTERVAL_MS: i64 = 100;

struct Target {
    writer: Writer,
    stage: Stage,
    page: LoadPage,
    at_ms: i64,
}

fn engine() -> (Writer, Stage) {
    engine_that_retains(Retain::All)
}

fn engine_that_retains(retain: Retain) -> (Writer, Stage) {
    let limits = Limits {
        memory_bytes_max: 4 << 30,
        retention_ms: RETENTION_MS,
    };
    let (mut writer, _) = Engine::new(limits);
    let labels = Labels::from_pairs([("job", "epp"), ("instance", "10.0.0.7:9090")]);
    let (_, stage) = writer.add_target(TargetSpec {
        labels,
        retain,
        ..TargetSpec::default()
    });
    (writer, stage)
}

impl Target {
    fn new(samples: usize, moving_percent: usize) -> Target {
        let (writer, stage) = engine();
        let page = LoadPage::new(0, samples, moving_percent);
        let mut target = Target {
            writer,
            stage,
            page,
            at_ms: 0,
        };
        target.settle();
        target
    }

    /// Pages until history is full and every buffer has grown, then some for which nothing may be allocated.
    fn settle(&mut self) {
        let pages = 4 * RETENTION_MS / INTERVAL_MS;
        for _ in 0..pages {
            self.page.step();
            self.take();
        }
        for _ in 0..20 {
            self.page.step();
            let before = counting::allocations();
            self.take();
            // Maintenance counts what is held, which is no part of a scrape.
            if self.at_ms % 1000 != 0 {
                assert_eq!(counting::allocations() - before, 0, "at {} ms", self.at_ms);
            }
        }
    }

    fn take(&mut self) {
        self.at_ms += INTERVAL_MS;
        let at = Timestamp::from_ms(self.at_ms);
        let staged = self
            .stage
            .parse(&self.page.text, Format::Text)
            .expect("the page parses");
        let committed = self
            .writer
            .commit(staged, at, ScrapeFacts::default())
            .expect("taken");
        assert_eq!(committed.samples_scraped, self.page.samples() as u64);
        if self.at_ms % 1000 == 0 {
            self.writer.maintain(at);
        }
    }

    /// The time that this many pages take.
    fn time(&mut self, pages: u64) -> std::time::Duration {
        let mut total = std::time::Duration::ZERO;
        for _ in 0..pages {
            self.page.step();
            let start = now();
            self.take();
            total += start.elapsed();
        }
        total
    }

    /// A page with a line more, then the page as it was.
    fn take_with_and_without_a_line(&mut self) {
        let len = self.page.text.len();
        self.page.text.extend_from_slice(b"late 1\n");
        for end in [len + 7, len] {
            self.at_ms += INTERVAL_MS;
            let body = black_box(&self.page.text[..end]);
            let staged = self
                .stage
                .parse(body, Format::Text)
                .expect("the page parses");
            let at = Timestamp::from_ms(self.at_ms);
            self.writer
                .commit(staged, at, ScrapeFacts::default())
                .expect("taken");
        }
        self.page.text.truncate(len);
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("scrape");
    group.sample_size(20);
    for samples in [100, 2_024, 200_000] {
        group.throughput(Throughput::Elements(samples as u64));
        for moving_percent in [0, 20, 100] {
            let mut target = Target::new(samples, moving_percent);
            let id = BenchmarkId::new(format!("moving_{moving_percent}"), samples);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|rounds| target.time(rounds));
            });
        }
        let mut target = Target::new(samples, 20);
        group.bench_function(
            BenchmarkId::new("two_with_one_line_moved", samples),
            |bencher| {
                bencher.iter(|| target.take_with_and_without_a_line());
            },
        );
        let page = LoadPage::new(0, samples, 20);
        group.bench_function(BenchmarkId::new("cold", samples), |bencher| {
            bencher.iter_batched(
                engine,
                |(mut writer, mut stage)| {
                    let staged = stage
                        .parse(&page.text, Format::Text)
                        .expect("the page parses");
                    let facts = ScrapeFacts::default();
                    writer
                        .commit(staged, Timestamp::from_ms(1), facts)
                        .expect("taken");
                    (writer, stage)
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
    retain_signals(&mut criterion);
    criterion.final_summary();
}

/// One signal, and a target that keeps only what it needs: of a page of histograms their counts are looked at, for
/// their pools, and the rest is passed over. The time is for the whole page.
fn retain_signals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("retain_signals");
    group.sample_size(20);
    for samples in [2_024, 200_000] {
        let mut target = Target::new(0, 0);
        (target.writer, target.stage) = engine_that_retains(Retain::Signals);
        let signal = "sum(llm_d_epp_flow_control_queue_size)";
        let watched = target.writer.register(signal, Policy::default());
        watched.expect("a valid query");
        target.page = LoadPage::new(0, samples, 20);
        target.page.add_start();
        let lines = lines_of(&target.page.text);
        target.settle();
        group.throughput(Throughput::Elements(lines));
        group.bench_function(BenchmarkId::new("moving_20", samples), |bencher| {
            bencher.iter_custom(|rounds| target.time(rounds));
        });
    }
    group.finish();
}

fn lines_of(page: &[u8]) -> u64 {
    page.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[expect(clippy::disallowed_types, reason = "a bench measures")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
