//! `/metrics`: what this process does, in the names that dashboards of Prometheus look for where the meaning is the same.

mod family;
mod process;
mod remote_write;
mod signals;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use stillwell_adapters::form::Form;
use stillwell_adapters::host::{Health, Host};
use stillwell_adapters::json;
use stillwell_adapters::pool::{Kind as PoolKind, Within};
use stillwell_adapters::prometheus::ApiError;
use stillwell_engine::labels::Re2;
use stillwell_engine::{Durations, Stats, Timestamp};

use super::app::App;
use super::snapshots::Done;
use crate::alertmanager::Counts;
use family::{Family, Kind};
use process::Used;
use signals::signals;

pub(super) use signals::signal_samples;

/// The page and its type, as the client takes it.
pub(super) async fn page(app: &App, request: &HeaderMap) -> (&'static str, Bytes) {
    let openmetrics = takes_openmetrics(request);
    let (content_type, shared) = match openmetrics {
        true => (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            &app.own_pages().openmetrics,
        ),
        false => (
            "text/plain; version=0.0.4; charset=utf-8",
            &app.own_pages().text,
        ),
    };
    (
        content_type,
        shared.get(|| write_page(app, openmetrics)).await,
    )
}

async fn write_page(app: &App, openmetrics: bool) -> String {
    let mut out = String::with_capacity(16 << 10);
    for family in families(app).await {
        family.write_text(&mut out, openmetrics);
    }
    if openmetrics {
        out.push_str("# EOF\n");
    }
    out
}

/// `/api/v1/status/self_metrics`: the families whose whole names fit a pattern, as JSON.
pub(super) async fn self_metrics(app: &App, form: &Form) -> Result<String, ApiError> {
    let fits = match form.get("metric_name_pattern") {
        "" => None,
        // In a query's turn: a short pattern may take a tenth of a second to compile.
        pattern => {
            let pattern = pattern.to_owned();
            let compile = move |_: &Within| Ok(Re2::new(&pattern));
            let timeout_ms = app.query_settings().timeout_ms;
            let compiled = app
                .queries()
                .run(PoolKind::Query, timeout_ms, compile)
                .await?;
            Some(compiled.map_err(|error| {
                ApiError::bad_data(format!("invalid metric_name_pattern: {error}"))
            })?)
        }
    };
    let families = families(app).await.into_iter();
    let wanted = families.filter(|family| match &fits {
        Some(fits) => fits.is_match(family.name),
        None => true,
    });
    let mut out = String::from("{\"status\":\"success\",\"data\":[");
    json::joined(&mut out, wanted, |out, family| family.write_json(out));
    out.push_str("]}");
    Ok(out)
}

/// Prometheus asks for OpenMetrics first; whoever asks for nothing gets the text format.
fn takes_openmetrics(request: &HeaderMap) -> bool {
    let accepted = request.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("application/openmetrics-text"))
}

/// Everything that is told, in order.
async fn families(app: &App) -> Vec<Family> {
    let now = app.now();
    let readings = app.signal_readings(now).await;
    let mut page = Families(Vec::with_capacity(64));
    process(&mut page, app);
    scraping(&mut page, app);
    discovery(&mut page, app);
    rules(&mut page, app);
    keda(&mut page, app);
    notifications(&mut page, &app.notifier().counts());
    remote_write::receivers(&mut page, &app.remote_writes().shown());
    readers(&mut page, app);
    held(&mut page, &app.reader().stats(), app.now());
    if let Some(snapshots) = app.snapshots() {
        snapshot(&mut page, &snapshots.done());
    }
    let shared = app.scraper().shared();
    page.durations(
        "stillwell_commit_duration_seconds",
        "From a parsed page to its samples and signals being readable.",
        &shared.commits,
    );
    page.durations(
        "stillwell_commit_lock_wait_seconds",
        "The part of it that was spent waiting for readers.",
        &shared.commit_waits,
    );
    signals(&mut page, &readings, now);
    page.0
}

/// Families that have series; one without is left out.
struct Families(Vec<Family>);

impl Families {
    fn push(&mut self, family: Family) {
        if !family.metrics.is_empty() {
            self.0.push(family);
        }
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.push(Family::gauge(name, help, value));
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.push(Family::counter(name, help, value));
    }

    fn durations(&mut self, name: &'static str, help: &'static str, durations: &Durations) {
        self.push(Family::durations(name, help, durations));
    }
}

fn snapshot(page: &mut Families, done: &Done) {
    page.gauge(
        "stillwell_snapshot_last_success_timestamp_seconds",
        "When the newest snapshot in the file was taken; 0 where this process has written none.",
        done.taken.map_or(0.0, |taken| taken.ms() as f64 / 1000.0),
    );
    page.gauge(
        "stillwell_snapshot_size_bytes",
        "Its size.",
        done.bytes as f64,
    );
    page.gauge(
        "stillwell_snapshot_duration_seconds",
        "How long the newest attempt took.",
        done.took.as_secs_f64(),
    );
    page.counter(
        "stillwell_snapshot_written_bytes_total",
        "Bytes of all snapshots.",
        done.bytes_written as f64,
    );
    page.counter(
        "stillwell_snapshot_failures_total",
        "Snapshots that could not be written.",
        done.failures as f64,
    );
}

fn process(page: &mut Families, app: &App) {
    let build = app.build();
    let help = "The version of this process.";
    let info = Family::new("stillwell_build_info", Kind::Gauge, help);
    page.push(info.with(&[("version", build.version)], 1.0));
    let started_s = build.started.ms() as f64 / 1000.0;
    page.gauge(
        "process_start_time_seconds",
        "When the process started.",
        started_s,
    );
    if let Some(used) = Used::read() {
        page.counter(
            "process_cpu_seconds_total",
            "User and system time.",
            used.cpu_s,
        );
        page.gauge(
            "process_resident_memory_bytes",
            "Memory in use, program text included.",
            used.resident_bytes,
        );
        page.gauge(
            "process_open_fds",
            "Open file descriptors.",
            used.descriptors,
        );
    }
    page.gauge(
        "stillwell_config_last_reload_successful",
        "Whether the last reload was taken.",
        f64::from(u8::from(app.reload_succeeded())),
    );
}

fn scraping(page: &mut Families, app: &App) {
    let states = app.scraper().states();
    let (mut scrapes, mut failures, mut bytes, mut lines) = (0, 0, 0, 0);
    let (mut skipped, mut stretched) = (0, 0);
    for counts in states.iter().map(|state| state.counts()) {
        scrapes += counts.scrapes;
        failures += counts.failures;
        skipped += counts.skipped;
        stretched += counts.stretched;
        bytes += counts.body_bytes;
        lines += counts.lines_skipped;
    }
    let up = states
        .iter()
        .filter(|state| state.health() == Health::Up)
        .count();
    page.gauge(
        "stillwell_targets",
        "Targets in force.",
        states.len() as f64,
    );
    page.gauge(
        "stillwell_targets_up",
        "Targets whose last scrape was good.",
        up as f64,
    );
    page.counter(
        "stillwell_scrapes_total",
        "Scrapes that ended.",
        scrapes as f64,
    );
    page.counter(
        "stillwell_scrape_failures_total",
        "Scrapes that failed.",
        failures as f64,
    );
    page.counter(
        "stillwell_scrape_ticks_skipped_total",
        "Ticks that passed while a scrape was in flight.",
        skipped as f64,
    );
    page.counter(
        "stillwell_scrape_ticks_stretched_total",
        "Ticks that passed because a job asks its gateways less often.",
        stretched as f64,
    );
    page.counter(
        "stillwell_scrape_body_bytes_total",
        "Bytes of pages.",
        bytes as f64,
    );
    page.counter(
        "stillwell_scrape_lines_skipped_total",
        "Lines of pages that were passed over, because no signal needs them (`retain: signals`).",
        lines as f64,
    );
}

fn discovery(page: &mut Families, app: &App) {
    let sources = app.discovery().states();
    let failing = sources.iter().filter(|source| source.problem.is_some());
    page.gauge(
        "stillwell_discovery_sources",
        "Entries of the configuration that find targets.",
        sources.len() as f64,
    );
    page.gauge(
        "stillwell_discovery_sources_failing",
        "Those that cannot read their source; their last targets stay.",
        failing.count() as f64,
    );
    let groups: usize = sources.iter().map(|source| source.groups).sum();
    page.gauge(
        "stillwell_discovery_groups",
        "Groups of targets found.",
        groups as f64,
    );
}

fn rules(page: &mut Families, app: &App) {
    let (evaluations, failures, missed) = app.rules().counts();
    page.counter(
        "stillwell_rule_group_evaluations_total",
        "Evaluations of rule groups.",
        evaluations as f64,
    );
    page.counter(
        "stillwell_rule_failures_total",
        "Rules that failed in them.",
        failures as f64,
    );
    page.counter(
        "stillwell_rule_group_evaluations_missed_total",
        "Evaluations that were left out, because those before took too long.",
        missed as f64,
    );
}

fn keda(page: &mut Families, app: &App) {
    page.counter(
        "stillwell_keda_handshake_failures_total",
        "TLS handshakes on KEDA's port that failed, for a client's certificate or otherwise.",
        app.keda().handshakes_failed() as f64,
    );
}

/// How sending to each Alertmanager goes; nothing where there is none.
fn notifications(page: &mut Families, counts: &[Counts]) {
    type Read = fn(&Counts) -> f64;
    let families: [(&str, Kind, &str, Read); 4] = [
        (
            "stillwell_notifications_sent_total",
            Kind::Counter,
            "Alerts that the Alertmanager has taken.",
            |one| one.sent as f64,
        ),
        (
            "stillwell_notifications_errors_total",
            Kind::Counter,
            "Alerts in requests to it that failed; they are sent again.",
            |one| one.failed as f64,
        ),
        (
            "stillwell_notifications_dropped_total",
            Kind::Counter,
            "Alerts that it will never get: its queue was full, or it refused them.",
            |one| one.dropped as f64,
        ),
        (
            "stillwell_notifications_queue_length",
            Kind::Gauge,
            "Alerts that wait for it.",
            |one| one.waiting as f64,
        ),
    ];
    for (name, kind, help, read) in families {
        let mut family = Family::new(name, kind, help);
        for one in counts {
            family.add(&[("alertmanager", &one.url)], read(one));
        }
        page.push(family);
    }
}

/// What those who ask hold.
fn readers(page: &mut Families, app: &App) {
    page.gauge(
        "stillwell_query_memory_bytes",
        "Bytes that queries under way hold together.",
        app.queries().memory_used() as f64,
    );
    pages_under_way(page, app);
    let (objects, _) = app.keda().describe();
    let streams: usize = objects.iter().map(|object| object.streams).sum();
    page.gauge(
        "stillwell_keda_triggers",
        "Triggers of ScaledObjects that are served or refused.",
        objects.len() as f64,
    );
    page.gauge(
        "stillwell_keda_streams",
        "Streams to KEDA that are open.",
        streams as f64,
    );
}

/// What pages hold that are being read.
fn pages_under_way(page: &mut Families, app: &App) {
    let shared = app.scraper().shared();
    let (memory, buffers) = (&shared.limiter.memory, &shared.limiter.buffers);
    let help = "Bytes of pages that are being read, by the part of their budget, and of buffers that are kept for the next.";
    let mut held = Family::new("stillwell_page_memory_bytes", Kind::Gauge, help);
    for (part, bytes) in memory.held() {
        held.add(&[("part", part)], bytes as f64);
    }
    held.add(&[("part", "kept")], buffers.kept_bytes() as f64);
    page.push(held);
    page.gauge(
        "stillwell_page_memory_max_bytes",
        "What pages that are being read may hold together, of --storage.memory.max.",
        memory.bytes_max() as f64,
    );
    page.counter(
        "stillwell_page_memory_refusals_total",
        "Times that a page found no room in it, whose scrape failed.",
        memory.refused() as f64,
    );
}

/// The bytes that the engine holds, by part.
pub(super) fn parts(stats: &Stats) -> [(&'static str, usize); 7] {
    let bytes = &stats.bytes;
    [
        ("series", bytes.series),
        ("index", bytes.index),
        ("history", bytes.history),
        ("clocks", bytes.clocks),
        ("histograms", bytes.histograms),
        ("templates", stats.template_bytes),
        ("windows", stats.window_bytes),
    ]
}

/// What is held, and what the memory limit has cost.
fn held(page: &mut Families, stats: &Stats, now: Timestamp) {
    page.gauge("stillwell_series", "Series held.", stats.series as f64);
    let help = "Signals by how they are evaluated: from what a page has changed (compiled), or whole from their queries (ordinary).";
    let mut signals = Family::new("stillwell_signals", Kind::Gauge, help);
    signals.add(&[("plan", "compiled")], stats.signals_compiled as f64);
    signals.add(&[("plan", "ordinary")], stats.signals_ordinary as f64);
    page.push(signals);
    let help = "Bytes held by the engine, by part.";
    let mut held = Family::new("stillwell_held_bytes", Kind::Gauge, help);
    for (part, bytes) in parts(stats) {
        held.add(&[("part", part)], bytes as f64);
    }
    page.push(held);
    page.gauge(
        "stillwell_memory_max_bytes",
        "The limit of that, as --storage.memory.max or a share of the container's memory.",
        stats.memory_bytes_max as f64,
    );
    page.counter(
        "stillwell_history_blocks_dropped_total",
        "Blocks of history that the memory limit took before their time.",
        stats.blocks_dropped_for_memory as f64,
    );
    let whole_since_ms = stats.oldest_ms.max(stats.history_dropped_until_ms);
    page.gauge(
        "stillwell_history_held_seconds",
        "For how long back the history of every series is whole.",
        whole_since_ms.map_or(0.0, |since_ms| {
            now.since_ms(Timestamp::from_ms(since_ms)).max(0) as f64 / 1000.0
        }),
    );
}
