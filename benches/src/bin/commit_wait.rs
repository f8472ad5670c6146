//! What a long range query does to commits: how long they wait for locks and how long they take, with and without a
//! query thread that is always busy.
//!
//! `cargo run --release -p stillwell-benches --bin commit_wait [-- SECONDS]` (default 30, for each of the two)
//!
//! In process, so that only the engine is measured: 20 targets of 2,024 samples, committed at the pace of a 100 ms
//! interval, over ten minutes of history. Budget: wait p99.9 at most 1 ms; wall time p99 at most twice that without
//! the query.

#![expect(clippy::print_stdout, reason = "a command that prints its results")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stillwell::clock::monotonic_ns;
use stillwell_benches::load::pause;
use stillwell_benches::pages::{LoadPage, gateways};
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::signal::Policy;
use stillwell_engine::{
    Durations, Engine, Format, Limits, Reader, ScrapeFacts, Stage, Timestamp, Writer,
};

const TARGETS: usize = 20;
const SAMPLES: usize = 2_024;
const INTERVAL_MS: i64 = 100;
const HISTORY_MS: i64 = 600_000;
/// Range, step and all: some ten seconds of one core.
const QUERY: &str =
    "sum by (model_name) (last_over_time({__name__=~\"llm_d_epp_request_phase_.*_bucket\"}[1m]))";
const QUERY_STEP_MS: i64 = 50;

struct Fixture {
    writer: Writer,
    targets: Vec<(Stage, LoadPage)>,
    now_ms: i64,
}

impl Fixture {
    fn new() -> (Fixture, Reader) {
        let limits = Limits {
            memory_bytes_max: 8 << 30,
            ..Limits::default()
        };
        let (mut writer, reader) = Engine::new(limits);
        for query in [
            "sum(llm_d_epp_flow_control_queue_size)",
            "sum by (inference_pool) (llm_d_epp_request_phase_0000_duration_seconds_count)",
        ] {
            writer.register(query, Policy::default()).expect("valid");
        }
        let targets = gateways(&mut writer, TARGETS, SAMPLES, INTERVAL_MS as u64);
        let fixture = Fixture {
            writer,
            targets,
            now_ms: 1_000_000,
        };
        (fixture, reader)
    }

    /// Every target once; `each` is told how long its commit took.
    fn scrape(&mut self, mut each: impl FnMut(Duration)) {
        self.now_ms += INTERVAL_MS;
        let at = Timestamp::from_ms(self.now_ms);
        for (stage, page) in &mut self.targets {
            page.step();
            let staged = stage
                .parse(&page.text, Format::Text)
                .expect("the page parses");
            let began = Instant::now();
            self.writer
                .commit(staged, at, ScrapeFacts::default())
                .expect("taken");
            each(began.elapsed());
        }
        if self.now_ms % 1_000 == 0 {
            self.writer.maintain(at);
        }
    }

    /// Scrapes at the pace of the interval.
    fn run(&mut self, seconds: u64) -> Durations {
        let walls = Durations::default();
        let began = Instant::now();
        let mut due = Duration::ZERO;
        while due < Duration::from_secs(seconds) {
            pause(due.saturating_sub(began.elapsed()));
            self.scrape(|took| walls.record(took.as_nanos() as u64));
            due += Duration::from_millis(INTERVAL_MS as u64);
        }
        walls
    }
}

fn main() {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(30);
    let (mut fixture, reader) = Fixture::new();
    for _ in 0..HISTORY_MS / INTERVAL_MS {
        fixture.scrape(|_| {});
    }
    println!(
        "| | commits | wall p50 | wall p99 | wall p99.9 | waited p99 | waited p99.9 | waited, longest |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let waits = fixture.writer.time_waits(monotonic_ns);
    let alone = fixture.run(seconds);
    row("alone", &alone, &waits);
    let stop = Arc::new(AtomicBool::new(false));
    let querying = {
        let (stop, now_ms) = (Arc::clone(&stop), fixture.now_ms);
        std::thread::spawn(move || query_again_and_again(&reader, now_ms, &stop))
    };
    // A second histogram for the second half: what was waited until now is not its.
    let (second, before) = (Durations::default(), waits.snapshot());
    let beside = fixture.run(seconds);
    second.add_since(&waits, &before);
    row("beside a query", &beside, &second);
    stop.store(true, Ordering::Relaxed);
    let took = querying
        .join()
        .expect("the query thread ends when it is told to");
    let ratio = beside.quantile_ns(0.99) as f64 / alone.quantile_ns(0.99) as f64;
    println!(
        "\none range query takes {took:.1} s; wall p99 beside it: {ratio:.2} times that without"
    );
}

fn row(name: &str, walls: &Durations, waits: &Durations) {
    let us = |ns: u64| format!("{:.0} us", ns as f64 / 1000.0);
    println!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} |",
        walls.count(),
        us(walls.quantile_ns(0.5)),
        us(walls.quantile_ns(0.99)),
        us(walls.quantile_ns(0.999)),
        us(waits.quantile_ns(0.99)),
        us(waits.quantile_ns(0.999)),
        us(waits.quantile_ns(1.0)),
    );
}

/// The seconds that the longest query took.
fn query_again_and_again(reader: &Reader, now_ms: i64, stop: &AtomicBool) -> f64 {
    let query = Query::parse(QUERY, &Features::default()).expect("valid");
    let end = Timestamp::from_ms(now_ms);
    let mut longest = 0.0f64;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let options = EvalOptions::default();
        let start = end.minus_ms(HISTORY_MS - 60_000);
        let answer = query.range(&reader.plain(), start, end, QUERY_STEP_MS, &options);
        let answer = answer.expect("an answer");
        assert!(matches!(&answer.value, Value::Matrix(matrix) if matrix.len() == 4));
        longest = longest.max(began.elapsed().as_secs_f64());
    }
    longest
}
