//! `relabel_configs` and `metric_relabel_configs`.

use stillwell_engine::labels::{RelabelAction, RelabelRule, RelabelSpec};

use super::nearest::nearest;
use super::report::Report;
use super::tables;
use super::yaml::Entry;

pub(super) fn rules(entry: &Entry, report: &mut Report) -> Vec<RelabelRule> {
    let mut rules = Vec::new();
    for item in report.items(entry) {
        let mut spec = RelabelSpec::default();
        for field in report.fields(item, "a relabel rule", &tables::RELABEL) {
            let text = |into: &mut String, report: &mut Report| {
                // An empty value is a value here: it empties the separator or the replacement.
                report
                    .text(&field.value, &field.key)
                    .unwrap_or("")
                    .clone_into(into);
            };
            match field.key.as_str() {
                "source_labels" => spec.source_labels = report.texts(field),
                "separator" => text(&mut spec.separator, report),
                "regex" => text(&mut spec.regex, report),
                "target_label" => text(&mut spec.target_label, report),
                "replacement" => text(&mut spec.replacement, report),
                "modulus" => spec.modulus = report.number(field).unwrap_or(0),
                _ => spec.action = report.parsed(field, action).unwrap_or(spec.action),
            }
        }
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
        let hint =
            nearest(name, known).map_or(String::new(), |near| format!("; did you mean {near}?"));
        format!("{name:?} is no action{hint}")
    })
}
