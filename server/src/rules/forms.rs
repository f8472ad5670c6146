//! The forms in which people publish rules: the values of prometheus-adapter's Helm chart, the file that the adapter
//! reads, the ConfigMap around it, and a bare list of rules.

use crate::yaml::{Entry, Kind, Node};
use crate::yaml::{Report, Table};

/// The nodes of the lists that a file holds.
#[derive(Debug, Default)]
pub(super) struct Lists<'n> {
    /// Rules for external metrics.
    pub(super) external: Option<&'n Entry>,
    /// Rules for metrics of objects.
    pub(super) custom: Option<&'n Entry>,
    /// CPU and memory of pods and nodes.
    pub(super) resource: Option<&'n Entry>,
    /// Where the rules that the Helm chart has of its own are asked for.
    pub(super) default: Option<usize>,
}

/// What a file is.
pub(super) enum Form<'n> {
    /// It holds rules.
    Rules(Lists<'n>),
    /// It is a list of rules, and does not say of which kind.
    Bare(&'n [Node]),
    /// The text of another file stands in it.
    Wrapped(Vec<&'n Entry>),
    /// There is nothing to read.
    Nothing,
}

const HELM_RULES: Table = Table {
    read: &["external", "custom", "resource", "default", "existing"],
    ignored: &[],
    refused: &[],
};

const CONFIG_FILE: Table = Table {
    read: &["externalRules", "rules", "resourceRules"],
    ignored: &[],
    refused: &[],
};

/// Finds out what a file is.
pub(super) fn form<'n>(tree: &'n Node, report: &mut Report) -> Form<'n> {
    match &tree.kind {
        Kind::List(items) => {
            report.warn(
                tree.line,
                "a list of rules without a key: read as rules for objects (rules:) and, where a rule can be one, for \
                 external metrics (externalRules:); prometheus-adapter itself does not start on this",
            );
            Form::Bare(items)
        }
        Kind::Map(entries) => of_mapping(tree, entries, report),
        _ => {
            report.fields(tree, "the rules file", &CONFIG_FILE);
            Form::Nothing
        }
    }
}

fn of_mapping<'n>(tree: &'n Node, entries: &'n [Entry], report: &mut Report) -> Form<'n> {
    if text(entries, "kind") == Some("ConfigMap") {
        return config_map(tree, entries, report);
    }
    if let Some(sub_chart) = value(entries, "prometheus-adapter")
        && let Kind::Map(values) = &sub_chart.kind
    {
        return of_mapping(sub_chart, values, report); // values of a chart that contains the adapter's
    }
    let helm = value(entries, "rules").filter(|rules| matches!(rules.kind, Kind::Map(_)));
    let mut lists = Lists::default();
    // The other values of the chart are about the adapter's own deployment.
    let (node, what, table) = match helm {
        Some(rules) => (rules, "rules", &HELM_RULES),
        None => (tree, "the rules file", &CONFIG_FILE),
    };
    for entry in report.fields(node, what, table) {
        match entry.key.as_str() {
            "external" | "externalRules" => lists.external = Some(entry),
            "custom" | "rules" => lists.custom = Some(entry),
            "default" if matches!(entry.value.kind, Kind::Null) => {}
            "default" => {
                if report.flag(entry) == Some(true) {
                    lists.default = Some(entry.line);
                }
            }
            "existing" => warn_of_existing(entry, report),
            _ => lists.resource = Some(entry),
        }
    }
    Form::Rules(lists)
}

/// The chart reads its rules from a ConfigMap of this name then, and none of those beside it.
fn warn_of_existing(entry: &Entry, report: &mut Report) {
    if let Kind::Scalar { text, .. } = &entry.value.kind
        && !text.is_empty()
    {
        report.warn(
            entry.line,
            format!("existing: the ConfigMap {text:?} is not read; name its contents in rules_files instead"),
        );
    }
}

fn config_map<'n>(tree: &'n Node, entries: &'n [Entry], report: &mut Report) -> Form<'n> {
    let data = value(entries, "data").map(|data| &data.kind);
    let Some(Kind::Map(data)) = data else {
        report.error(
            tree.line,
            "a ConfigMap without data; the adapter's rules stand in its key config.yaml",
        );
        return Form::Nothing;
    };
    // Other keys may hold other programs' files.
    let named = data.iter().filter(|entry| entry.key == "config.yaml");
    let named: Vec<&Entry> = named.collect();
    match named.is_empty() {
        false => Form::Wrapped(named),
        true => Form::Wrapped(data.iter().collect()),
    }
}

fn value<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Node> {
    let entry = entries.iter().find(|entry| entry.key == key)?;
    Some(&entry.value)
}

fn text<'n>(entries: &'n [Entry], key: &str) -> Option<&'n str> {
    match &value(entries, key)?.kind {
        Kind::Scalar { text, .. } => Some(text),
        _ => None,
    }
}
