//! The cost of many series: time of a scrape and bytes as their number grows, within a memory limit, and how long the commits
//! of a small page wait while the first page of another target enters.
//!
//! `cargo run --release -p stillwell-benches --bin hold [-- SERIES...]` (default 10,000 100,000 1,000,000)

#![expect(clippy::print_stdout, reason = "a command that prints its results")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::time::{Duration, Instant};

use stillwell_benches::first_page;
use stillwell_benches::pages::LoadPage;
use stillwell_engine::labels::Labels;
use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};

/// Samples of one target's page: that of a gateway with many tenants.
const PAGE_SAMPLES: usize = 10_000;
const SCRAPES: usize = 60;
const LIMIT_BYTES: u64 = 1 << 30;
const ENTRIES: usize = 9;

fn main() {
    let given: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|count| count.parse().ok())
        .collect();
    let counts = if given.is_empty() {
        vec![10_000, 100_000, 1_000_000]
    } else {
        given
    };
    println!("20% of values moving, {SCRAPES} scrapes at 1 s, limit {LIMIT_BYTES} bytes\n");
    println!(
        "| series | first page, ns a sample | later pages, ns a sample | held, B a series (rows and labels, index, history, templates) | process, B a series | history held |"
    );
    println!("|---|---|---|---|---|---|");
    for count in counts {
        row(count);
    }
    println!(
        "\nA first page, {ENTRIES} times, alone and beside commits of another target's page of 100 samples:\n"
    );
    println!(
        "| samples | CPU, ns a sample | holds the writer at most, of CPU: a batch, the commit | a commit beside it waits at most: median, worst |"
    );
    println!("|---|---|---|---|");
    for samples in [20_000, 200_000] {
        entries(samples);
    }
}

fn row(count: usize) {
    let limits = Limits {
        memory_bytes_max: LIMIT_BYTES,
        ..Limits::default()
    };
    let (mut writer, reader) = Engine::new(limits);
    let before = resident_bytes();
    // One page serves all targets: only the instance differs, so the page's own memory does not count.
    let mut page = LoadPage::new(0, PAGE_SAMPLES.min(count), 20);
    let mut stages: Vec<_> = (0..count.div_ceil(page.samples()))
        .map(|target| {
            let instance = format!("10.0.{}.{}:9090", target / 256, target % 256);
            let labels = Labels::from_pairs([("job", "epp"), ("instance", instance.as_str())]);
            writer
                .add_target(TargetSpec {
                    labels,
                    interval_ms: 1000,
                    ..TargetSpec::default()
                })
                .1
        })
        .collect();
    let samples = (stages.len() * page.samples()) as f64;
    let mut times = Vec::new();
    for scrape in 0..SCRAPES {
        let at = Timestamp::from_ms(1_000_000 + scrape as i64 * 1000);
        page.step();
        let began = Instant::now();
        for stage in &mut stages {
            let staged = stage
                .parse(&page.text, Format::Text)
                .expect("the page parses");
            writer
                .commit(staged, at, ScrapeFacts::default())
                .expect("it fits the limit");
        }
        times.push(began.elapsed().as_nanos() as f64 / samples);
        writer.maintain(at);
    }
    let stats = reader.stats();
    let held = (stats.bytes.total() + stats.template_bytes) as f64;
    assert!(held <= LIMIT_BYTES as f64, "the limit holds: {stats:?}");
    let first = times.remove(0);
    times.sort_by(f64::total_cmp);
    let history = match stats.history_dropped_until_ms {
        None => format!("all {SCRAPES} s"),
        Some(until_ms) => format!("{} s", SCRAPES as i64 - (until_ms - 1_000_000) / 1000),
    };
    let a_series = |bytes: usize| bytes as f64 / stats.series as f64;
    println!(
        "| {} | {first:.0} | {:.0} | {:.0} ({:.0}, {:.0}, {:.0}, {:.0}) | {:.0} | {history} |",
        stats.series,
        times[times.len() / 2],
        held / stats.series as f64,
        a_series(stats.bytes.series),
        a_series(stats.bytes.index),
        a_series(stats.bytes.history),
        a_series(stats.template_bytes),
        (resident_bytes() - before) / stats.series as f64,
    );
}

fn entries(samples: usize) {
    let page = LoadPage::new(0, samples, 20);
    let alone: Vec<_> = (0..ENTRIES)
        .map(|_| first_page::holds(&page.text))
        .collect();
    let least = |of: fn(&first_page::Holds) -> Duration| {
        let times = alone.iter().map(of);
        times.min().unwrap_or_default()
    };
    let beside = (0..ENTRIES).map(|_| first_page::enter(&page.text).longest_wait);
    let mut waits: Vec<Duration> = beside.collect();
    waits.sort_unstable();
    println!(
        "| {} | {:.0} | {:.1?}, {:.1?} | {:.1?}, {:.1?} |",
        page.samples(),
        least(|held| held.total).as_nanos() as f64 / page.samples() as f64,
        least(|held| held.longest_batch),
        least(|held| held.commit),
        waits[waits.len() / 2],
        waits[waits.len() - 1],
    );
}

fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or("0");
    line.split_whitespace()
        .next()
        .and_then(|kib| kib.parse::<f64>().ok())
        .unwrap_or(0.0)
        * 1024.0
}
