//! prometheus-adapter's rules: read as they are, served as signals.
//!
//! A rule whose query is the same whoever asks becomes an ordinary signal, judged from the start. One that looks at the
//! caller's selector or namespace, or whose series name the metric, is made into a query when somebody asks, and that
//! query is judged for as long as the questions keep coming.

mod default_rules;
mod file;
mod forms;
mod managed_names;
mod matchers;
mod naming;
mod resource_rules;
mod resources;
mod rule;
mod template;

use std::path::Path;

use stillwell_adapters::objects::{Kinds, Selector};
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::QueryError;
use stillwell_engine::signal::Policy;

pub use file::{RulesFile, read};
pub use managed_names::managed_name;
pub use matchers::Objects;
pub use resource_rules::{ResourceRule, ResourceRules};
pub use rule::{Rule, metric_name, series_name};
pub use template::{Arguments, Template, TemplateError};

use crate::files;
use crate::signal_spec::SignalSpec;
use crate::yaml::{Problem, Report};
use matchers::Matchers;

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
                        line,
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

/// The query of an external rule for one series and one caller.
pub fn query(
    rule: &Rule,
    series: &str,
    namespace: &str,
    selector: &Selector,
) -> Result<String, QueryError> {
    if rule.lacks_namespace() {
        let line = rule.line;
        return Err(QueryError::Execution(format!(
            "the rule on line {line}: {}",
            resources::MISSING_NAMESPACE
        )));
    }
    let mut matchers = Matchers::of(selector)?;
    if let Some(label) = rule.namespace_label() {
        matchers = matchers.equal(&label, namespace);
    }
    let (text, values) = matchers.finish();
    rendered(rule, rule::arguments(series, &text, values, &[]))
}

/// The query of a rule about objects: `label` names them, and the namespace (empty for those that have none) is that of
/// the caller. Error: no label holds the namespace, or the template cannot be filled in.
pub fn object_query(
    rule: &Rule,
    series: &str,
    namespace: &str,
    (label, objects): (&str, Objects<'_>),
    selector: &Selector,
) -> Result<String, QueryError> {
    let mut matchers = Matchers::of(selector)?;
    if !namespace.is_empty() {
        let label = rule.resources.namespace_label().ok_or_else(|| {
            QueryError::Execution(format!(
                "the rule on line {} says of no label that it holds the namespace: add `namespace: {{resource: \
                 namespace}}` to its resources.overrides",
                rule.line
            ))
        })?;
        matchers = matchers.equal(&label, namespace);
    }
    let (text, values) = matchers.objects(label, objects).finish();
    rendered(
        rule,
        rule::arguments(series, &text, values, &[label.to_owned()]),
    )
}

/// One query for all objects that says of each the same as a query for it alone; `None` where there is none, because the
/// template does more with the names than to select by them.
pub fn shared_query(
    rule: &Rule,
    series: &str,
    namespace: &str,
    label: &str,
    selector: &Selector,
) -> Option<String> {
    const NAME: &str = "some-object-of-a-name";
    let ask = |objects| object_query(rule, series, namespace, (label, objects), selector).ok();
    let (one, all) = (ask(Objects::One(NAME))?, ask(Objects::All)?);
    let (of_one, of_all) = (format!("{label}=\"{NAME}\""), format!("{label}=~\".+\""));
    (one.replace(&of_one, &of_all) == all).then_some(all)
}

fn rendered(rule: &Rule, arguments: Arguments) -> Result<String, QueryError> {
    rule.query
        .render(&arguments)
        .map_err(|error| QueryError::Execution(format!("metricsQuery: {error}")))
}

/// The metric and its query, where neither depends on who asks or on what was scraped.
fn standing(rule: &Rule) -> Option<(String, String)> {
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
