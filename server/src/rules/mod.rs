//! prometheus-adapter's rules: read as they are, served as signals.
//!
//! A rule whose query is the same whoever asks becomes an ordinary signal, judged from the start. One that looks at the
//! caller's selector or namespace, or whose series name the metric, is made into a query when somebody asks, and that
//! query is judged for as long as the questions keep coming.

mod file;
mod matchers;
mod naming;
mod template;

use std::path::Path;

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::QueryError;
use stillwell_engine::signal::Policy;

pub use file::{Rule, read};
pub use naming::{metric_name, series_name};
pub use template::{Arguments, Template, TemplateError};

use crate::config::{Problem, Report, SignalSpec};
use crate::files;
use matchers::matchers;
use stillwell_adapters::kubernetes::Selector;

/// What rules files come to.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Rules whose query is the same for everybody.
    pub signals: Vec<SignalSpec>,
    /// The others.
    pub rules: Vec<Rule>,
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
        for problem in found.errors {
            report.error(line, format!("{name} {problem}"));
        }
        for problem in found.warnings {
            report.warn(line, format!("{name} {problem}"));
        }
        for rule in rules {
            match standing(&rule) {
                Some((metric, expr)) => {
                    lint(name, &rule, &metric, line, report);
                    loaded.signals.push(SignalSpec {
                        name: metric,
                        expr,
                        namespaces: Vec::new(),
                        labels: Labels::empty(),
                        policy: Policy::default(),
                        line,
                    });
                }
                None => loaded.rules.push(rule),
            }
        }
    }
    loaded
}

/// The query of a rule for one series and one caller.
pub fn query(
    rule: &Rule,
    series: &str,
    namespace: &str,
    selector: &Selector,
) -> Result<String, QueryError> {
    let namespace = rule
        .namespace_label
        .as_deref()
        .map(|label| (label, namespace));
    let (text, values) = matchers(selector, namespace);
    rule.query
        .render(&file::arguments(series, &text, values))
        .map_err(|error| QueryError::Execution(format!("metricsQuery: {error}")))
}

/// The metric and its query, where neither depends on who asks or on what was scraped.
fn standing(rule: &Rule) -> Option<(String, String)> {
    let metric = match series_name(rule) {
        Some(series) => metric_name(rule, series)?,
        None if !rule.name.contains('$') => rule.name.clone(),
        None => return None,
    };
    let ask = |series: &str, namespace: &str, selector: &str| {
        query(rule, series, namespace, &Selector::parse(selector).ok()?).ok()
    };
    let series = series_name(rule);
    let plain = ask(series.unwrap_or("a"), "a", "")?;
    let same = ask(series.unwrap_or("b"), "b", "k=v,l in (x,y)")? == plain;
    same.then_some((metric, plain))
}

/// What the adapter would do otherwise, or silently.
fn lint(file: &str, rule: &Rule, metric: &str, line: usize, report: &mut Report) {
    let place = format!("{file} line {}", rule.line);
    report.warn(
        line,
        format!(
            "{place}: {metric}: metricsQuery does not use <<.LabelMatchers>>; the adapter ignores the selector and the \
             namespace of an HPA then, here a selector that the result's labels do not fit is an error"
        ),
    );
    if metric.chars().any(char::is_uppercase) {
        report.warn(
            line,
            format!("{place}: {metric}: an HPA asks in lower case, which the adapter never finds; here case is not looked at"),
        );
    }
}

/// A problem as the error of a whole configuration.
pub(crate) fn duplicate(first: &SignalSpec, second: &SignalSpec) -> Problem {
    let message = format!(
        "a second signal {:?} (case is not looked at); the first is on line {}",
        second.name, first.line
    );
    Problem::new(second.line, message)
}

#[cfg(test)]
mod tests;
