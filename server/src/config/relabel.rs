//! `relabel_configs` and `metric_relabel_configs`.

use stillwell_engine::labels::{RelabelAction, RelabelRule, RelabelSpec};

use stillwell_engine::nearest::near_or_all;

use super::dialects;
use super::schema::{Key, decode, read};
use crate::yaml::Report;
use crate::yaml::{Entry, Node};

static RELABEL: &[Key<RelabelSpec>] = &[
    read("source_labels", |entry, spec, report| {
        spec.source_labels = report.texts(entry);
    }),
    // An empty value is a value here: it empties the separator or the replacement.
    read("separator", |entry, spec, report| {
        spec.separator = report.string(entry);
    }),
    read("regex", |entry, spec, report| {
        spec.regex = report.string(entry);
    }),
    read("modulus", |entry, spec, report| {
        spec.modulus = report.number(entry).unwrap_or(0);
    }),
    read("target_label", |entry, spec, report| {
        spec.target_label = report.string(entry);
    }),
    read("replacement", |entry, spec, report| {
        spec.replacement = report.string(entry);
    }),
    read("action", |entry, spec, report| {
        spec.action = report.parsed(entry, action).unwrap_or(spec.action);
    }),
];

pub(super) fn rules(entry: &Entry, report: &mut Report) -> Vec<RelabelRule> {
    rules_of(&entry.value, &entry.key, report)
}

/// The rules of a list; `name` names it.
pub(super) fn rules_of(node: &Node, name: &str, report: &mut Report) -> Vec<RelabelRule> {
    let mut rules = Vec::new();
    let items = report.list(node, name);
    report.refuse_empty(items, name);
    for item in items {
        let mut spec = RelabelSpec::default();
        decode(item, "a relabel rule", &[&RELABEL], &mut spec, report);
        match RelabelRule::new(spec) {
            Ok(rule) => rules.push(rule),
            Err(error) => report.error(item.line, format!("relabel rule: {error}")),
        }
    }
    rules
}

fn action(name: &str) -> Result<RelabelAction, String> {
    RelabelAction::from_name(name).ok_or_else(|| {
        let known = RelabelAction::ALL.map(RelabelAction::as_str);
        let hint = dialects::action(name).unwrap_or_else(|| near_or_all(name, known.into_iter()));
        format!("{name:?} is no action{hint}")
    })
}
