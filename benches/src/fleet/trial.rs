//! One size: a real shard with its share of the gateways, the other shards played, and the process that adds up what they say.

#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::path::Path;
use std::time::{Duration, Instant};

use super::gateways::{Fleet, Gateways};
use super::senders::Senders;
use crate::contender::{Client, Contender};
use crate::load::pause;
use crate::write_proxy::{Mode, WriteProxy};

/// How often a shard sends.
const SENDS_EVERY: Duration = Duration::from_millis(500);
/// How often the aggregator expects it to.
const EXPECTED_MS: u64 = 1_000;
/// Small pages for each shard, so that the real one has some.
const PROBES_PER_SHARD: usize = 8;
/// Where the answer to a scaler is.
const ANSWER: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/probe";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// All gateways.
    pub fleet: Fleet,
    /// Processes that share them.
    pub shards: usize,
    /// Between two scrapes of a gateway.
    pub interval_ms: u64,
    /// How long CPU is measured.
    pub seconds: u64,
    /// Changes whose way to the scaler is timed.
    pub changes: usize,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Gateways and series of the real shard.
    pub gateways: u64,
    /// Series that it holds.
    pub series: u64,
    /// Of the real shard: cores, resident bytes.
    pub shard: (f64, u64),
    /// Of the aggregator.
    pub aggregator: (f64, u64),
    /// Bytes a second into the real shard, and out of it.
    pub network: (f64, f64),
    /// From a change on a page to the scaler's answer, ascending.
    pub delays: Vec<Duration>,
    /// From the end of the real shard's process until the scaler's answer was an error; what it was.
    pub lost: (Duration, String),
    /// From its start until the scaler had a number again.
    pub back: Duration,
    /// Rounds of played shards that came late.
    pub late: u64,
    /// Numbers below the truth that a scaler was told.
    pub too_small: usize,
}

/// Runs it.
pub fn run(stillwell: &Path, gateways: &Gateways, trial: Trial) -> Result<Measured, Failure> {
    let aggregator = Contender::stillwell(
        stillwell,
        &aggregator_config(trial.shards),
        &["--web.enable-remote-write-receiver"],
    )?;
    let mut scaler = aggregator.ready_client()?;
    let played = Senders::start(trial.fleet, 1..trial.shards, &aggregator, SENDS_EVERY)?;
    let way = WriteProxy::start(Mode::Pass(aggregator.port))?;
    let config = shard_config(gateways, trial, way.port);
    let count = format!("--shard.count={}", trial.shards);
    let flags = ["--shard.index=0", count.as_str()];
    gateways.show(0);
    let mut shard = Contender::stillwell(stillwell, &config, &flags)?;
    let mut client = shard.ready_client()?;
    // First pages take a while; a number that is told before all of them were read would be too small.
    answered(&mut scaler, Duration::from_secs(900))?;
    pause(Duration::from_secs(5));

    let (gateway_count, series) = (
        number(&mut client, "count(up{job=\"epp\"})")?,
        number(&mut client, "sum(scrape_samples_scraped)")?,
    );
    let before = (shard.usage()?, aggregator.usage()?, way.counts().1);
    let (read, start) = (gateways.written(), Instant::now());
    pause(Duration::from_secs(trial.seconds));
    let elapsed_s = start.elapsed().as_secs_f64();
    let after = (shard.usage()?, aggregator.usage()?, way.counts().1);
    let read = gateways.written() - read;
    let cores = |from: f64, to: f64| (to - from) / elapsed_s;

    let probes = number(&mut client, "count(up{job=\"probe\"})")?;
    let delays = changes(&mut scaler, gateways, probes, trial.changes)?;
    gateways.show(1);
    told_at_least(&mut scaler, probes as f64)?;
    drop(client);
    let ended = Instant::now();
    shard.end(true)?;
    let (lost, too_small) = refused(&mut scaler, ended, probes as f64)?;
    let began = Instant::now();
    shard.restart()?;
    told_at_least(&mut scaler, probes as f64)?;
    Ok(Measured {
        gateways: gateway_count,
        series,
        shard: (cores(before.0.cpu_s, after.0.cpu_s), after.0.rss_bytes),
        aggregator: (cores(before.1.cpu_s, after.1.cpu_s), after.1.rss_bytes),
        network: (
            read as f64 / elapsed_s,
            (after.2 - before.2) as f64 / elapsed_s,
        ),
        delays,
        lost,
        back: began.elapsed(),
        late: played.late(),
        too_small,
    })
}

fn aggregator_config(shards: usize) -> String {
    let known: Vec<String> = (0..shards).map(|shard| format!("'{shard}'")).collect();
    format!(
        "external_metrics: {{insecure: true}}\nsenders:\n- {{job_name: shards, label: shard, interval: {EXPECTED_MS}ms, known: \
         [{}]}}\nsignals:\n- {{name: probe, expr: 'sum(stillwell_signal_value{{signal=\"probe\"}})'}}\n- {{name: depth, expr: 'sum \
         by (inference_pool) (stillwell_signal_value{{signal=\"depth\"}})'}}\n",
        known.join(", ")
    )
}

fn shard_config(gateways: &Gateways, trial: Trial, write_port: u16) -> String {
    let listed = |addresses: &mut dyn Iterator<Item = String>| {
        let quoted: Vec<String> = addresses.map(|address| format!("'{address}'")).collect();
        quoted.join(", ")
    };
    format!(
        "global: {{scrape_interval: {}ms, external_labels: {{shard: '0'}}}}\nscrape_configs:\n- job_name: epp\n  static_configs: \
         [{{targets: [{}]}}]\n- job_name: probe\n  scrape_interval: 100ms\n  static_configs: [{{targets: [{}]}}]\nsignals:\n- {{name: \
         probe, expr: sum(probe_queue)}}\n- {{name: depth, expr: sum by (inference_pool) \
         (llm_d_epp_flow_control_queue_size)}}\nremote_write:\n- url: http://127.0.0.1:{write_port}/api/v1/write\n  queue_config: \
         {{batch_send_deadline: {}ms}}\n  write_relabel_configs: [{{source_labels: [__name__], regex: 'stillwell_signal_.*', action: \
         keep}}]\n",
        trial.interval_ms,
        listed(&mut gateways.addresses()),
        listed(&mut gateways.probes(PROBES_PER_SHARD * trial.shards)),
        SENDS_EVERY.as_millis(),
    )
}

/// The scaler's number; an error is why there is none.
fn told(scaler: &mut Client) -> Result<Result<f64, String>, Failure> {
    let answer = scaler.get(ANSWER)?;
    let value = answer
        .split_once("\"value\":\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    Ok(match value {
        // A quantity below a thousand has no suffix.
        Some((value, _)) => Ok(value
            .parse()
            .map_err(|_| format!("{value:?} is no number"))?),
        None => Err(answer),
    })
}

fn answered(scaler: &mut Client, within: Duration) -> Result<f64, Failure> {
    let start = Instant::now();
    loop {
        match told(scaler)? {
            Ok(value) => return Ok(value),
            Err(why) if start.elapsed() > within => return Err(why.into()),
            Err(_) => pause(Duration::from_millis(20)),
        }
    }
}

fn told_at_least(scaler: &mut Client, truth: f64) -> Result<(), Failure> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(900) {
        if told(scaler)?.is_ok_and(|value| value >= truth) {
            return Ok(());
        }
        pause(Duration::from_millis(5));
    }
    Err(format!("the scaler was never told {truth}").into())
}

/// Changes the number on the small pages and waits for the sum of the real shard's.
fn changes(
    scaler: &mut Client,
    gateways: &Gateways,
    probes: u64,
    count: usize,
) -> Result<Vec<Duration>, Failure> {
    let mut delays = Vec::new();
    for change in 1..=count as u64 {
        // At another time of the interval each time.
        pause(Duration::from_millis(300 + change * 37 % 500));
        let value = change % 9 + 1;
        gateways.show(value);
        let (since, wanted) = (Instant::now(), (value * probes) as f64);
        while told(scaler)? != Ok(wanted) {
            if since.elapsed() > Duration::from_secs(30) {
                return Err(format!("{wanted} never came: {:?}", told(scaler)?).into());
            }
            pause(Duration::from_millis(2));
        }
        delays.push(since.elapsed());
    }
    delays.sort_unstable();
    Ok(delays)
}

/// When the scaler's answer became an error after the real shard ended, what it was, and how many numbers before it were too
/// small.
fn refused(
    scaler: &mut Client,
    ended: Instant,
    truth: f64,
) -> Result<((Duration, String), usize), Failure> {
    let mut too_small = 0;
    loop {
        match told(scaler)? {
            Ok(value) => too_small += usize::from(value < truth),
            Err(why) => return Ok(((ended.elapsed(), why), too_small)),
        }
        if ended.elapsed() > Duration::from_secs(60) {
            return Err("a lost shard was never noticed".into());
        }
        pause(Duration::from_millis(5));
    }
}

/// The one number of a query.
fn number(client: &mut Client, query: &str) -> Result<u64, Failure> {
    let answer = client.query(query)?;
    let value = answer
        .rsplit_once(",\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let (value, _) = value.ok_or_else(|| format!("{query}: {answer}"))?;
    Ok(value.parse::<f64>()? as u64)
}
