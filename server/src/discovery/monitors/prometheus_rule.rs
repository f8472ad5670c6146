//! prometheus-operator's PrometheusRule as a rule file (pkg/apis/monitoring/v1/prometheusrule_types.go).
//!
//! A rule file is read by line, an object has none: it is written with one line for each group and for each rule, so that
//! a mistake can be told by group and rule. An object with a mistake gives no rules at all, as the operator refuses it.

use serde_json::{Map, Value};
use stillwell_engine::promql::Features;

use crate::config::Report;
use crate::rule_groups::{RuleFile, read_text};

/// What only Thanos reads.
const THANOS: &str = "partial_response_strategy";

/// The rules of the object `key` (`namespace/name`). Error: which of them are wrong, and how.
pub(super) fn rules(key: &str, spec: &Value, features: &Features) -> Result<RuleFile, String> {
    let path = format!("PrometheusRule {key}");
    let (text, places) = written(spec);
    let mut report = Report::default();
    let groups = read_text(&text, &path, features, &mut report);
    match report.errors.first() {
        None => Ok(RuleFile { path, groups }),
        Some(first) => {
            let place = first.line.checked_sub(1).and_then(|at| places.get(at));
            let place = place.map_or("groups", String::as_str);
            let more = match report.errors.len() - 1 {
                0 => String::new(),
                more => format!("; and {more} more mistakes"),
            };
            Err(format!("{place}: {}{more}", first.message))
        }
    }
}

/// The text of a rule file, and what stands on each of its lines.
fn written(spec: &Value) -> (String, Vec<String>) {
    let groups = spec["groups"].as_array().map_or(&[][..], Vec::as_slice);
    if groups.is_empty() {
        return ("groups: []\n".to_owned(), Vec::new());
    }
    let mut text = "groups:\n".to_owned();
    let mut places = vec!["groups".to_owned()];
    for group in groups {
        let mut head = stripped(group);
        let name = text_of(&head, "name");
        let rules = match head.remove("rules") {
            Some(Value::Array(rules)) => rules,
            _ => Vec::new(),
        };
        text.push_str("- rules:\n");
        places.push(format!("group {name:?}"));
        for rule in &rules {
            let rule = stripped(rule);
            places.push(format!("group {name:?}, {}", rule_name(&rule)));
            text.push_str(&format!("  - {}\n", Value::Object(rule)));
        }
        for (key, value) in head {
            places.push(format!("group {name:?}"));
            text.push_str(&format!("  {}: {value}\n", Value::String(key)));
        }
    }
    (text, places)
}

/// The keys that say something: the operator leaves out what is empty, and what Thanos alone reads.
fn stripped(object: &Value) -> Map<String, Value> {
    let mut keys = object.as_object().cloned().unwrap_or_default();
    keys.retain(|key, value| {
        key != THANOS && !value.is_null() && value.as_str().is_none_or(|text| !text.is_empty())
    });
    keys
}

fn rule_name(rule: &Map<String, Value>) -> String {
    match rule.contains_key("alert") {
        true => format!("alert {:?}", text_of(rule, "alert")),
        false => format!("record {:?}", text_of(rule, "record")),
    }
}

fn text_of(keys: &Map<String, Value>, key: &str) -> String {
    keys.get(key)
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_operator_takes_is_read_and_a_mistake_is_named_by_group_and_rule() {
        let group =
            |name: &str, rule: Value| json!({"name": name, "interval": "", "rules": [rule]});
        let good = json!({"record": "a:b", "expr": 1, "labels": {"x": "y"}});
        let alert = json!({"alert": "A", "expr": "up == 0", "for": "1m", "keep_firing_for": "2m", "annotations": {}});
        let spec = json!({"groups": [
            {"name": "g", "interval": "15s", "limit": 3, "labels": {"l": "v"}, "query_offset": "1s",
             "partial_response_strategy": "warn", "rules": [good, alert]},
        ]});
        let file = rules("n/o", &spec, &Features::default()).expect("good");
        assert_eq!(
            (file.rule_count(), file.path.as_str()),
            (2, "PrometheusRule n/o")
        );
        let read = &file.groups[0];
        assert_eq!((read.interval_ms, read.limit), (Some(15_000), 3));
        assert_eq!(read.rules[0].expr, "1");

        #[rustfmt::skip]
        let bad = [
            (json!({"record": "a:b", "expr": "sum("}), "group \"h\", record \"a:b\": expr:"),
            (json!({"alert": "A", "expr": "1", "for": "soon"}), "group \"h\", alert \"A\": for"),
            (json!({"record": "a:b", "expr": "1", "for": "1m"}), "group \"h\", record \"a:b\": for belongs"),
            (json!({"expr": "1"}), "group \"h\", record \"\": a rule needs record or alert"),
            (json!({"record": "a:b", "expr": "1", "annotations": 7}), "group \"h\", record \"a:b\":"),
            (json!("rule"), "group \"h\", record \"\": a rule needs"),
        ];
        for (rule, reason) in bad {
            let spec = json!({"groups": [group("g", good.clone()), group("h", rule)]});
            let why = rules("n/o", &spec, &Features::default()).expect_err("bad");
            assert!(why.starts_with(reason), "{why}");
        }
        for (spec, count) in [
            (json!({}), 0),
            (json!({"groups": []}), 0),
            (json!({"groups": [group("g", good)]}), 1),
        ] {
            let file = rules("n/o", &spec, &Features::default()).expect("good");
            assert_eq!(file.rule_count(), count);
        }
    }
}
