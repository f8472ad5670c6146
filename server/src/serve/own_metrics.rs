//! `/metrics`: what this process does, in the names that dashboards of Prometheus look for where the meaning is the same.

use std::fmt::Write;

use stillwell_adapters::host::{Health, Host};
use stillwell_adapters::json;
use stillwell_engine::{Durations, Stats, Timestamp};

use super::app::App;
use super::snapshots::Done;
use crate::alertmanager::Counts;

/// The page.
pub(super) fn page(app: &App) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    process(&mut page, app);
    scraping(&mut page, app);
    discovery(&mut page, app);
    rules(&mut page, app);
    keda(&mut page, app);
    notifications(&mut page, &app.notifier().counts());
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
    page.0
}

fn snapshot(page: &mut Page, done: &Done) {
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

fn process(page: &mut Page, app: &App) {
    let build = app.build();
    page.head(
        "stillwell_build_info",
        "gauge",
        "The version of this process.",
    );
    page.line(format_args!(
        "stillwell_build_info{{version=\"{}\"}} 1",
        build.version
    ));
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

fn scraping(page: &mut Page, app: &App) {
    let states = app.scraper().states();
    let (mut scrapes, mut failures, mut skipped, mut bytes, mut lines) = (0, 0, 0, 0, 0);
    for counts in states.iter().map(|state| state.counts()) {
        scrapes += counts.scrapes;
        failures += counts.failures;
        skipped += counts.skipped;
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

fn discovery(page: &mut Page, app: &App) {
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

fn rules(page: &mut Page, app: &App) {
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

fn keda(page: &mut Page, app: &App) {
    page.counter(
        "stillwell_keda_handshake_failures_total",
        "TLS handshakes on KEDA's port that failed, for a client's certificate or otherwise.",
        app.keda().handshakes_failed() as f64,
    );
}

/// How sending to each Alertmanager goes; nothing where there is none.
fn notifications(page: &mut Page, counts: &[Counts]) {
    type Read = fn(&Counts) -> f64;
    let families: [(&str, &str, &str, Read); 4] = [
        (
            "stillwell_notifications_sent_total",
            "counter",
            "Alerts that the Alertmanager has taken.",
            |one| one.sent as f64,
        ),
        (
            "stillwell_notifications_errors_total",
            "counter",
            "Alerts in requests to it that failed; they are sent again.",
            |one| one.failed as f64,
        ),
        (
            "stillwell_notifications_dropped_total",
            "counter",
            "Alerts that it will never get: its queue was full, or it refused them.",
            |one| one.dropped as f64,
        ),
        (
            "stillwell_notifications_queue_length",
            "gauge",
            "Alerts that wait for it.",
            |one| one.waiting as f64,
        ),
    ];
    for (name, kind, help, read) in families {
        if !counts.is_empty() {
            page.head(name, kind, help);
        }
        for one in counts {
            let mut url = String::new();
            json::string(&mut url, &one.url);
            page.line(format_args!("{name}{{alertmanager={url}}} {}", read(one)));
        }
    }
}

/// What is held, and what the memory limit has cost.
fn held(page: &mut Page, stats: &Stats, now: Timestamp) {
    let bytes = &stats.bytes;
    page.gauge("stillwell_series", "Series held.", stats.series as f64);
    page.head(
        "stillwell_held_bytes",
        "gauge",
        "Bytes held by the engine, by part.",
    );
    for (part, bytes) in [
        ("series", bytes.series),
        ("index", bytes.index),
        ("history", bytes.history),
        ("clocks", bytes.clocks),
        ("histograms", bytes.histograms),
        ("templates", stats.template_bytes),
        ("windows", stats.window_bytes),
    ] {
        page.line(format_args!(
            "stillwell_held_bytes{{part=\"{part}\"}} {bytes}"
        ));
    }
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

/// What the kernel says of this process; `None` where it says it in another way than Linux.
struct Used {
    cpu_s: f64,
    resident_bytes: f64,
    descriptors: f64,
}

impl Used {
    fn read() -> Option<Used> {
        const TICKS_PER_SECOND: f64 = 100.0; // USER_HZ, the same on every Linux
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: f64 = resident.split_whitespace().next()?.parse().ok()?;
        Some(Used {
            cpu_s: ticks / TICKS_PER_SECOND,
            resident_bytes: kib * 1024.0,
            descriptors: std::fs::read_dir("/proc/self/fd").ok()?.count() as f64,
        })
    }
}

/// A page in the text format. Writing to a `String` does not fail, so the results are not looked at.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").ok();
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "counter", help);
        self.line(format_args!("{name} {value}"));
    }

    /// As a histogram with bounds from 1 us to 1 s.
    fn durations(&mut self, name: &str, help: &str, durations: &Durations) {
        const BOUNDS_US: [u64; 14] = [
            1, 5, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 1_000_000,
        ];
        self.head(name, "histogram", help);
        for us in BOUNDS_US {
            let (bound, count) = (us as f64 / 1e6, durations.count_within(us * 1000));
            self.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        let (count, sum_s) = (durations.count(), durations.sum_ns() as f64 / 1e9);
        self.line(format_args!(
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum_s}\n{name}_count {count}"
        ));
    }
}
