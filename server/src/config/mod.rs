//! The configuration file: a superset of `prometheus.yml`.
//!
//! Every key that Prometheus knows parses. What has no effect here is a warning with its line and consequence, and
//! only the job that cannot be scraped because of it is left out; what Prometheus does not know either is an error with
//! its line. `schema` is how keys become tables; each section's file holds its table.

mod alerting;
pub(crate) mod dialects;
mod discovery;
mod events;
mod global;
mod histograms;
mod http_client;
mod kube_state;
mod labels;
mod limits;
mod masked;
mod monitors;
mod otlp;
mod protocols;
mod relabel;
mod remote_write;
pub(crate) mod schema;
mod scrape;
mod scrape_files;
mod secret;
mod senders;
mod signals;
pub mod units;
mod unused_discovery;
mod unused_rules;
mod unused_sections;

use std::path::Path;
use std::sync::Arc;

use stillwell_adapters::kubernetes::RESOURCE;
use stillwell_adapters::otlp::OtlpSettings;
use stillwell_engine::Retain;
use stillwell_engine::signal::Names;

use crate::rules::{self, ResourceRules, Rule};
use crate::yaml;
use schema::{Key, decode, read, unused};

pub use crate::signal_spec::SignalSpec;
pub use crate::yaml::{CONFIG_BYTES_MAX, Problem, Report};
pub use alerting::{Alerting, AlertmanagerConfig};
pub use discovery::{
    Discovery, DnsDiscovery, DnsRecord, FileDiscovery, HttpDiscovery, KubernetesDiscovery,
    KubernetesRole, KubernetesSelector, StaticGroup,
};
pub use events::Events;
pub use global::Global;
pub use http_client::{
    Authorization, BasicAuth, Credentials, Header, HttpClientConfig, OAuth2, ProxyConfig,
    TlsClientConfig, TlsVersion,
};
pub use kube_state::KubeState;
pub(crate) use labels::labels as label_map;
pub use limits::{BODY_BYTES_MAX_DEFAULT, PageLimits};
pub use masked::{masked, masked_job};
pub use monitors::{MonitorKind, Monitors, job_from_json};
pub use remote_write::{Extremes, MetadataConfig, QueueConfig, RemoteWrite};
pub use scrape::{INTERVAL_MS_MIN, ScrapeJob, default_timeout_ms};
pub use secret::{MASK, Secret, SecretSource};
pub use senders::SendersConfig;
pub use signals::ExternalMetrics;
pub use stillwell_engine::nearest::nearest;

/// A configuration that passed every check.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What jobs inherit.
    pub global: Global,
    /// The jobs.
    pub jobs: Vec<ScrapeJob>,
    /// Globs of rule files.
    pub rule_files: Vec<String>,
    /// Where they are named.
    pub rule_files_line: usize,
    /// Where alerts are sent.
    pub alerting: Alerting,
    /// Where samples are sent on.
    pub remote_writes: Vec<RemoteWrite>,
    /// Who sends samples and is a target because of it.
    pub senders: Vec<SendersConfig>,
    /// How metrics of OpenTelemetry become series.
    pub otlp: OtlpSettings,
    /// What scalers may ask for.
    pub signals: Vec<SignalSpec>,
    /// What the user knows of metric names beyond the engine's table.
    pub signal_names: Names,
    /// prometheus-adapter's rules whose query depends on who asks; the others are among the signals.
    pub rules: Vec<Arc<Rule>>,
    /// prometheus-adapter's rules for metrics of objects.
    pub object_rules: Vec<Arc<Rule>>,
    /// prometheus-adapter's queries for CPU and memory.
    pub resource_rules: Option<Arc<ResourceRules>>,
    /// The Kubernetes API.
    pub external_metrics: ExternalMetrics,
    /// Objects of a cluster that become jobs.
    pub monitors: Vec<Monitors>,
    /// Series about a cluster's workloads and pods.
    pub kube_state: Option<KubeState>,
    /// Whether readers of signals are told of their changes by Kubernetes Events.
    pub events: Option<Events>,
    /// Globs of files with more jobs, and where they are named.
    pub(crate) scrape_files: (Vec<String>, usize),
}

impl Config {
    /// The names and patterns of files that it reads beside its own; none after [`load_with_files`] has read those of jobs.
    pub(crate) fn file_patterns(self) -> Vec<String> {
        let (mut patterns, _) = self.scrape_files;
        patterns.extend(self.rule_files);
        patterns.extend(self.external_metrics.rules_files);
        patterns
    }
}

/// Reads a configuration and the files that it names, relative to `base`.
pub fn load_with_files(text: &str, base: &Path) -> (Option<Config>, Report) {
    let (config, mut report) = load(text);
    let Some(mut config) = config else {
        return (None, report);
    };
    scrape_files::load(&mut config, base, &mut report);
    for job in &mut config.jobs {
        job.resolve(base);
    }
    for monitors in &mut config.monitors {
        monitors.resolve(base);
    }
    if let Some(state) = &mut config.kube_state {
        state.resolve(base);
        let name = KubeState::JOB;
        if let Some(job) = config.jobs.iter().find(|job| job.name == name) {
            let message = format!(
                "job {name:?} gives the series that kube_state (line {}) gives: every sum would count twice; keep one",
                state.line
            );
            report.error(job.line, message);
        }
    }
    for senders in &config.senders {
        let name = &senders.job.name;
        if let Some(job) = config.jobs.iter().find(|job| job.name == *name) {
            let problem = format!(
                "job {name:?} is that of the senders of line {}; give one another name",
                senders.line
            );
            report.error(job.line, problem);
        }
    }
    if let Some(events) = &mut config.events {
        events.resolve(base);
    }
    config.alerting.resolve(base);
    for remote in &mut config.remote_writes {
        remote.resolve(base);
    }
    let section = config.external_metrics.clone();
    let loaded = rules::load(&section.rules_files, base, section.rules_line, &mut report);
    for signal in loaded.signals {
        match config
            .signals
            .iter()
            .find(|first| first.name.eq_ignore_ascii_case(&signal.name))
        {
            Some(first) => report.errors.push(rules::duplicate(first, &signal)),
            None => config.signals.push(signal),
        }
    }
    config.rules = loaded.rules.into_iter().map(Arc::new).collect();
    config.object_rules = loaded.object_rules.into_iter().map(Arc::new).collect();
    config.resource_rules = loaded.resource_rules.map(Arc::new);
    match (&config.resource_rules, section.resource_api_groups) {
        (Some(_), given) => {
            // As in prometheus-adapter rules are all it takes.
            let groups = given.unwrap_or_else(|| vec![RESOURCE.to_owned()]);
            config.external_metrics.groups.resource = groups;
        }
        (None, Some(given)) if !given.is_empty() => report.error(
            section.rules_line,
            "external_metrics: resource_api_groups needs a rules file with resourceRules (rules_files)",
        ),
        (None, _) => {}
    }
    warn_of_nothing_kept(&config, &mut report);
    (report.errors.is_empty().then_some(config), report)
}

/// Where only what signals need is kept and none is configured, nothing is until somebody asks.
fn warn_of_nothing_kept(config: &Config, report: &mut Report) {
    let nothing_reads = config.signals.is_empty()
        && config.rules.is_empty()
        && config.object_rules.is_empty()
        && config.resource_rules.is_none();
    if !nothing_reads {
        return;
    }
    for job in config
        .jobs
        .iter()
        .filter(|job| job.retain == Retain::Signals)
    {
        let message = format!(
            "job {:?} has `retain: signals`, and no signal is configured: nothing of its pages is kept until a KEDA \
             trigger or a query of /guarded needs it",
            job.name
        );
        report.warn(job.line, message);
    }
    report.warnings.sort_by_key(|problem| problem.line);
}

/// Reads a configuration alone. With errors there is no configuration; warnings come either way.
pub fn load(text: &str) -> (Option<Config>, Report) {
    let mut report = Report::default();
    let Some(tree) = report.first_document(text) else {
        return (None, report);
    };
    let config = config(&tree, &mut report);
    report.errors.sort_by_key(|problem| problem.line);
    report.warnings.sort_by_key(|problem| problem.line);
    (report.errors.is_empty().then_some(config), report)
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
        config.scrape_files = (patterns(entry, report), entry.line);
    }),
    read("rule_files", |entry, config, report| {
        config.rule_files = patterns(entry, report);
        config.rule_files_line = entry.line;
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

fn config(tree: &yaml::Node, report: &mut Report) -> Config {
    let mut config = Config::default();
    let entries = report.entries(tree, "the configuration");
    if let Some(entry) = entries.iter().find(|entry| entry.key == "global") {
        config.global = global::global(&entry.value, report);
    }
    decode(tree, "the configuration", &[&TOP], &mut config, report);
    config
}

/// Adds a job; `file` is where it was read, where that is not the configuration itself.
fn add_job(config: &mut Config, job: ScrapeJob, file: &str, report: &mut Report) {
    if let Some(first) = config.jobs.iter().find(|first| first.name == job.name) {
        let (name, line) = (&job.name, first.line);
        report.error(
            job.line,
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
            report.error(one.line, problem);
        }
    }
    config.senders.push(one);
}

fn add_signal(config: &mut Config, signal: SignalSpec, report: &mut Report) {
    let same = |first: &&SignalSpec| first.name.eq_ignore_ascii_case(&signal.name);
    if let Some(first) = config.signals.iter().find(same) {
        let (name, line) = (&signal.name, first.line);
        report.error(
            signal.line,
            format!(
                "a second signal {name:?} (case is not looked at); the first is on line {line}"
            ),
        );
    }
    config.signals.push(signal);
}

#[cfg(test)]
mod tests;
