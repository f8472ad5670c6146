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
mod load;
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
mod sections;
mod senders;
mod signals;
pub mod units;
mod unused_discovery;
mod unused_rules;
mod unused_sections;

use std::sync::Arc;

use stillwell_adapters::host::OtlpSettings;
use stillwell_engine::signal::Names;

use crate::rules::{ResourceRules, Rule};

pub use crate::signal_spec::SignalSpec;
pub use crate::yaml::{CONFIG_BYTES_MAX, Line, Problem, Report};
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
pub use load::{load, load_with_files};
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
    pub rule_files_line: Line,
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
    pub(crate) scrape_files: (Vec<String>, Line),
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

#[cfg(test)]
mod tests;
