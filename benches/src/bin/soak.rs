//! Ten minutes of streams that open and die, gateways that restart and configurations that are reloaded. It fails
//! unless memory, tasks and descriptors stay flat.
//!
//! `cargo run --release -p stillwell-benches --bin soak -- [MINUTES]` (10)

#![expect(clippy::print_stdout, reason = "a command that prints its results")]

use std::time::Duration;

use stillwell_benches::soak::{Outcome, run};

const ROUND: Duration = Duration::from_secs(10);
/// Growth from the rounds after the first fifth to the last ones that is no leak: an allocator's slack.
const GROWTH_BYTES_MAX: u64 = 4 << 20;

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome<()> {
    let minutes: f64 = std::env::args()
        .nth(1)
        .map_or(Ok(10.0), |text| text.parse())?;
    let mut count = 0;
    let rounds = run(Duration::from_secs_f64(minutes * 60.0), ROUND, |round| {
        count += 1;
        println!("{count:3}: {round}");
    })
    .await?;
    let warm = &rounds[rounds.len() / 5..];
    let third = (warm.len() / 3).max(1);
    let mean = |rounds: &[stillwell_benches::soak::Round]| {
        rounds.iter().map(|round| round.rss_bytes).sum::<u64>() / rounds.len() as u64
    };
    let (first, last) = (mean(&warm[..third]), mean(&warm[warm.len() - third..]));
    println!(
        "resident: {:.1} MB in the first third after warming up, {:.1} MB in the last",
        first as f64 / 1e6,
        last as f64 / 1e6
    );
    if last > first + GROWTH_BYTES_MAX {
        return Err("memory grew".into());
    }
    println!("flat: tasks, descriptors and memory");
    Ok(())
}
