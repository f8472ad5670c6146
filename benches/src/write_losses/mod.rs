//! What is missing after a receiver of remote write has failed in each of the ways in which receivers do.

#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::contender::{Client, Contender, Kind};
use crate::load::{Load, pause};
use crate::write_proxy::{Mode, WriteProxy};

mod compare;

use compare::compare;

type Error = Box<dyn std::error::Error>;

/// Samples of a target, so that all of them can be compared.
const SAMPLES: usize = 400;
/// What a slow receiver takes for a request. The sender waits for 5 s.
const SLOW: Duration = Duration::from_secs(2);
/// More than any disk has, so that VictoriaMetrics takes its own for full.
const FULL: &str = "-storage.minFreeDiskSpaceBytes=1000000000000000";
/// When memory is looked at first, as a part of the whole time.
const EARLY: f64 = 0.25;

/// What happens to a receiver.
#[derive(Clone, Copy)]
enum Failure {
    Refuses(u16),
    Slow,
    Killed,
    DiskFull,
    Unanswered,
}

/// What happens from when to when, as parts of the whole time.
const FAILURES: [(&str, f64, f64, Failure); 8] = [
    ("500", 0.06, 0.14, Failure::Refuses(500)),
    ("429", 0.18, 0.26, Failure::Refuses(429)),
    ("slow", 0.29, 0.37, Failure::Slow),
    ("killed", 0.40, 0.48, Failure::Killed),
    ("disk full", 0.51, 0.60, Failure::DiskFull),
    ("507", 0.63, 0.69, Failure::Refuses(507)),
    ("503 with Retry-After", 0.72, 0.78, Failure::Refuses(503)),
    ("no answer", 0.81, 0.88, Failure::Unanswered),
];

/// One receiver and the message that it is to be sent.
pub struct Run {
    /// What it is.
    pub kind: Kind,
    /// Its program.
    pub binary: PathBuf,
    /// `protobuf_message`.
    pub message: &'static str,
}

/// What all runs have in common.
pub struct Common {
    /// The sender.
    pub stillwell: PathBuf,
    /// Reads what a Thanos Receive has put on disk.
    pub prometheus: PathBuf,
    /// How long samples are sent.
    pub minutes: f64,
}

/// The rows of one run.
struct Rows {
    compared: String,
    tried_again: String,
}

/// Does all runs beside each other and writes what came of them. A run that fails is an error after all others are written.
pub fn losses(runs: &[Run], common: &Common, report: &mut String) -> Result<(), Error> {
    let mut results: Vec<Result<Rows, String>> = Vec::new();
    let mut alone = Err("it panicked".to_owned());
    std::thread::scope(|scope| {
        let running: Vec<_> = runs
            .iter()
            .map(|run| {
                scope.spawn(move || {
                    let rows = loss(run, common);
                    rows.map_err(|error| format!("{} {}: {error}", run.kind.name(), run.message))
                })
            })
            .collect();
        alone = memory_alone(common).map_err(|error| error.to_string());
        for one in running {
            results.push(one.join().unwrap_or_else(|_| Err("it panicked".to_owned())));
        }
    });
    let names: Vec<&str> = FAILURES.iter().map(|(name, ..)| *name).collect();
    let (minutes, all) = (common.minutes, names.join(", "));
    writeln!(
        report,
        "## What is missing after a receiver has failed\n\n{minutes} minutes, in them one after the other: {all}.\n\n\
         | receiver | message | series | samples compared | missing | more than once or not stored here | different | scrapes missed | memory at 1/4 and at the end |\n\
         |---|---|---|---|---|---|---|---|---|"
    )?;
    let (mut tried_again, mut errors) = (String::new(), Vec::new());
    for rows in results {
        match rows {
            Ok(rows) => {
                writeln!(report, "{}", rows.compared)?;
                writeln!(tried_again, "{}", rows.tried_again)?;
            }
            Err(error) => errors.push(error),
        }
    }
    let (early, end) = alone?;
    writeln!(
        report,
        "\nMemory of one that scrapes as much and sends nothing: {}, {}.\n\n\
         Samples in requests that were tried again, and in answers that refuse for good:\n\n\
         | receiver | message | {} | refused | requests | of them 2.0 |\n|---|---|{}---|---|---|\n{tried_again}",
        mb(early),
        mb(end),
        names.join(" | "),
        "---|".repeat(names.len()),
    )?;
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors.join("\n").into()),
    }
}

/// A configuration that scrapes these targets once a second.
pub fn scrapes(ports: &[u16]) -> String {
    let targets: Vec<String> = ports
        .iter()
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: load\n  static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    )
}

/// ... and sends on what it scrapes.
pub fn writes(proxy: &WriteProxy, path: &str) -> String {
    let port = proxy.port;
    format!("remote_write:\n- url: 'http://127.0.0.1:{port}{path}'\n  name: bench\n")
}

fn mb(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// Waits for parts of a time.
struct Course {
    began: Instant,
    all: Duration,
}

impl Course {
    fn begin(minutes: f64) -> Course {
        Course {
            began: Instant::now(),
            all: Duration::from_secs_f64(minutes * 60.0),
        }
    }

    fn until(&self, part: f64) {
        pause(self.all.mul_f64(part).saturating_sub(self.began.elapsed()));
    }
}

/// Memory of a sender that has no receiver: what its history takes.
fn memory_alone(common: &Common) -> Result<(u64, u64), Error> {
    let load = Load::start(2, SAMPLES, 50)?;
    let alone = Contender::stillwell(&common.stillwell, &scrapes(&load.ports), &[])?;
    let course = Course::begin(common.minutes);
    course.until(EARLY);
    let early = alone.usage()?.rss_bytes;
    course.until(1.0);
    Ok((early, alone.usage()?.rss_bytes))
}

fn loss(run: &Run, common: &Common) -> Result<Rows, Error> {
    let load = Load::start(2, SAMPLES, 50)?;
    let mut receiver = Contender::receiver(run.kind, &run.binary)?;
    receiver.connect(Duration::from_secs(30))?;
    let proxy = WriteProxy::start(Mode::Pass(receiver.port))?;
    let config = scrapes(&load.ports)
        + &writes(&proxy, run.kind.write_path())
        + &format!(
            "  protobuf_message: {}\n  remote_timeout: 5s\n",
            run.message
        );
    let sender = Contender::stillwell(&common.stillwell, &config, &[])?;
    let course = Course::begin(common.minutes);
    let mut ours = sender.ready_client()?;
    let (mut tried_again, mut rss_early) = (Vec::new(), 0);
    for (_, from, to, failure) in FAILURES {
        if rss_early == 0 && from > EARLY {
            course.until(EARLY);
            rss_early = sender.usage()?.rss_bytes;
        }
        course.until(from);
        let before = counter(&mut ours, "retried")?;
        begin(failure, &proxy, &mut receiver)?;
        course.until(to);
        tried_again.push(counter(&mut ours, "retried")? - before);
        end(failure, &proxy, &mut receiver)?;
    }
    course.until(1.0);
    wait_for_the_rest(&mut ours)?;
    let rss_end = sender.usage()?.rss_bytes;
    let refused = counter(&mut ours, "failed")?;
    let reader = reader(&mut receiver, &common.prometheus)?;
    let mut theirs = match &reader {
        Some(reader) => reader.ready_client()?,
        None => receiver.connect(Duration::from_secs(30))?,
    };
    let row = compare(&mut ours, &mut theirs, course.began.elapsed())?;
    let (name, message) = (run.kind.name(), run.message);
    let tried_again: Vec<String> = tried_again.iter().map(f64::to_string).collect();
    let (requests, _) = proxy.counts();
    Ok(Rows {
        compared: format!(
            "| {name} | {message} | {row} | {}, {} |",
            mb(rss_early),
            mb(rss_end)
        ),
        tried_again: format!(
            "| {name} | {message} | {} | {refused} | {requests} | {} |",
            tried_again.join(" | "),
            proxy.requests_of_v2()
        ),
    })
}

fn begin(failure: Failure, proxy: &WriteProxy, receiver: &mut Contender) -> std::io::Result<()> {
    let is_victoria_metrics = receiver.kind == Kind::VictoriaMetrics;
    match failure {
        Failure::Refuses(status) => proxy.set(Mode::Refuse(status)),
        Failure::Slow => proxy.set(Mode::Slow(receiver.port, SLOW)),
        Failure::Unanswered => proxy.set(Mode::Hold),
        // VictoriaMetrics loses what it has taken in its last seconds when it is killed; it is asked to end.
        Failure::Killed => receiver.end(!is_victoria_metrics)?,
        // It also ends where it cannot write, but stops taking samples before, where its disk is almost full.
        Failure::DiskFull if is_victoria_metrics => {
            receiver.end(false)?;
            receiver.restart_with(&[FULL])?;
        }
        Failure::DiskFull => receiver.limit_files(Some(0))?,
    }
    Ok(())
}

fn end(failure: Failure, proxy: &WriteProxy, receiver: &mut Contender) -> std::io::Result<()> {
    match failure {
        Failure::Refuses(_) | Failure::Slow | Failure::Unanswered => {
            proxy.set(Mode::Pass(receiver.port));
        }
        Failure::Killed => receiver.restart()?,
        Failure::DiskFull if receiver.kind == Kind::VictoriaMetrics => {
            receiver.end(false)?;
            receiver.restart()?;
        }
        Failure::DiskFull => receiver.limit_files(None)?,
    }
    Ok(())
}

/// What answers queries for a receiver that does not: a Prometheus on its files, after it has ended.
fn reader(receiver: &mut Contender, prometheus: &Path) -> Result<Option<Contender>, Error> {
    if receiver.kind != Kind::Thanos {
        return Ok(None);
    }
    receiver.end(false)?;
    let reader = Contender::prometheus_on_data_of(receiver, prometheus)?;
    Ok(Some(reader))
}

/// Samples that were sent so: `retried`, `failed`.
fn counter(ours: &mut Client, what: &str) -> Result<f64, Error> {
    let name = format!("stillwell_remote_write_samples_{what}_total{{");
    value(ours, &name).ok_or_else(|| format!("no metric {name}").into())
}

fn value(ours: &mut Client, name: &str) -> Option<f64> {
    let metrics = ours.get("/metrics").ok()?;
    let line = metrics.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Waits until as good as nothing is left to be sent.
fn wait_for_the_rest(ours: &mut Client) -> Result<(), Error> {
    for _ in 0..120 {
        let pending = value(ours, "stillwell_remote_write_pending_scrapes{");
        if pending.is_some_and(|pending| pending <= 40.0) {
            return Ok(());
        }
        pause(Duration::from_secs(1));
    }
    Err("samples are left that are not sent".into())
}
