//! The text of a configuration read and checked, alone or with the files that it names.

use std::path::Path;
use std::sync::Arc;

use stillwell_adapters::kubernetes::RESOURCE;
use stillwell_engine::Retain;

use super::sections::config;
use super::{Config, KubeState, Line, Report, scrape_files};
use crate::rules;

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
            report.error(job.line.0, message);
        }
    }
    for senders in &config.senders {
        let name = &senders.job.name;
        if let Some(job) = config.jobs.iter().find(|job| job.name == *name) {
            let problem = format!(
                "job {name:?} is that of the senders of line {}; give one another name",
                senders.line
            );
            report.error(job.line.0, problem);
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
    let Line(line) = section.rules_line;
    let loaded = rules::load(&section.rules_files, base, line, &mut report);
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
    serve_resources(&mut config, section.resource_api_groups, line, &mut report);
    warn_of_nothing_kept(&config, &mut report);
    (report.errors.is_empty().then_some(config), report)
}

/// The groups in which CPU and memory are served: of those that are given on this line, or as in prometheus-adapter where rules are all
/// it takes.
fn serve_resources(
    config: &mut Config,
    given: Option<Vec<String>>,
    line: usize,
    report: &mut Report,
) {
    match (&config.resource_rules, given) {
        (Some(_), given) => {
            let groups = given.unwrap_or_else(|| vec![RESOURCE.to_owned()]);
            config.external_metrics.groups.resource = groups;
        }
        (None, Some(given)) if !given.is_empty() => report.error(
            line,
            "external_metrics: resource_api_groups needs a rules file with resourceRules (rules_files)",
        ),
        (None, _) => {}
    }
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
        report.warn(job.line.0, message);
    }
    report.warnings.sort_by_key(|problem| problem.line);
}
