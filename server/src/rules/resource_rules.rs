//! `resourceRules` of prometheus-adapter (`pkg/config/config.go`, `ResourceRules`): which queries give the CPU and memory of
//! containers and nodes, for `metrics.k8s.io`.

use std::collections::BTreeMap;

use stillwell_adapters::objects::Kind;
use stillwell_engine::promql::{Features, Query, QueryError, parse_duration_ms};

use super::matchers::{Matchers, Objects};
use super::resources::Resources;
use super::rule::arguments;
use super::template::Template;
use crate::yaml::{Entry, Line, Report, Table};

/// Both resources.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceRules {
    /// In cores.
    pub cpu: ResourceRule,
    /// In bytes.
    pub memory: ResourceRule,
    /// What is told as the window of the numbers; it should be that of the queries.
    pub window_ms: u64,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceRule {
    /// Where it stands in its file.
    pub line: Line,
    container_query: Template,
    node_query: Template,
    /// Which labels name pods, nodes and namespaces.
    pub resources: Resources,
    /// The label that names a container.
    pub container_label: String,
}

const RULES: Table = Table {
    read: &["cpu", "memory", "window"],
    ignored: &[],
    refused: &[],
};
const RULE: Table = Table {
    read: &["containerQuery", "nodeQuery", "resources", "containerLabel"],
    ignored: &[],
    refused: &[],
};

/// Reads the section.
pub(super) fn resource_rules(entry: &Entry, report: &mut Report) -> Option<ResourceRules> {
    let (mut cpu, mut memory, mut window_ms) = (None, None, None);
    let errors = report.errors.len();
    for field in report.fields(&entry.value, &entry.key, &RULES) {
        match field.key.as_str() {
            "window" => {
                window_ms = report.parsed(field, |text| parse_duration_ms(text.trim()));
            }
            "cpu" => cpu = resource_rule(field, report),
            _ => memory = resource_rule(field, report),
        }
    }
    if report.errors.len() == errors {
        for (key, missing) in [("cpu", cpu.is_none()), ("memory", memory.is_none())] {
            if missing {
                report.error(
                    entry.line,
                    format!(
                        "{} needs {key}: a pod is told of with both or not at all",
                        entry.key
                    ),
                );
            }
        }
    }
    Some(ResourceRules {
        cpu: cpu?,
        memory: memory?,
        window_ms: window_ms.map_or(0, i64::unsigned_abs),
    })
}

fn resource_rule(entry: &Entry, report: &mut Report) -> Option<ResourceRule> {
    let (mut container, mut node) = (None, None);
    let (mut resources, mut container_label) = (Resources::default(), String::new());
    let errors = report.errors.len();
    for field in report.fields(&entry.value, &entry.key, &RULE) {
        match field.key.as_str() {
            "containerQuery" => container = query(field, report),
            "nodeQuery" => node = query(field, report),
            "resources" => resources = Resources::read(field, report),
            _ => container_label = report.string(field).trim().to_owned(),
        }
    }
    if report.errors.len() == errors {
        for (key, missing) in [
            ("containerQuery", container.is_none()),
            ("nodeQuery", node.is_none()),
            ("resources", resources.is_empty()),
            ("containerLabel", container_label.is_empty()),
        ] {
            if missing {
                report.error(entry.line, format!("{} needs {key}", entry.key));
            }
        }
    }
    Some(ResourceRule {
        line: Line(entry.line),
        container_query: container?,
        node_query: node?,
        resources,
        container_label,
    })
}

/// Filled in once, so that what cannot be a query is found now.
fn query(field: &Entry, report: &mut Report) -> Option<Template> {
    let template = report.parsed(field, Template::parse)?;
    let group_by = ["object".to_owned()];
    let filled = template.render(&arguments("", "object=\"a\"", BTreeMap::new(), &group_by));
    let checked = filled.map_err(|error| error.to_string()).and_then(|text| {
        Query::parse(text.trim(), &Features::default()).map_err(|error| error.to_string())
    });
    match checked {
        Ok(_) => Some(template),
        Err(why) => {
            report.error(field.line, format!("{}: {why}", field.key));
            None
        }
    }
}

impl ResourceRule {
    /// The query for the containers of pods of a namespace, by pod and container. `label` names pods.
    pub fn of_pods(
        &self,
        namespace: &str,
        (label, pods): (&str, Objects<'_>),
    ) -> Result<String, QueryError> {
        let namespace_label = self.resources.namespace_label().ok_or_else(|| {
            QueryError::Execution(format!(
                "resourceRules, line {}: no label holds the namespace: add `namespace: {{resource: namespace}}` to \
                 resources.overrides",
                self.line
            ))
        })?;
        let matchers = Matchers::default().equal(&namespace_label, namespace);
        let group_by = [label.to_owned(), self.container_label.clone()];
        render(
            &self.container_query,
            matchers.objects(label, pods),
            &group_by,
        )
    }

    /// The query for nodes, by node. `label` names them.
    pub fn of_nodes(&self, (label, nodes): (&str, Objects<'_>)) -> Result<String, QueryError> {
        let matchers = Matchers::default().objects(label, nodes);
        render(&self.node_query, matchers, &[label.to_owned()])
    }

    /// The label that names objects of this kind. Error: there is none.
    pub fn label(
        &self,
        kind: &Kind,
        kinds: &stillwell_adapters::objects::Kinds,
    ) -> Result<String, String> {
        self.resources.label(kind, kinds).ok_or_else(|| {
            let (line, singular) = (self.line, &kind.singular);
            format!(
                "resourceRules, line {line}: no label names a {singular}: add `{singular}: {{resource: {singular}}}` \
                 to resources.overrides"
            )
        })
    }
}

fn render(
    template: &Template,
    matchers: Matchers,
    group_by: &[String],
) -> Result<String, QueryError> {
    let (text, values) = matchers.finish();
    template
        .render(&arguments("", &text, values, group_by))
        .map_err(|error| QueryError::Execution(format!("resourceRules: {error}")))
}
