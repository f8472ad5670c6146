//! A rules file of prometheus-adapter, in the forms in which people have it ([`super::forms`]). Strict, as the adapter is:
//! an unknown key is an error with its line. Slips whose meaning is certain are read, with a warning.

use super::default_rules;
use super::forms::{Form, Lists, form};
use super::resource_rules::{ResourceRules, resource_rules};
use super::rule::{Api, Rule, rule};
use crate::yaml::{self, Entry, Kind, Node};
use crate::yaml::{Problem, Report};

/// The rules of a file.
#[derive(Debug, Default)]
pub struct RulesFile {
    /// For external metrics.
    pub external: Vec<Rule>,
    /// For metrics of objects.
    pub custom: Vec<Rule>,
    /// For CPU and memory.
    pub resource: Option<ResourceRules>,
}

/// Reads a file.
pub fn read(text: &str) -> (RulesFile, Report) {
    let mut report = Report::default();
    let mut file = RulesFile::default();
    if let Some(tree) = parse(text, &mut report) {
        match form(&tree, &mut report) {
            Form::Wrapped(entries) => unwrap(&entries, &mut file, &mut report),
            form => fill(form, &mut file, &mut report),
        }
    }
    report.errors.sort_by_key(|problem| problem.line);
    report.warnings.sort_by_key(|problem| problem.line);
    (file, report)
}

fn parse(text: &str, report: &mut Report) -> Option<Node> {
    match yaml::parse(text) {
        Ok(tree) => Some(tree),
        Err(mut problem) => {
            if let Some(fix) = quoting(text, &problem) {
                problem.message.push_str(fix);
            }
            report.errors.push(problem);
            None
        }
    }
}

/// How to write a query that holds double quotes, where one inside double quotes is what does not parse.
fn quoting(text: &str, problem: &Problem) -> Option<&'static str> {
    let mut near = text.lines().skip(problem.line.saturating_sub(2)).take(3);
    let quoted_twice = |line: &str| {
        let value = line.split_once(": \"").map(|(_, value)| value);
        value.is_some_and(|value| value.trim_end().trim_end_matches('"').contains('"'))
    };
    near.any(quoted_twice)
        .then_some("; a query that holds double quotes stands in single quotes, or in a block (|)")
}

fn fill(form: Form<'_>, file: &mut RulesFile, report: &mut Report) {
    match form {
        Form::Rules(Lists {
            external,
            custom,
            resource,
            default,
        }) => {
            // Before those of the file: the last rule that makes a metric counts.
            file.custom
                .extend(default.map(of_the_chart).into_iter().flatten());
            if let Some(entry) = resource.filter(|entry| says_something(&entry.value)) {
                file.resource = resource_rules(entry, report);
            }
            file.external.extend(rules(external, Api::External, report));
            file.custom.extend(rules(custom, Api::Custom, report));
        }
        Form::Bare(items) => {
            for item in items {
                let mut other = Report::default();
                file.custom.extend(rule(item, Api::Custom, report));
                let external = rule(item, Api::External, &mut other);
                file.external
                    .extend(external.filter(|_| other.errors.is_empty()));
            }
        }
        Form::Wrapped(entries) => {
            for entry in entries {
                report.error(entry.line, "a ConfigMap inside a ConfigMap");
            }
        }
        Form::Nothing => {}
    }
}

/// The rules that the chart has of its own; `line` is where they are asked for.
fn of_the_chart(line: usize) -> Vec<Rule> {
    let (mut file, _) = read(&default_rules::text());
    file.custom.iter_mut().for_each(|rule| rule.line = line);
    file.custom
}

/// Whether a value is more than the empty one that the chart's own values file has.
fn says_something(value: &Node) -> bool {
    match &value.kind {
        Kind::Map(entries) => !entries.is_empty(),
        Kind::List(items) => !items.is_empty(),
        Kind::Null => false,
        Kind::Scalar { .. } => true,
    }
}

fn rules(entry: Option<&Entry>, api: Api, report: &mut Report) -> Vec<Rule> {
    let items = entry.map_or(&[][..], |entry| report.items(entry));
    items
        .iter()
        .filter_map(|item| rule(item, api, report))
        .collect()
}

/// Reads the files that stand in a ConfigMap; their lines are told as those of the whole.
fn unwrap(entries: &[&Entry], file: &mut RulesFile, report: &mut Report) {
    for entry in entries {
        let Some(text) = report.text(&entry.value, &entry.key) else {
            continue;
        };
        let (mut own, mut inner) = (Report::default(), RulesFile::default());
        if let Some(tree) = parse(text, &mut own) {
            fill(form(&tree, &mut own), &mut inner, &mut own);
        }
        // The text of a block begins on the line after its key.
        let shift = |mut problem: Problem| {
            problem.line += entry.line;
            problem
        };
        report.errors.extend(own.errors.into_iter().map(shift));
        report.warnings.extend(own.warnings.into_iter().map(shift));
        for rule in inner.external.iter_mut().chain(&mut inner.custom) {
            rule.line += entry.line;
        }
        file.external.append(&mut inner.external);
        file.custom.append(&mut inner.custom);
        file.resource = file.resource.take().or(inner.resource);
    }
}
