//! One signal as a user defines it: in `signals` of the configuration, or by a rule of a rules file.

use stillwell_adapters::objects::{Requirement, Selector};
use stillwell_adapters::time::show_duration_ms;
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{Features, Query};
use stillwell_engine::signal::{self, Policy};

use crate::floor::Floor;
use crate::yaml::Line;

/// A signal that scalers may ask for by name.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalSpec {
    /// The metric's name on every API, compared without regard to case.
    pub name: String,
    /// PromQL.
    pub expr: String,
    /// Who may read it; empty is everybody.
    pub namespaces: Vec<String>,
    /// Added to every element.
    pub labels: Labels,
    /// When its number may be told.
    pub policy: Policy,
    /// Where it stands in the file.
    pub line: Line,
    /// It is a rule of prometheus-adapter's for external metrics.
    pub from_rules: bool,
    /// Values that no selector of Kubernetes can hold are selected by a text that can.
    pub sanitized: bool,
    /// The least numbers that are told at certain times.
    pub floors: Vec<Floor>,
    /// Labels of its elements: it is read as one more metric for each of their values.
    pub for_each: Vec<String>,
}

impl SignalSpec {
    /// Whether a caller in this namespace may read it.
    pub fn allows(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|one| one == namespace)
    }

    /// Whether a caller of the external metrics API gets all of it, whatever it selects: prometheus-adapter passes the selector over
    /// where a rule's query does not hold it. Not where the query itself selects what the caller does not want, for its number is
    /// another's then.
    pub(crate) fn passes_over(&self, selector: &Selector) -> bool {
        let is_of_others = |requirement: &Requirement| match requirement {
            Requirement::Equal(label, value) => self.reads_only(label, &[value]).is_some(),
            Requirement::In(label, values) => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                self.reads_only(label, &values).is_some()
            }
            _ => false,
        };
        self.from_rules && !self.sanitized && !selector.requirements().iter().any(is_of_others)
    }

    /// What it reads nothing but, as `label="x"`, where that is none of `values`; `None` where it may be one of them.
    pub(crate) fn reads_only(&self, label: &str, values: &[&str]) -> Option<String> {
        if values.is_empty() {
            return None;
        }
        if let Some(fixed) = self.labels.get(label) {
            return (!values.contains(&fixed)).then(|| format!("{label}={fixed:?}"));
        }
        let query = Query::parse(&self.expr, &Features::all()).ok()?;
        if query.plan().writes_labels() {
            return None;
        }
        // Every selector has to be without them: what one side of an `or` leaves out may come from the other.
        let mut refusing = None;
        for used in query.selectors() {
            let of_label = used.matchers.iter().filter(|one| one.name() == label);
            let mut of_label =
                of_label.filter(|one| !values.iter().any(|value| one.matches(value)));
            refusing = Some(of_label.next()?.to_string());
        }
        refusing
    }

    /// What follows where samples are kept for a shorter time than its query reads; `None` where they are not.
    pub fn longer_than(&self, retention_ms: i64) -> Option<String> {
        let window_ms = signal::window_ms(&self.expr, &Features::all()).ok()??;
        (window_ms > retention_ms).then(|| {
            let show = |ms: i64| show_duration_ms(ms.unsigned_abs());
            format!(
                "its query reads {} back and samples are kept for {}: it is never covered; raise \
                 --storage.retention.time or shorten the window",
                show(window_ms),
                show(retention_ms)
            )
        })
    }
}

/// The name under which a signal is read for these values of its `for_each` labels: its own, and of each value the letters
/// and digits, in lower case, with `-` for all between them.
pub(crate) fn name_of<'v>(signal: &str, values: impl IntoIterator<Item = &'v str>) -> String {
    let mut name = signal.to_ascii_lowercase();
    for value in values {
        name.push('-');
        for c in value.chars() {
            match c.is_ascii_alphanumeric() {
                true => name.push(c.to_ascii_lowercase()),
                false if name.ends_with('-') => {}
                false => name.push('-'),
            }
        }
        name.truncate(name.trim_end_matches('-').len());
    }
    name
}

/// How values of a caller's selector are read: as they are, or sanitised.
pub(crate) fn selector(text: &str) -> Result<bool, String> {
    match text {
        "exact" => Ok(false),
        "sanitized" => Ok(true),
        _ => Err(format!("{text:?} is not exact or sanitized")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_letters_digits_and_single_dashes() {
        for (values, name) in [
            (&["Qwen/Qwen3-32B"][..], "queue-qwen-qwen3-32b"),
            (
                &["meta-llama/Llama-3.1-8B-Instruct"],
                "queue-meta-llama-llama-3-1-8b-instruct",
            ),
            (&["/a//b/"], "queue-a-b"),
            (&["p", "A B"], "queue-p-a-b"),
            (&["\u{fc}"], "queue"),
        ] {
            assert_eq!(name_of("Queue", values.iter().copied()), name);
        }
    }
}
