//! What a snapshot costs: seconds and bytes to write and to read it, and how long commits wait meanwhile.
//!
//! `cargo run --release -p stillwell-benches --bin snapshot [-- SERIES [SECONDS_OF_HISTORY]]` (default 100,000 and 600)
//!
//! In process, so that only the engine is measured: targets of 2,024 samples, a fifth of whose values move at every scrape,
//! 1 s apart. Budget: commits wait at most 1 ms, and a hold of the lock takes 200 us of CPU at most; the latter counts where others
//! want the cores, too.

#![expect(clippy::print_stdout, reason = "a command that prints its results")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::time::Instant;

use stillwell::clock::monotonic_ns;
use stillwell::serve::snapshots::BETWEEN_HOLDS;
use stillwell_benches::pages::gateways;
use stillwell_engine::snapshot::Snapshot;
use stillwell_engine::{Durations, Engine, Format, Limits, ScrapeFacts, Timestamp};
use stillwell_testing::reading::reading;

const SAMPLES: usize = 2_024;
const START_MS: i64 = 1_000_000_000;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut number = |default| arguments.next().map_or(default, |n| n.expect("a number"));
    let (series, seconds) = (number(100_000), number(600));
    let limits = Limits {
        memory_bytes_max: 16 << 30,
        ..Limits::default()
    };
    let (mut writer, reader) = Engine::new(limits);
    let mut targets = gateways(&mut writer, series.div_ceil(SAMPLES), SAMPLES, 1_000);
    let mut now_ms = START_MS;
    let mut scrape = |writer: &mut stillwell_engine::Writer, now_ms: i64| {
        for (stage, page) in &mut targets {
            page.step();
            let staged = stage.parse(&page.text, Format::Text).expect("valid");
            let at = Timestamp::from_ms(now_ms);
            let committed = writer.commit(staged, at, ScrapeFacts::default());
            committed.expect("taken");
        }
    };
    for _ in 0..seconds {
        now_ms += 1_000;
        scrape(&mut writer, now_ms);
        writer.maintain(Timestamp::from_ms(now_ms));
    }
    let stats = reader.stats();
    println!(
        "{} series, {seconds} s of history, {} bytes held",
        stats.series,
        stats.bytes.total()
    );
    let waits = writer.time_waits(monotonic_ns);
    let began = Instant::now();
    let mut snapshot = writer.snapshot(Timestamp::from_ms(now_ms), &[]);
    println!("begun within {:?}", began.elapsed());
    let holds = snapshot.time_holds(thread_cpu_ns);
    let writing = std::thread::spawn(move || written(snapshot));
    while !writing.is_finished() {
        now_ms += 1_000;
        scrape(&mut writer, now_ms);
    }
    let (bytes, took) = writing.join().expect("it does not panic");
    println!(
        "written within {took:?} beside commits: {} bytes",
        bytes.len()
    );
    tell("waits of commits", &waits);
    tell("CPU of holds of the lock", &holds);
    let began = Instant::now();
    let restored = Engine::restore(limits, Timestamp::from_ms(now_ms), &mut reading(&bytes));
    let restored = restored.expect("a good snapshot");
    println!(
        "read within {:?}: {} series",
        began.elapsed(),
        restored.reader.stats().series
    );
}

/// As the server does it.
#[expect(
    clippy::disallowed_methods,
    reason = "the rest between holds is part of what is measured"
)]
fn written(mut snapshot: Snapshot) -> (Vec<u8>, std::time::Duration) {
    let began = Instant::now();
    let mut bytes = Vec::new();
    while snapshot.next(&mut bytes) {
        std::thread::sleep(BETWEEN_HOLDS);
    }
    (bytes, began.elapsed())
}

/// CPU time of this thread.
fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn tell(what: &str, durations: &Durations) {
    println!(
        "{} {what}: p50 {} ns, p99.9 {} ns, longest {} ns",
        durations.count(),
        durations.quantile_ns(0.5),
        durations.quantile_ns(0.999),
        durations.quantile_ns(1.0)
    );
}
