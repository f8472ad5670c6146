//! One rule of prometheus-adapter (`pkg/config/config.go`, `DiscoveryRule`), read strictly, as the adapter does.

use std::collections::BTreeMap;

use stillwell_engine::labels::{METRIC_NAME, MatchOp, Matcher, Re2};
use stillwell_engine::promql::{Features, Query, parse_metric_selector};

use super::naming::Naming;
use super::resources::{MISSING_NAMESPACE, Resources};
use super::template::{Arguments, Template};
use crate::signal_spec::selector;
use crate::yaml::{Entry, Node};
use crate::yaml::{Report, Table};

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Where it stands in its file.
    pub line: usize,
    /// Which series it is about.
    pub series: Vec<Matcher>,
    /// Fits series names, unanchored, or must not.
    pub filters: Vec<(Re2, bool)>,
    /// What the metric is called.
    pub naming: Naming,
    /// The query.
    pub query: Template,
    /// Which label names which kind of object.
    pub resources: Resources,
    /// Values that no selector of Kubernetes can hold are selected by a text that can. An extension: the adapter does not
    /// start on a rule with the key `selector`.
    pub sanitized: bool,
}

/// What a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// External metrics: `type: External`.
    External,
    /// Metrics of objects: `type: Pods` and `type: Object`.
    Custom,
}

const RULE: Table = Table {
    read: &[
        "seriesQuery",
        "seriesFilters",
        "resources",
        "name",
        "metricsQuery",
        "selector",
    ],
    ignored: &[],
    refused: &[],
};

const FILTER: Table = Table {
    read: &["is", "isNot"],
    ignored: &[],
    refused: &[],
};

impl Rule {
    /// Whether the query differs with what its caller selects.
    pub fn reads_selector(&self) -> bool {
        reads_selector(&self.query)
    }

    /// Whether an external query is to be restricted to the caller's namespace and nothing says which label holds it. The
    /// adapter starts with such a rule and refuses each read of its metrics.
    pub fn lacks_namespace(&self) -> bool {
        lacks_namespace(&self.resources, &self.query)
    }

    /// The label that holds the namespace, where the namespace of the caller restricts an external query.
    pub fn namespace_label(&self) -> Option<String> {
        let restricts = self.resources.namespaced;
        restricts
            .then(|| self.resources.namespace_label())
            .flatten()
    }
}

fn reads_selector(query: &Template) -> bool {
    query.reads("LabelMatchers") || query.reads("LabelValuesByName")
}

fn lacks_namespace(resources: &Resources, query: &Template) -> bool {
    resources.namespaced && resources.namespace_label().is_none() && reads_selector(query)
}

/// The one series name that the rule's `seriesQuery` fits, where it names it.
pub fn series_name(rule: &Rule) -> Option<&str> {
    let of_name = |matcher: &&Matcher| matcher.name() == METRIC_NAME;
    let mut named = rule.series.iter().filter(of_name);
    let equal = named.clone().find(|one| one.op() == MatchOp::Equal);
    // `__name__=~"^a$"`, as it is often written, is a name as well.
    let literal = || {
        let regex = named.find(|one| one.op() == MatchOp::Regex)?;
        let text = regex.value().trim_start_matches('^').trim_end_matches('$');
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        (!text.is_empty() && text.chars().all(plain)).then_some(text)
    };
    equal.map(|matcher| matcher.value()).or_else(literal)
}

/// The metric that this series makes; `None` where a filter or `name.matches` leaves it out.
pub fn metric_name(rule: &Rule, series: &str) -> Option<String> {
    let left_out = rule
        .filters
        .iter()
        .any(|(regex, wanted)| regex.is_match(series) != *wanted);
    if left_out {
        None
    } else {
        rule.naming.of(series)
    }
}

/// Reads a rule.
pub(super) fn rule(node: &Node, api: Api, report: &mut Report) -> Option<Rule> {
    let errors = report.errors.len();
    let (mut series, mut filters, mut query) = (None, Vec::new(), None);
    let (mut resources, mut name, mut sanitized) = (Resources::default(), None, false);
    for entry in report.fields(node, "a rule", &RULE) {
        match entry.key.as_str() {
            "seriesQuery" => {
                series = report.parsed(entry, |text| parse_metric_selector(text.trim()));
            }
            "seriesFilters" => filters = read_filters(entry, report),
            "resources" => resources = Resources::read(entry, report),
            "name" => name = Some(entry),
            "selector" => sanitized = report.parsed(entry, selector).unwrap_or(false),
            _ => {
                query = report
                    .parsed(entry, Template::parse)
                    .map(|template| (template, entry.line));
            }
        }
    }
    if report.errors.len() == errors {
        for (key, missing) in [
            ("seriesQuery", series.is_none()),
            ("metricsQuery", query.is_none()),
        ] {
            if missing {
                report.error(node.line, format!("a rule needs a {key}"));
            }
        }
    }
    let naming = Naming::read(name, node.line, report)?;
    let (query, query_line) = query?;
    if report.errors.len() == errors {
        match api {
            Api::External if lacks_namespace(&resources, &query) => report.warn(
                node.line,
                format!("{MISSING_NAMESPACE}; until then each read of its metrics is refused, as by prometheus-adapter"),
            ),
            Api::External => {}
            Api::Custom if resources.is_empty() => report.error(
                node.line,
                "resources: which label names which object? Give a template (template: <<.Resource>>) or overrides \
                 (namespace: {resource: namespace}, pod: {resource: pod}); without them prometheus-adapter serves nothing",
            ),
            Api::Custom => {}
        }
    }
    check_query(&query, api, query_line, report);
    Some(Rule {
        line: node.line,
        series: series?,
        filters,
        naming,
        query,
        resources,
        sanitized,
    })
}

/// Filled in as for a caller who selects something, and as for one who selects nothing, so that what is no query is found now and
/// not by the HPA.
fn check_query(query: &Template, api: Api, line: usize, report: &mut Report) {
    let object = ["object".to_owned()];
    let group_by = match api {
        Api::External => &[][..],
        Api::Custom => &object[..],
    };
    if let Err(why) = checked(query, MATCHER, group_by) {
        return report.error(line, format!("metricsQuery: {why}"));
    }
    if api == Api::External
        && let Err(why) = checked(query, "", group_by)
    {
        report.warn(
            line,
            format!("metricsQuery: without a labelSelector, and where the namespace is no label, it is no query: {why}"),
        );
    }
}

const MATCHER: &str = "object=\"a\"";

fn checked(query: &Template, matchers: &str, group_by: &[String]) -> Result<(), String> {
    let arguments = arguments("series_name", matchers, BTreeMap::new(), group_by);
    let text = query
        .render(&arguments)
        .map_err(|error| error.to_string())?;
    let text = text.trim();
    if text.is_empty() {
        return Err("it renders to nothing".to_owned());
    }
    // What a value makes of the query is seen when there is one.
    match Query::parse(text, &Features::all()) {
        Err(error) if !query.reads("LabelValuesByName") => Err(format!("{error}, in {text}")),
        _ => Ok(()),
    }
}

/// What every metricsQuery is given. For external metrics the adapter groups by nothing.
pub(super) fn arguments(
    series: &str,
    matchers: &str,
    values: BTreeMap<String, String>,
    group_by: &[String],
) -> Arguments {
    let mut arguments = Arguments::default();
    arguments.texts.insert("Series", series.to_owned());
    arguments.texts.insert("LabelMatchers", matchers.to_owned());
    arguments.texts.insert("GroupBy", group_by.join(","));
    arguments.maps.insert("LabelValuesByName", values);
    arguments.lists.insert("GroupBySlice", group_by.to_vec());
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

/// The engine's patterns fit whole texts; the adapter's fit anywhere.
fn unanchored(pattern: &str) -> String {
    format!("(?s:.*?)(?:{pattern})(?s:.*)")
}
