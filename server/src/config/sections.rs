//! The sections at the top of the file, and what none of them may have twice.

use super::schema::{Key, decode, read, unused};
use super::{
    Config, Report, ScrapeJob, SendersConfig, SignalSpec, alerting, events, global, kube_state,
    monitors, otlp, remote_write, scrape, senders, signals, unused_sections,
};
use crate::yaml::{self, Line};

/// Reads the whole file.
pub(super) fn config(tree: &yaml::Node, report: &mut Report) -> Config {
    let mut config = Config::default();
    let entries = report.entries(tree, "the configuration");
    if let Some(entry) = entries.iter().find(|entry| entry.key == "global") {
        config.global = global::global(&entry.value, report);
    }
    decode(tree, "the configuration", &[&TOP], &mut config, report);
    config
}

static TOP: &[Key<Config>] = &[
    read("global", |_, _, _| {}), // read before all others: jobs inherit from it
    read("scrape_configs", |entry, config, report| {
        for item in report.sections(entry) {
            let job = scrape::job(item, &config.global, report);
            add_job(config, job, "", report);
        }
    }),
    read("scrape_config_files", |entry, config, report| {
        config.scrape_files = (patterns(entry, report), Line(entry.line));
    }),
    read("rule_files", |entry, config, report| {
        config.rule_files = patterns(entry, report);
        config.rule_files_line = Line(entry.line);
    }),
    read("signals", |entry, config, report| {
        for item in report.items(entry) {
            let signal = signals::signal(item, report);
            add_signal(config, signal, report);
        }
    }),
    read("signal_names", |entry, config, report| {
        config.signal_names = signals::names(&entry.value, report);
    }),
    read("external_metrics", |entry, config, report| {
        config.external_metrics = signals::external_metrics(&entry.value, report);
    }),
    read("monitors", |entry, config, report| {
        config
            .monitors
            .push(monitors::monitors(&entry.value, report));
    }),
    read("inference_pools", |entry, config, report| {
        config
            .monitors
            .push(monitors::inference_pools(&entry.value, report));
    }),
    read("kube_state", |entry, config, report| {
        let interval_ms = config.global.interval_ms;
        config.kube_state = Some(kube_state::kube_state(&entry.value, interval_ms, report));
    }),
    read("events", |entry, config, report| {
        config.events = Some(events::events(&entry.value, report));
    }),
    read("alerting", |entry, config, report| {
        config.alerting = alerting::alerting(&entry.value, report);
    }),
    unused(
        "storage",
        unused_sections::STORAGE,
        "history is in memory, bounded by --storage.retention.time",
    ),
    unused("tracing", unused_sections::TRACING, "no traces are sent"),
    read("remote_write", |entry, config, report| {
        config.remote_writes = remote_write::remote_writes(entry, report);
    }),
    unused(
        "remote_read",
        unused_sections::REMOTE_READ,
        "only what was scraped here is answered",
    ),
    read("senders", |entry, config, report| {
        for item in report.sections(entry) {
            let one = senders::senders(item, &config.global, report);
            add_senders(config, one, report);
        }
    }),
    read("otlp", |entry, config, report| {
        config.otlp = otlp::otlp(entry, report);
    }),
    unused(
        "runtime",
        unused_sections::RUNTIME,
        "there is no garbage collector to tune",
    ),
];

/// Patterns of files: stars stand in the last part only.
fn patterns(entry: &yaml::Entry, report: &mut Report) -> Vec<String> {
    let patterns = report.texts(entry);
    for pattern in &patterns {
        let folder = pattern.rsplit_once('/').map_or("", |(folder, _)| folder);
        if folder.contains('*') {
            let key = &entry.key;
            report.error(
                entry.line,
                format!("{key}: {pattern:?} may have a * in its last part only"),
            );
        }
    }
    patterns
}

/// Adds a job; `file` is where it was read, where that is not the configuration itself.
pub(super) fn add_job(config: &mut Config, job: ScrapeJob, file: &str, report: &mut Report) {
    if let Some(first) = config.jobs.iter().find(|first| first.name == job.name) {
        let (name, line) = (&job.name, first.line);
        report.error(
            job.line.0,
            format!(
                "{file}a second scrape_config with job_name {name:?}; the first is on line {line}"
            ),
        );
    }
    config.jobs.push(job);
}

fn add_senders(config: &mut Config, one: Option<SendersConfig>, report: &mut Report) {
    let Some(one) = one else {
        return;
    };
    for first in &config.senders {
        if first.label == one.label || first.job.name == one.job.name {
            let line = first.line;
            let problem = format!("senders with the job_name or the label of those of line {line}");
            report.error(one.line.0, problem);
        }
    }
    config.senders.push(one);
}

fn add_signal(config: &mut Config, signal: SignalSpec, report: &mut Report) {
    let same = |first: &&SignalSpec| first.name.eq_ignore_ascii_case(&signal.name);
    if let Some(first) = config.signals.iter().find(same) {
        let (name, line) = (&signal.name, first.line);
        report.error(
            signal.line.0,
            format!(
                "a second signal {name:?} (case is not looked at); the first is on line {line}"
            ),
        );
    }
    config.signals.push(signal);
}
