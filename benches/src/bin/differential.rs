//! Random queries to Stillwell and to a real Prometheus on the same random data; every difference is shown.
//!
//! `cargo run --release -p stillwell-benches --bin differential -- --stillwell target/release/stillwell --prometheus
//! PATH [--queries 100000] [--per-data 5000] [--seed 1]`
//!
//! Both are loaded by remote write, so the whole way is compared: receiver, store, evaluation, JSON. Everything
//! follows from the seed, which is printed with each difference; `--seed S --queries 1` repeats that query. It ends
//! with the number of answers that were equal bit for bit and of those that differ for a named reason, and with exit
//! code 1 if any differs without one.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that prints its results"
)]
#![expect(clippy::disallowed_methods, reason = "data ends now, by the clock")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use stillwell_benches::answers::{Verdict, compare};
use stillwell_benches::contender::{Client, Contender, Kind};
use stillwell_benches::remote_write;
use stillwell_benches::version_differences;
use stillwell_testing::differential::{Case, When, case, dataset};

/// Samples of a series.
const SAMPLES: usize = 240;
/// Between them, about.
const STEP_MS: i64 = 5_000;
/// Differences shown whole; the rest is counted.
const SHOWN_MAX: usize = 40;

/// How often Prometheus is asked again where answers differ.
const ASKED_AGAIN: usize = 30;
const VARIES: &str = "Prometheus' own answer varies from one time to the next";

struct Options {
    stillwell: PathBuf,
    prometheus: PathBuf,
    queries: u64,
    per_data: u64,
    seed: u64,
}

fn options() -> Result<Options, String> {
    let (mut stillwell, mut prometheus) = (None, None);
    let (mut queries, mut per_data, mut seed) = (100_000, 5_000, 1);
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{flag}: {value:?} is no number"))
        };
        match flag.as_str() {
            "--stillwell" => stillwell = Some(value.into()),
            "--prometheus" => prometheus = Some(value.into()),
            "--queries" => queries = number()?,
            "--per-data" => per_data = number()?.max(1),
            "--seed" => seed = number()?,
            _ => return Err(format!("{flag} is not known")),
        }
    }
    Ok(Options {
        stillwell: stillwell.ok_or("--stillwell PATH is needed")?,
        prometheus: prometheus.ok_or("--prometheus PATH is needed")?,
        queries,
        per_data,
        seed,
    })
}

fn main() {
    let result = options().and_then(|options| {
        let mut tally = Tally::default();
        run(&options, &mut tally).map_err(|error| error.to_string())?;
        Ok(tally)
    });
    match result {
        Ok(tally) => {
            tally.print();
            std::process::exit(i32::from(tally.unexplained > 0));
        }
        Err(why) => {
            eprintln!("differential: {why}");
            std::process::exit(2);
        }
    }
}

fn run(options: &Options, tally: &mut Tally) -> std::io::Result<()> {
    let last = options.seed + options.queries;
    let mut seed = options.seed;
    while seed < last {
        // The data is the block's, wherever in it one starts: so one question replays alone.
        let block = seed / options.per_data;
        let until = ((block + 1) * options.per_data).min(last);
        ask_all(options, block, seed..until, tally)?;
        seed = until;
        eprintln!(
            "{} of {} asked, {} unexplained",
            seed - options.seed,
            options.queries,
            tally.unexplained
        );
    }
    Ok(())
}

fn ask_all(
    options: &Options,
    block: u64,
    seeds: std::ops::Range<u64>,
    tally: &mut Tally,
) -> std::io::Result<()> {
    let our_server = Contender::receiver(Kind::Stillwell, &options.stillwell)?;
    let their_server = Contender::receiver(Kind::Prometheus, &options.prometheus)?;
    let mut ours = our_server.ready_client()?;
    let mut theirs = their_server.ready_client()?;
    let (start_ms, end_ms) = load(block, &mut [&mut ours, &mut theirs])?;
    for seed in seeds {
        let case = case(seed, start_ms, end_ms);
        let our_body = ask(&mut ours, &case)?;
        let their_body = ask(&mut theirs, &case)?;
        let verdict = compare(&our_body, &their_body);
        let unsure = matches!(verdict, Verdict::Near(_) | Verdict::Different(_));
        if unsure && varies(&mut theirs, &case, &our_body, &their_body)? {
            *tally.explained.entry(VARIES).or_default() += 1;
        } else {
            tally.count(seed, &case, verdict);
        }
    }
    Ok(())
}

/// Whether Prometheus itself answers one way now and another way then (it iterates over hash maps), ours among its
/// answers or not.
fn varies(
    theirs: &mut Client,
    case: &Case,
    our_body: &str,
    their_body: &str,
) -> std::io::Result<bool> {
    for _ in 0..ASKED_AGAIN {
        let again = ask(theirs, case)?;
        if compare(our_body, &again) == Verdict::Same
            || compare(their_body, &again) != Verdict::Same
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes the block's data to both; answers when it begins and ends.
fn load(block: u64, clients: &mut [&mut Client]) -> std::io::Result<(i64, i64)> {
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(std::io::Error::other)?
        .as_millis() as i64;
    let end_ms = now_ms / 60_000 * 60_000;
    let start_ms = end_ms - SAMPLES as i64 * STEP_MS;
    let data = dataset(block, start_ms, STEP_MS, SAMPLES);
    for client in clients {
        let series = data
            .iter()
            .map(|one| remote_write::series(&one.labels, one.samples.iter().copied()));
        remote_write::send(client, series.collect())?;
    }
    Ok((start_ms, end_ms))
}

fn ask(client: &mut Client, case: &Case) -> std::io::Result<String> {
    match case.when {
        When::Instant(time_ms) => client.query_at(&case.text, time_ms),
        When::Range {
            start_ms,
            end_ms,
            step_ms,
        } => client.query_range(&case.text, (start_ms, end_ms, step_ms)),
    }
}

#[derive(Default)]
struct Tally {
    same: u64,
    refused: u64,
    explained: BTreeMap<&'static str, u64>,
    unexplained: u64,
}

impl Tally {
    fn count(&mut self, seed: u64, case: &Case, verdict: Verdict) {
        match &verdict {
            Verdict::Same => self.same += 1,
            Verdict::BothRefused => self.refused += 1,
            Verdict::Near(_) | Verdict::Different(_) => {
                if let Some(reason) = version_differences::reason(&case.text, &verdict) {
                    *self.explained.entry(reason).or_default() += 1;
                    return;
                }
                self.unexplained += 1;
                if self.unexplained <= SHOWN_MAX as u64 {
                    println!(
                        "seed {seed}: {}\n  {:?}\n  {verdict:?}",
                        case.text, case.when
                    );
                }
            }
        }
    }

    fn print(&self) {
        let explained: u64 = self.explained.values().sum();
        let asked = self.same + self.refused + explained + self.unexplained;
        println!(
            "{asked} asked: {} equal bit for bit, {} refused by both, {explained} differ for a named reason, {} \
             unexplained",
            self.same, self.refused, self.unexplained
        );
        for (reason, count) in &self.explained {
            println!("{count:>8}  {reason}");
        }
    }
}
