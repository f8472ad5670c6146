//! The rules files of a configuration: which of their rules are signals, and what is said of them.

use std::path::Path;

use stillwell_adapters::objects::{Kinds, Selector};
use stillwell_engine::labels::Labels;
use stillwell_engine::signal::Policy;

use super::file::{RulesFile, read};
use super::query::query;
use super::resource_rules::ResourceRules;
use super::rule::{Rule, metric_name, series_name};
use crate::files;
use crate::signal_spec::SignalSpec;
use crate::yaml::{Line, Problem, Report};

/// What rules files come to.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Rules whose query is the same for everybody.
    pub signals: Vec<SignalSpec>,
    /// The other rules for external metrics.
    pub rules: Vec<Rule>,
    /// Rules for metrics of objects.
    pub object_rules: Vec<Rule>,
    /// Queries for CPU and memory.
    pub resource_rules: Option<ResourceRules>,
}

/// Reads rules files. Problems name the file; their line is that of `rules_files` in the configuration.
pub fn load(files: &[String], base: &Path, line: usize, report: &mut Report) -> Loaded {
    let mut loaded = Loaded::default();
    for name in files {
        let text = match files::read(&base.join(name)) {
            Ok(text) => text,
            Err(error) => {
                report.error(line, format!("rules_files: {name}: {error}"));
                continue;
            }
        };
        let (rules, found) = read(&text);
        let RulesFile {
            external,
            custom,
            resource,
        } = rules;
        for problem in found.errors {
            report.error(line, format!("{name} {problem}"));
        }
        for problem in found.warnings {
            report.warn(line, format!("{name} {problem}"));
        }
        for rule in &custom {
            warn_of_unknown_kinds(name, rule, line, report);
        }
        loaded.object_rules.extend(custom);
        if loaded.resource_rules.is_some() && resource.is_some() {
            let why = "the resourceRules of an earlier file are in force already";
            report.error(line, format!("rules_files: {name}: {why}"));
        }
        loaded.resource_rules = loaded.resource_rules.or(resource);
        for rule in external {
            match standing(&rule) {
                Some((metric, expr)) => {
                    lint(name, &rule, &metric, line, report);
                    loaded.signals.push(SignalSpec {
                        name: metric,
                        expr,
                        namespaces: Vec::new(),
                        labels: Labels::empty(),
                        policy: Policy::default(),
                        line: Line(line),
                        from_rules: true,
                        sanitized: rule.sanitized,
                        floors: Vec::new(),
                        for_each: Vec::new(),
                    });
                }
                None => loaded.rules.push(rule),
            }
        }
    }
    loaded
}

/// The metric and its query, where neither depends on who asks or on what was scraped.
pub(super) fn standing(rule: &Rule) -> Option<(String, String)> {
    let metric = match series_name(rule) {
        Some(series) => metric_name(rule, series)?,
        None if !rule.naming.template.contains('$') => rule.naming.template.clone(),
        None => return None,
    };
    let series = series_name(rule);
    if rule.reads_selector() || (series.is_none() && rule.query.reads("Series")) {
        return None;
    }
    let query = query(rule, series.unwrap_or_default(), "", &Selector::default()).ok()?;
    Some((metric, query))
}

/// What the adapter would do otherwise, or silently.
fn lint(file: &str, rule: &Rule, metric: &str, line: usize, report: &mut Report) {
    let place = format!("{file} line {}", rule.line);
    report.warn(
        line,
        format!(
            "{place}: {metric}: metricsQuery does not use <<.LabelMatchers>>; the selector and the namespace of an HPA are passed \
             over then, as by prometheus-adapter: it gets the sum of all that the query yields"
        ),
    );
    if metric.chars().any(char::is_uppercase) {
        report.warn(
            line,
            format!("{place}: {metric}: an HPA asks in lower case, which the adapter never finds; here case is not looked at"),
        );
    }
}

/// Custom resources are known to API servers alone; without one nothing can be told of them.
fn warn_of_unknown_kinds(file: &str, rule: &Rule, line: usize, report: &mut Report) {
    for unknown in rule.resources.unknown(&Kinds::usual()) {
        report.warn(
            line,
            format!(
                "{file} line {}: {unknown} is none of the usual kinds; it is served where the API server knows it",
                rule.line
            ),
        );
    }
}

/// The error of a configuration in which two signals have one name.
pub(crate) fn duplicate(first: &SignalSpec, second: &SignalSpec) -> Problem {
    let message = format!(
        "a second signal {:?} (case is not looked at); the first is on line {}",
        second.name, first.line
    );
    Problem::new(second.line.0, message)
}
