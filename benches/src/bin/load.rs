//! The load generator on its own: serves pages until it is stopped and prints the configuration that scrapes them, to
//! look at one server under load (`perf`, a memory map, a dashboard).
//!
//! `cargo run --release -p stillwell-benches --bin load -- [TARGETS] [SAMPLES] > load.yml`

#![expect(clippy::print_stdout, reason = "a command that prints its results")]

use std::time::Duration;

use stillwell_benches::load::{Load, pause};

/// Of a hundred values; the same as in the record of `rivals`.
const MOVING_PERCENT: usize = 20;

fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|number| number.parse().ok());
    let targets = numbers.next().unwrap_or(20);
    let samples = numbers.next().unwrap_or(2024);
    let load = Load::start(targets, samples, MOVING_PERCENT)?;
    println!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: load\n  static_configs:"
    );
    for port in &load.ports {
        println!("  - targets: [\"127.0.0.1:{port}\"]");
    }
    loop {
        pause(Duration::from_secs(60));
    }
}
