//! What an Alertmanager is told of one alert.

use stillwell_adapters::json;
use stillwell_adapters::time::rfc3339;
use stillwell_engine::labels::{Labels, RelabelRule, relabel};

use crate::rule_groups::Notification;

impl Notification {
    /// With labels that every alert of this server has; its own win.
    pub(super) fn with_external_labels(mut self, external: &Labels) -> Notification {
        if !external.is_empty() {
            let mut labels = self.labels.to_builder();
            for (name, value) in external.iter() {
                if labels.get(name).is_empty() {
                    labels.set(name, value);
                }
            }
            self.labels = labels.build();
        }
        self
    }

    /// As the rules leave it; `None` where they drop it.
    pub(super) fn relabelled(mut self, rules: &[RelabelRule]) -> Option<Notification> {
        if !rules.is_empty() {
            let mut labels = self.labels.to_builder();
            if !relabel(rules, &mut labels) {
                return None;
            }
            self.labels = labels.build();
        }
        Some(self)
    }

    /// As a `postableAlert`.
    fn write(&self, out: &mut String) {
        out.push('{');
        if !self.annotations.is_empty() {
            out.push_str("\"annotations\":");
            json::object(out, self.annotations.iter());
            out.push(',');
        }
        out.push_str("\"endsAt\":");
        json::string(out, &rfc3339(self.ends_at));
        out.push_str(",\"startsAt\":");
        json::string(out, &rfc3339(self.starts_at));
        out.push_str(",\"generatorURL\":");
        json::string(out, &self.generator_url);
        out.push_str(",\"labels\":");
        json::object(out, self.labels.iter());
        out.push('}');
    }
}

/// The body of a request.
pub(super) fn body<'n>(batch: impl IntoIterator<Item = &'n Notification>) -> String {
    let mut out = String::from("[");
    json::joined(&mut out, batch, |out, one| one.write(out));
    out.push(']');
    out
}

#[cfg(test)]
pub(super) fn named(name: &str) -> Notification {
    use stillwell_engine::labels;
    Notification {
        labels: labels! {"alertname" => name},
        annotations: labels! {"summary" => "\"quoted\""},
        starts_at: stillwell_engine::Timestamp::from_ms(1_000),
        ends_at: stillwell_engine::Timestamp::from_ms(61_500),
        generator_url: "http://h/graph?g0.expr=up&g0.tab=1".into(),
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;
    use stillwell_engine::labels::RelabelSpec;

    use super::*;

    #[test]
    fn it_is_written_as_a_postable_alert() {
        let body = body([&named("A")]);
        let read: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let expected = serde_json::json!([{
            "annotations": {"summary": "\"quoted\""},
            "startsAt": "1970-01-01T00:00:01Z",
            "endsAt": "1970-01-01T00:01:01.5Z",
            "generatorURL": "http://h/graph?g0.expr=up&g0.tab=1",
            "labels": {"alertname": "A"},
        }]);
        assert_eq!(read, expected);
    }

    #[test]
    fn its_own_labels_win_and_rules_may_drop_it() {
        let external = labels! {"zone" => "z", "alertname" => "other"};
        let one = named("A").with_external_labels(&external);
        assert_eq!(one.labels, labels! {"alertname" => "A", "zone" => "z"});
        let rule = |action: &str| {
            let spec = RelabelSpec {
                source_labels: vec!["zone".to_owned()],
                regex: "z".to_owned(),
                action: stillwell_engine::labels::RelabelAction::from_name(action).expect("known"),
                ..RelabelSpec::default()
            };
            [RelabelRule::new(spec).expect("valid")]
        };
        assert_eq!(one.clone().relabelled(&rule("drop")), None);
        assert_eq!(one.clone().relabelled(&rule("keep")), Some(one));
    }
}
