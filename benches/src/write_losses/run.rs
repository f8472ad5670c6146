//! One run: a receiver that fails in each of the ways, and what is missing in the end.

#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::path::Path;
use std::time::{Duration, Instant};

use super::compare::compare;
use super::failure::FAILURES;
use super::{Common, Error, Run, scrapes, writes};
use crate::contender::{Client, Contender, Kind};
use crate::load::{Load, pause};
use crate::write_proxy::{Mode, WriteProxy};

/// Samples of a target, so that all of them can be compared.
const SAMPLES: usize = 400;
/// When memory is looked at first, as a part of the whole time.
const EARLY: f64 = 0.25;

/// The rows of one run.
pub(super) struct Rows {
    pub(super) compared: String,
    pub(super) tried_again: String,
}

/// Does a run. Error: it could not be done.
pub(super) fn loss(run: &Run, common: &Common) -> Result<Rows, Error> {
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
        failure.begin(&proxy, &mut receiver)?;
        course.until(to);
        tried_again.push(counter(&mut ours, "retried")? - before);
        failure.end(&proxy, &mut receiver)?;
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

/// Memory of a sender that has no receiver: what its history takes.
pub(super) fn memory_alone(common: &Common) -> Result<(u64, u64), Error> {
    let load = Load::start(2, SAMPLES, 50)?;
    let alone = Contender::stillwell(&common.stillwell, &scrapes(&load.ports), &[])?;
    let course = Course::begin(common.minutes);
    course.until(EARLY);
    let early = alone.usage()?.rss_bytes;
    course.until(1.0);
    Ok((early, alone.usage()?.rss_bytes))
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

/// Bytes, for a table.
pub(super) fn mb(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
