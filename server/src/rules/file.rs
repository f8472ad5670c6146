//! A rules file of prometheus-adapter, as it is: the values of its Helm chart (`rules.external`) or the contents of its
//! ConfigMap (`externalRules`). Strict, as the adapter is: an unknown key is an error with its line.

use stillwell_engine::labels::{Matcher, Re2};
use stillwell_engine::promql::parse_metric_selector;

use super::template::{Arguments, Template};
use crate::config::yaml::{self, Entry, Node};
use crate::config::{Problem, Report, Table};

/// One rule for external metrics.
#[derive(Debug)]
pub struct Rule {
    /// Where it stands in its file.
    pub line: usize,
    /// Which series it is about.
    pub series: Vec<Matcher>,
    /// Fits series names, unanchored, or must not.
    pub filters: Vec<(Re2, bool)>,
    /// Fits a series name, unanchored as a whole; its groups name the metric.
    pub matches: Re2,
    /// The metric's name, a template over those groups.
    pub name: String,
    /// The query.
    pub query: Template,
    /// The label that holds the namespace, where the namespace of the caller restricts the query.
    pub namespace_label: Option<String>,
}

const HELM: Table = Table {
    read: &["rules"],
    ignored: &[],
    refused: &[],
};

const CUSTOM: &str = "custom metrics are not served yet; only external ones are";
const RESOURCE: &str = "resource metrics are not served; metrics-server does that";

const HELM_RULES: Table = Table {
    read: &["external"],
    ignored: &[
        ("default", "the chart's default rules make custom metrics"),
        ("custom", CUSTOM),
        ("resource", RESOURCE),
        (
            "existing",
            "name the ConfigMap's contents in rules_files instead",
        ),
    ],
    refused: &[],
};

const CONFIG_MAP: Table = Table {
    read: &["externalRules"],
    ignored: &[("rules", CUSTOM), ("resourceRules", RESOURCE)],
    refused: &[],
};

const RULE: Table = Table {
    read: &[
        "seriesQuery",
        "seriesFilters",
        "resources",
        "name",
        "metricsQuery",
    ],
    ignored: &[],
    refused: &[],
};

const RESOURCES: Table = Table {
    read: &["template", "overrides", "namespaced"],
    ignored: &[],
    refused: &[],
};
const OVERRIDE: Table = Table {
    read: &["group", "resource"],
    ignored: &[],
    refused: &[],
};
const NAME: Table = Table {
    read: &["matches", "as"],
    ignored: &[],
    refused: &[],
};
const FILTER: Table = Table {
    read: &["is", "isNot"],
    ignored: &[],
    refused: &[],
};

/// Reads the external rules of a file.
pub fn read(text: &str) -> (Vec<Rule>, Report) {
    let mut report = Report::default();
    let tree = match yaml::parse(text) {
        Ok(tree) => tree,
        Err(problem) => {
            report.errors.push(problem);
            return (Vec::new(), report);
        }
    };
    let list = match helm(&tree) {
        // The other values of the chart are about the adapter's own deployment.
        Some(rules) => report
            .fields(rules, "rules", &HELM_RULES)
            .into_iter()
            .next(),
        None => report
            .fields(&tree, "the rules file", &CONFIG_MAP)
            .into_iter()
            .next(),
    };
    let items = list.map_or(&[][..], |entry| report.items(entry));
    let rules = items
        .iter()
        .filter_map(|item| rule(item, &mut report))
        .collect();
    report.errors.sort_by_key(|problem: &Problem| problem.line);
    (rules, report)
}

/// The value of `rules`, where it is a mapping: the Helm form. In a ConfigMap it is a list.
fn helm(tree: &Node) -> Option<&Node> {
    let yaml::Kind::Map(entries) = &tree.kind else {
        return None;
    };
    let rules = entries
        .iter()
        .find(|entry| HELM.read.contains(&entry.key.as_str()))?;
    matches!(rules.value.kind, yaml::Kind::Map(_)).then_some(&rules.value)
}

fn rule(node: &Node, report: &mut Report) -> Option<Rule> {
    let errors = report.errors.len();
    let (mut series, mut filters, mut query) = (None, Vec::new(), None);
    let (mut matches, mut name) = (String::new(), String::new());
    let mut namespace_label = None;
    let mut namespaced = true;
    for entry in report.fields(node, "a rule", &RULE) {
        match entry.key.as_str() {
            "seriesQuery" => series = report.parsed(entry, parse_metric_selector),
            "seriesFilters" => filters = read_filters(entry, report),
            "resources" => (namespaced, namespace_label) = resources(entry, report),
            "name" => {
                for field in report.fields(&entry.value, "name", &NAME) {
                    let text = report
                        .text(&field.value, &field.key)
                        .unwrap_or("")
                        .to_owned();
                    *(if field.key == "matches" {
                        &mut matches
                    } else {
                        &mut name
                    }) = text;
                }
            }
            _ => {
                query = report
                    .parsed(entry, Template::parse)
                    .map(|template| (template, entry.line))
            }
        }
    }
    if series.is_none() && report.errors.len() == errors {
        report.error(node.line, "a rule needs a seriesQuery");
    }
    if query.is_none() && report.errors.len() == errors {
        report.error(node.line, "a rule needs a metricsQuery");
    }
    let (matches, name) = naming(node.line, &matches, name, report)?;
    if namespaced
        && namespace_label.is_none()
        && report.errors.len() == errors
        && uses_matchers(query.as_ref())
    {
        report.error(
            node.line,
            "resources: which label holds the namespace? Give overrides (namespace: {resource: namespace}), a template, or namespaced: false",
        );
    }
    let namespace_label = namespace_label.filter(|_| namespaced);
    let (query, query_line) = query?;
    check_query(&query, query_line, report);
    Some(Rule {
        line: node.line,
        series: series?,
        filters,
        matches,
        name,
        query,
        namespace_label,
    })
}

/// Kubernetes' own name for it.
const NAMESPACE: &str = "namespace";

/// Whether the query differs with what its caller selects.
fn uses_matchers(query: Option<&(Template, usize)>) -> bool {
    let fill = |template: &Template, matchers: &str| {
        template
            .render(&arguments("series_name", matchers, Default::default()))
            .ok()
    };
    query.is_some_and(|(template, _)| fill(template, "a") != fill(template, "b"))
}

/// Filled in once with nothing special, so that a field that does not exist is found now and not by the HPA.
fn check_query(query: &Template, line: usize, report: &mut Report) {
    match query.render(&arguments("series_name", "", Default::default())) {
        Err(error) => report.error(line, format!("metricsQuery: {error}")),
        Ok(text) if text.trim().is_empty() => {
            report.error(line, "metricsQuery: it renders to nothing");
        }
        Ok(_) => {}
    }
}

/// What every metricsQuery is given. For external metrics the adapter groups by nothing.
pub(super) fn arguments(
    series: &str,
    matchers: &str,
    values: std::collections::BTreeMap<String, String>,
) -> Arguments {
    let mut arguments = Arguments::default();
    arguments.texts.insert("Series", series.to_owned());
    arguments.texts.insert("LabelMatchers", matchers.to_owned());
    arguments.texts.insert("GroupBy", String::new());
    arguments.maps.insert("LabelValuesByName", values);
    arguments.lists.insert("GroupBySlice", Vec::new());
    arguments
}

fn read_filters(entry: &Entry, report: &mut Report) -> Vec<(Re2, bool)> {
    let mut filters = Vec::new();
    for item in report.items(entry) {
        let fields = report.fields(item, "a series filter", &FILTER);
        let [field] = fields.as_slice() else {
            report.error(item.line, "a series filter has exactly one of is and isNot");
            continue;
        };
        let regex = report.parsed(field, |text| Re2::new(&unanchored(text)));
        filters.extend(regex.map(|regex| (regex, field.key == "is")));
    }
    filters
}

/// Whether the caller's namespace restricts the query, and by which label.
fn resources(entry: &Entry, report: &mut Report) -> (bool, Option<String>) {
    let (mut namespaced, mut label) = (true, None);
    for field in report.fields(&entry.value, "resources", &RESOURCES) {
        match field.key.as_str() {
            "namespaced" => namespaced = report.flag(field).unwrap_or(true),
            "template" => {
                let text = report.parsed(field, |text| {
                    let mut given = Arguments::default();
                    given.texts.insert("Group", String::new());
                    given.texts.insert("Resource", NAMESPACE.to_owned());
                    Template::parse(text)?.render(&given)
                });
                label = label.or(text);
            }
            _ => {
                let yaml::Kind::Map(overrides) = &field.value.kind else {
                    report.error(
                        field.line,
                        "overrides must be a mapping of labels to resources",
                    );
                    continue;
                };
                for one in overrides {
                    for part in report.fields(&one.value, "an override", &OVERRIDE) {
                        let resource = report.text(&part.value, &part.key).unwrap_or("");
                        if part.key == "resource" && matches!(resource, "namespace" | "namespaces")
                        {
                            label = Some(one.key.clone());
                        }
                    }
                }
            }
        }
    }
    (namespaced, label)
}

/// The adapter's defaults: `as` is the whole match, or the one group there is.
fn naming(line: usize, matches: &str, name: String, report: &mut Report) -> Option<(Re2, String)> {
    let pattern = if matches.is_empty() { ".*" } else { matches };
    let regex = match Re2::new(&unanchored(pattern)) {
        Ok(regex) => regex,
        Err(error) => {
            report.error(line, format!("name.matches: {error}"));
            return None;
        }
    };
    if !name.is_empty() {
        return Some((regex, name));
    }
    // An unescaped bracket that opens a capturing group.
    let bytes = pattern.as_bytes();
    let opens = |at: usize| {
        bytes[at] == b'('
            && (at == 0 || bytes[at - 1] != b'\\')
            && (bytes.get(at + 1) != Some(&b'?') || pattern[at..].starts_with("(?P<"))
    };
    match (0..bytes.len()).filter(|at| opens(*at)).count() {
        0 => Some((regex, "$0".to_owned())),
        1 => Some((regex, "$1".to_owned())),
        groups => {
            report.error(
                line,
                format!("name: matches has {groups} groups; say which one by as"),
            );
            None
        }
    }
}

/// The engine's patterns fit whole texts; the adapter's fit anywhere.
fn unanchored(pattern: &str) -> String {
    format!("(?s:.*?)(?:{pattern})(?s:.*)")
}
