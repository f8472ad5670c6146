//! The configuration file: a superset of `prometheus.yml`.
//!
//! Every key that Prometheus knows parses. What has no effect here is a warning with its line and consequence; what
//! would do harm if it were passed over, and what Prometheus does not know either, is an error with its line.

mod nearest;
mod relabel;
mod report;
mod scrape;
mod signals;
mod tables;
pub mod units;
pub(crate) mod yaml;

use std::path::Path;
use std::sync::Arc;

use stillwell_engine::Retain;
use stillwell_engine::signal::Names;

use crate::rules::{self, Rule};

pub use nearest::nearest;
pub(crate) use report::Table;
pub use report::{Problem, Report};
pub use scrape::{
    BODY_BYTES_MAX_DEFAULT, Global, INTERVAL_MS_MIN, PageLimits, ScrapeJob, StaticGroup,
    default_timeout_ms,
};
pub use signals::{ExternalMetrics, SignalSpec};
pub use yaml::CONFIG_BYTES_MAX;

/// A configuration that passed every check.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What jobs inherit.
    pub global: Global,
    /// The jobs.
    pub jobs: Vec<ScrapeJob>,
    /// Globs of rule files.
    pub rule_files: Vec<String>,
    /// What scalers may ask for.
    pub signals: Vec<SignalSpec>,
    /// What the user knows of metric names beyond the engine's table.
    pub signal_names: Names,
    /// prometheus-adapter's rules whose query depends on who asks; the others are among the signals.
    pub rules: Vec<Arc<Rule>>,
    /// The Kubernetes face.
    pub external_metrics: ExternalMetrics,
}

/// Reads a configuration and the rules files that it names, relative to `base`.
pub fn load_with_files(text: &str, base: &Path) -> (Option<Config>, Report) {
    let (config, mut report) = load(text);
    let Some(mut config) = config else {
        return (None, report);
    };
    let section = &config.external_metrics;
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
    warn_of_nothing_kept(&config, &mut report);
    (report.errors.is_empty().then_some(config), report)
}

/// Where only what signals need is kept and none is configured, nothing is until somebody asks.
fn warn_of_nothing_kept(config: &Config, report: &mut Report) {
    if !config.signals.is_empty() || !config.rules.is_empty() {
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
    let tree = match yaml::parse(text) {
        Ok(tree) => tree,
        Err(problem) => {
            report.errors.push(problem);
            return (None, report);
        }
    };
    let config = config(&tree, &mut report);
    report.errors.sort_by_key(|problem| problem.line);
    report.warnings.sort_by_key(|problem| problem.line);
    (report.errors.is_empty().then_some(config), report)
}

fn config(tree: &yaml::Node, report: &mut Report) -> Config {
    let mut config = Config::default();
    let entries = report.fields(tree, "the configuration", &tables::TOP);
    if let Some(entry) = entries.iter().find(|entry| entry.key == "global") {
        config.global = scrape::global(&entry.value, report); // first, wherever it stands: jobs inherit from it
    }
    for entry in entries {
        match entry.key.as_str() {
            "scrape_configs" => {
                for item in report.items(entry) {
                    let job = scrape::job(item, &config.global, report);
                    if let Some(first) = config.jobs.iter().find(|first| first.name == job.name) {
                        let (name, line) = (&job.name, first.line);
                        report.error(
                            job.line,
                            format!("a second scrape_config with job_name {name:?}; the first is on line {line}"),
                        );
                    }
                    config.jobs.push(job);
                }
            }
            "rule_files" => {
                config.rule_files = report.texts(entry);
                if !config.rule_files.is_empty() {
                    report.warn(
                        entry.line,
                        "rule_files has no effect yet: rules are not evaluated",
                    );
                }
            }
            "signals" => {
                for item in report.items(entry) {
                    let signal = signals::signal(item, report);
                    let same = |first: &&SignalSpec| first.name.eq_ignore_ascii_case(&signal.name);
                    if let Some(first) = config.signals.iter().find(same) {
                        let (name, line) = (&signal.name, first.line);
                        report.error(
                            signal.line,
                            format!("a second signal {name:?} (case is not looked at); the first is on line {line}"),
                        );
                    }
                    config.signals.push(signal);
                }
            }
            "signal_names" => {
                config.signal_names = signals::names(&entry.value, report);
            }
            "external_metrics" => {
                config.external_metrics = signals::external_metrics(&entry.value, report);
            }
            "monitors" | "inference_pools" => report.warn(
                entry.line,
                format!(
                    "{} has no effect yet: list the targets in static_configs",
                    entry.key
                ),
            ),
            _ => {} // global, above
        }
    }
    config
}

#[cfg(test)]
mod tests;
