//! Values of templates, as Go prints and counts them.

use std::collections::BTreeMap;

use stillwell_engine::labels::Labels;
use stillwell_engine::number_text::push_general;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// What the template was given.
    Root,
    Nothing,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Map(BTreeMap<String, String>),
    Sample(BTreeMap<String, String>, f64),
    List(Vec<Value>),
}

impl Value {
    /// Go's notion of empty.
    pub(super) fn holds(&self) -> bool {
        match self {
            Value::Root | Value::Sample(..) => true,
            Value::Nothing => false,
            Value::Text(text) => !text.is_empty(),
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Bool(bool) => *bool,
            Value::Map(entries) => !entries.is_empty(),
            Value::List(items) => !items.is_empty(),
        }
    }

    /// As Go prints it.
    pub(super) fn text(&self) -> String {
        match self {
            Value::Root | Value::Nothing => String::new(),
            Value::Text(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => {
                let mut out = String::new();
                push_general(&mut out, *number);
                out
            }
            Value::Bool(bool) => bool.to_string(),
            Value::Map(entries) => {
                let pairs = entries
                    .iter()
                    .map(|(name, value)| format!("{name}:{value}"));
                format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
            }
            Value::Sample(labels, value) => {
                format!(
                    "&{{{} {}}}",
                    Value::Map(labels.clone()).text(),
                    Value::Float(*value).text()
                )
            }
            Value::List(items) => {
                let items = items.iter().map(Value::text);
                format!("[{}]", items.collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// Bytes, about.
    pub(super) fn bytes(&self) -> usize {
        const ENTRY: usize = 64;
        let of_map = |entries: &BTreeMap<String, String>| -> usize {
            let entries = entries.iter();
            entries
                .map(|(name, value)| ENTRY + name.len() + value.len())
                .sum()
        };
        ENTRY
            + match self {
                Value::Text(text) => text.len(),
                Value::Map(entries) | Value::Sample(entries, _) => of_map(entries),
                Value::List(items) => items.iter().map(Value::bytes).sum(),
                _ => 0,
            }
    }

    /// As a number, where it is one or reads as one.
    pub(super) fn number(&self) -> Result<f64, String> {
        match self {
            Value::Int(number) => Ok(*number as f64),
            Value::Float(number) => Ok(*number),
            Value::Text(text) => text.parse().map_err(|_| format!("{text:?} is no number")),
            other => Err(format!("{} is no number", other.text())),
        }
    }
}

/// Labels as a template sees them.
pub(super) fn map(labels: &Labels) -> BTreeMap<String, String> {
    let pairs = labels.iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
