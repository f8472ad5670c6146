//! What an API server takes in an object: which fields there are, which have to be there, and the type and range of each, as the
//! OpenAPI schemas of Kubernetes and KEDA say it.
//!
//! YAML is read as kubectl reads it (YAML 1.1): `5` is a number, `on` a flag, and neither is a text.

use super::Said;
use super::tree::{entries, quantity, unknown_key};
use crate::yaml::{Kind, Node};

/// The type of a value.
pub(super) enum Shape {
    /// A text.
    Text,
    /// A text of a few.
    OneOf(&'static [&'static str]),
    /// A whole number within a range.
    Whole { least: i64, most: i64 },
    /// `true` or `false`.
    Flag,
    /// A number of Kubernetes, with a suffix or without.
    Quantity,
    /// A mapping of texts.
    Texts,
    /// A list of so many at least.
    List { of: &'static Shape, least: usize },
    /// A mapping of these.
    Object(&'static [Field]),
    /// Anything: it is looked at elsewhere, or not at all.
    Any,
}

/// A field of a mapping.
pub(super) struct Field {
    key: &'static str,
    is_needed: bool,
    shape: Shape,
}

/// A field that has to be there.
pub(super) const fn needed(key: &'static str, shape: Shape) -> Field {
    Field {
        key,
        is_needed: true,
        shape,
    }
}

/// A field that may be there.
pub(super) const fn field(key: &'static str, shape: Shape) -> Field {
    Field {
        key,
        is_needed: false,
        shape,
    }
}

/// A whole number of `least` or more.
pub(super) const fn at_least(least: i64) -> Shape {
    Shape::Whole {
        least,
        most: i32::MAX as i64,
    }
}

/// Says what an API server would refuse of a value; `place` names it.
pub(super) fn check(node: &Node, shape: &Shape, place: &str, said: &mut Said) {
    match (shape, &node.kind) {
        // A null is dropped where the field may be absent.
        (Shape::Any, _) | (_, Kind::Null) => {}
        (Shape::Object(fields), Kind::Map(_)) => {
            check_fields(node, fields, place, &|_| None, said);
        }
        (Shape::Texts, Kind::Map(_)) => {
            for entry in entries(node) {
                check(
                    &entry.value,
                    &Shape::Text,
                    &format!("{place}.{}", entry.key),
                    said,
                );
            }
        }
        (Shape::List { of, least }, Kind::List(items)) => {
            if items.len() < *least {
                said.error(
                    node.line,
                    format!("{place} is empty; it needs at least {least}"),
                );
            }
            for (position, item) in items.iter().enumerate() {
                check(item, of, &format!("{place}[{position}]"), said);
            }
        }
        (
            Shape::Text | Shape::OneOf(_) | Shape::Whole { .. } | Shape::Flag | Shape::Quantity,
            Kind::Scalar { text, is_plain },
        ) => {
            if let Err(why) = scalar(text, *is_plain, shape) {
                said.error(node.line, format!("{place}: {why}"));
            }
        }
        _ => said.error(
            node.line,
            format!(
                "{place} is {}, and has to be {}",
                node.describe(),
                name(shape)
            ),
        ),
    }
}

/// The same of the fields of a mapping. `stray` says of a key that does not belong there where it does.
pub(super) fn check_fields(
    node: &Node,
    fields: &[Field],
    place: &str,
    stray: &dyn Fn(&str) -> Option<String>,
    said: &mut Said,
) {
    for entry in entries(node) {
        let path = format!("{place}.{}", entry.key);
        match fields.iter().find(|field| field.key == entry.key) {
            Some(field) => check(&entry.value, &field.shape, &path, said),
            None => {
                let keys = fields.iter().map(|field| field.key);
                let why = stray(&entry.key).unwrap_or_else(|| unknown_key(&entry.key, keys));
                said.error(entry.line, format!("{place}: {why}"));
            }
        }
    }
    for field in fields.iter().filter(|field| field.is_needed) {
        let given = entries(node).iter().find(|entry| entry.key == field.key);
        if given.is_none_or(|entry| matches!(entry.value.kind, Kind::Null)) {
            said.error(node.line, format!("{place}.{} is missing", field.key));
        }
    }
}

fn name(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text | Shape::OneOf(_) => "a text",
        Shape::Whole { .. } => "a whole number",
        Shape::Flag => "true or false",
        Shape::Quantity => "a quantity",
        Shape::Texts | Shape::Object(_) => "a mapping",
        Shape::List { .. } => "a list",
        Shape::Any => "anything",
    }
}

fn scalar(text: &str, is_plain: bool, shape: &Shape) -> Result<(), String> {
    let written = written(text, is_plain);
    match shape {
        Shape::Text => match written {
            Written::Text => Ok(()),
            other => Err(format!(
                "{text} is {}, and the API server takes nothing but a text here; write \"{text}\", in quotes",
                other.name()
            )),
        },
        Shape::OneOf(values) if written == Written::Text && values.contains(&text) => Ok(()),
        Shape::OneOf(values) => Err(format!("{text:?} is none of {}", values.join(", "))),
        Shape::Whole { .. } if written == Written::Text && text.parse::<i64>().is_ok() => {
            Err(format!(
                "{text:?} is a text, and the API server takes a whole number here; write {text}, without quotes"
            ))
        }
        Shape::Whole { least, most } => match text.parse::<i64>() {
            Ok(number) if number < *least => Err(format!("{text} must be {least} or more")),
            Ok(number) if number > *most => Err(format!("{text} must be {most} or less")),
            Ok(_) => Ok(()),
            Err(_) => Err(format!("{text:?} is not a whole number")),
        },
        Shape::Flag => match written {
            Written::Flag => Ok(()),
            _ => Err(format!(
                "{text:?} is {}, and the API server takes true or false here, without quotes",
                written.name()
            )),
        },
        Shape::Quantity => match quantity(text) {
            Some(_) => Ok(()),
            None => Err(format!("{text:?} is not a quantity")),
        },
        _ => Ok(()),
    }
}

/// What kubectl makes of a scalar.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Text,
    Number,
    Flag,
}

impl Written {
    fn name(self) -> &'static str {
        match self {
            Written::Text => "a text",
            Written::Number => "a number",
            Written::Flag => "a flag",
        }
    }
}

/// Flags of YAML 1.1; of a letter alone kubectl has made a flag and a text.
const FLAGS: [&str; 6] = ["true", "false", "yes", "no", "on", "off"];

/// `flag`, `Flag` and `FLAG` are flags, `fLAG` is none.
fn is_spelling(text: &str, flag: &str) -> bool {
    let is_capital = || text[1..] == flag[1..];
    text.eq_ignore_ascii_case(flag)
        && (text == flag || text == flag.to_ascii_uppercase() || is_capital())
}

fn written(text: &str, is_plain: bool) -> Written {
    if !is_plain {
        return Written::Text;
    }
    if FLAGS.iter().any(|flag| is_spelling(text, flag)) {
        return Written::Flag;
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    let is_special = [".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"].contains(&unsigned);
    let digits = unsigned.replace('_', "");
    let of_base = |prefix: &str, base: u32| {
        let digits = digits.strip_prefix(prefix);
        digits.is_some_and(|digits| i64::from_str_radix(digits, base).is_ok())
    };
    let is_decimal = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.parse::<f64>().is_ok();
    match is_special || is_decimal || of_base("0x", 16) || of_base("0b", 2) || of_base("0o", 8) {
        true => Written::Number,
        false => Written::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    static SHAPE: Shape = Shape::Object(&[
        needed("name", Shape::Text),
        field("count", at_least(1)),
        field("on", Shape::Flag),
        field("much", Shape::Quantity),
        field("kind", Shape::OneOf(&["A", "B"])),
        field("labels", Shape::Texts),
        field(
            "parts",
            Shape::List {
                of: &Shape::Object(&[field("size", at_least(0))]),
                least: 1,
            },
        ),
    ]);

    #[test]
    fn what_an_api_server_refuses_is_named_with_its_field() {
        for (text, says) in [
            (
                "{name: n, count: 1, on: false, much: 500m, kind: A, labels: {a: b}, parts: [{size: 0}]}",
                None,
            ),
            (
                "{name: \"5\", count: ~, much: 0.5, labels: {a: \"true\", b: '1e3', c: !!str 5}}",
                None,
            ),
            ("{name: 5.x, labels: {a: 1.2.3, b: e5, c: .}}", None),
            (
                "{name: 5}",
                Some(
                    "it.name: 5 is a number, and the API server takes nothing but a text here; write \"5\", in quotes",
                ),
            ),
            ("{name: n, labels: {a: y, b: tRUE}}", None),
            (
                "{name: n, labels: {a: Off}}",
                Some("it.labels.a: Off is a flag"),
            ),
            (
                "{name: n, labels: {a: on}}",
                Some("it.labels.a: on is a flag"),
            ),
            (
                "{name: n, labels: {a: -.5}}",
                Some("it.labels.a: -.5 is a number"),
            ),
            (
                "{name: n, labels: {a: 0x1F}}",
                Some("it.labels.a: 0x1F is a number"),
            ),
            (
                "{name: n, labels: {a: [b]}}",
                Some("it.labels.a is a list, and has to be a text"),
            ),
            (
                "{name: n, labels: a}",
                Some("it.labels is a single value, and has to be a mapping"),
            ),
            ("{name: ~}", Some("it.name is missing")),
            ("{name: n, count: 0}", Some("it.count: 0 must be 1 or more")),
            (
                "{name: n, count: \"2\"}",
                Some(
                    "it.count: \"2\" is a text, and the API server takes a whole number here; write 2, without quotes",
                ),
            ),
            (
                "{name: n, count: 1.5}",
                Some("it.count: \"1.5\" is not a whole number"),
            ),
            ("{name: n, on: \"true\"}", Some("it.on: \"true\" is a text")),
            (
                "{name: n, much: lots}",
                Some("it.much: \"lots\" is not a quantity"),
            ),
            ("{name: n, kind: C}", Some("it.kind: \"C\" is none of A, B")),
            (
                "{name: n, parts: []}",
                Some("it.parts is empty; it needs at least 1"),
            ),
            (
                "{name: n, parts: [{size: 1}, {seize: 1}]}",
                Some("it.parts[1]: unknown key seize; did you mean size?"),
            ),
            (
                "{name: n, colour: red}",
                Some(
                    "it: unknown key colour; there are name, count, on, much, kind, labels, parts",
                ),
            ),
        ] {
            let tree = parse(text).expect("YAML");
            let mut said = Said::default();
            check(&tree, &SHAPE, "it", &mut said);
            match says {
                None => assert!(said.0.is_empty(), "{text}: {:?}", said.0),
                Some(says) => {
                    assert_eq!(said.0.len(), 1, "{text}: {:?}", said.0);
                    assert!(said.0[0].text.contains(says), "{text}: {:?}", said.0);
                }
            }
        }
    }
}
