//! Keys of mappings as tables: one row is all that there is of a key, its name and what becomes of its value.
//!
//! A key that we read has a decoder in its row. A key that only Prometheus knows has the shape of its value, so that a
//! typo inside it is found too, and the consequence of its having no effect. What no row names is an error with the
//! nearest name.

use stillwell_engine::nearest::near_or_all;

use super::dialects;
use super::units::{duration_ms, size_bytes};
use super::unused_rules;
use crate::yaml::Report;
use crate::yaml::{Entry, Kind, Node};

/// One key of a mapping from which a `T` is made.
pub(crate) struct Key<T: 'static> {
    name: &'static str,
    becomes: Becomes<T>,
}

enum Becomes<T: 'static> {
    Read(fn(&Entry, &mut T, &mut Report)),
    Unused(Shape, &'static str),
}

/// A key that is read by `decode`.
pub(crate) const fn read<T>(name: &'static str, decode: fn(&Entry, &mut T, &mut Report)) -> Key<T> {
    Key {
        name,
        becomes: Becomes::Read(decode),
    }
}

/// A key that Prometheus knows and that has no effect here, with the consequence.
pub(crate) const fn unused<T>(
    name: &'static str,
    shape: Shape,
    consequence: &'static str,
) -> Key<T> {
    Key {
        name,
        becomes: Becomes::Unused(shape, consequence),
    }
}

/// What a value that we do not use must look like.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// A single value.
    Text,
    /// True or false.
    Flag,
    /// A whole number, negative ones included.
    Int,
    /// A number.
    Float,
    /// A duration.
    Duration,
    /// A size in bytes.
    Size,
    /// A list of single values.
    Texts,
    /// Names to single values.
    TextMap,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Whatever this function finds no fault with; it is given the name of the value.
    Checked(fn(&Node, &str, &mut Report)),
    /// A list.
    List(&'static Shape),
    /// A mapping.
    Mapping(&'static Mapping),
}

/// The keys of a mapping that we do not use.
pub(crate) struct Mapping {
    /// What it is called in an error.
    pub(crate) what: &'static str,
    /// Its keys.
    pub(crate) keys: &'static [(&'static str, Shape)],
    /// What else stands among them, as `inline` does in Prometheus.
    pub(crate) inline: Option<&'static dyn Inlined>,
}

/// Keys that can be looked up by name.
pub(crate) trait Keys<T> {
    /// Decodes the entry into `into`, where it is one of these keys. `what` names the mapping.
    fn take(&self, entry: &Entry, what: &str, into: &mut T, report: &mut Report) -> bool;
    /// Every name.
    fn names(&self) -> Vec<&'static str>;
}

impl<T> Keys<T> for &'static [Key<T>] {
    fn take(&self, entry: &Entry, what: &str, into: &mut T, report: &mut Report) -> bool {
        let Some(key) = self.iter().find(|key| key.name == entry.key) else {
            return false;
        };
        match key.becomes {
            Becomes::Read(decode) => decode(entry, into, report),
            Becomes::Unused(shape, consequence) => {
                shape.check(&entry.value, &entry.key, report);
                if !matches!(entry.value.kind, Kind::Null) {
                    let name = key.name;
                    report.warn(
                        entry.line,
                        format!("{name} in {what} has no effect here: {consequence}"),
                    );
                }
            }
        }
        true
    }

    fn names(&self) -> Vec<&'static str> {
        self.iter().map(|key| key.name).collect()
    }
}

impl<T, U, K: Keys<U>> Keys<T> for Inline<T, U, K> {
    fn take(&self, entry: &Entry, what: &str, into: &mut T, report: &mut Report) -> bool {
        self.keys.take(entry, what, (self.part)(into), report)
    }

    fn names(&self) -> Vec<&'static str> {
        self.keys.names()
    }
}

/// Keys of a part of `T` that stand among its own, as `inline` does in Prometheus.
pub(crate) struct Inline<T, U, K = &'static [Key<U>]> {
    /// The keys.
    pub(crate) keys: K,
    /// The part.
    pub(crate) part: fn(&mut T) -> &mut U,
}

/// Decodes a mapping into `into`. `what` names it.
pub(crate) fn decode<T>(
    node: &Node,
    what: &str,
    tables: &[&dyn Keys<T>],
    into: &mut T,
    report: &mut Report,
) {
    for entry in report.entries(node, what) {
        let known = tables
            .iter()
            .any(|table| table.take(entry, what, into, report));
        if !known {
            let names = tables.iter().flat_map(|table| table.names());
            unknown(entry, what, names, report);
        }
    }
}

fn unknown(
    entry: &Entry,
    what: &str,
    names: impl IntoIterator<Item = &'static str>,
    report: &mut Report,
) {
    let key = &entry.key;
    let hint = dialects::key(key).unwrap_or_else(|| {
        let names: Vec<&str> = names.into_iter().collect();
        instead(key, what, &names)
    });
    report.error(entry.line, format!("unknown key {key} in {what}{hint}"));
}

/// What to write for a key that is none of `names`.
fn instead(key: &str, what: &str, names: &[&str]) -> String {
    if key == what {
        return format!("; it is {what} already: leave this level out");
    }
    match near_or_all(key, names.iter().copied()) {
        none if none.is_empty() => {
            let count = names.len();
            format!(
                "; none of its {count} keys, which are Prometheus' and those of README.md, is like it"
            )
        }
        hint => hint,
    }
}

impl Shape {
    /// Says what is wrong with a value that is passed over.
    pub(crate) fn check(self, node: &Node, name: &str, report: &mut Report) {
        if matches!(node.kind, Kind::Null) {
            return;
        }
        let single = |report: &mut Report, read: &dyn Fn(&str) -> Result<(), String>| {
            if let Some(text) = report.text(node, name)
                && let Err(why) = read(text)
            {
                report.error(node.line, format!("{name}: {why}"));
            }
        };
        match self {
            Shape::Any => {}
            Shape::Text => single(report, &|_| Ok(())),
            Shape::Flag => single(report, &|text| crate::yaml::flag(text).map(drop)),
            Shape::Int => single(report, &|text| {
                let read = text.parse::<i64>().map(drop);
                read.map_err(|_| format!("{text:?} is not a whole number"))
            }),
            Shape::Float => single(report, &|text| {
                let read = text.parse::<f64>().map(drop);
                read.map_err(|_| format!("{text:?} is not a number"))
            }),
            Shape::Duration => single(report, &|text| duration_ms(text).map(drop)),
            Shape::Size => single(report, &|text| size_bytes(text).map(drop)),
            Shape::OneOf(words) => single(report, &|text| {
                let known = words.contains(&text);
                known
                    .then_some(())
                    .ok_or_else(|| format!("{text:?} is not one of {}", words.join(", ")))
            }),
            Shape::Texts => {
                for item in report.list(node, name) {
                    report.text(item, name);
                }
            }
            Shape::TextMap => {
                for entry in report.entries(node, name) {
                    report.text(&entry.value, &entry.key);
                }
            }
            Shape::Checked(check) => check(node, name, report),
            Shape::List(of) => {
                let items = report.list(node, name);
                report.refuse_empty(items, name);
                for item in items {
                    of.check(item, name, report);
                }
            }
            Shape::Mapping(mapping) => mapping.check(node, report),
        }
    }
}

impl Mapping {
    /// Says what is wrong with the keys of a mapping that is passed over.
    pub(crate) fn check(&self, node: &Node, report: &mut Report) {
        let mut others = Vec::new();
        unused_rules::check(
            self.what,
            report.entries(node, self.what),
            node.line,
            report,
        );
        for entry in report.entries(node, self.what) {
            match self.keys.iter().find(|(name, _)| *name == entry.key) {
                Some((name, shape)) => shape.check(&entry.value, name, report),
                None => others.push(entry),
            }
        }
        let others = match self.inline {
            Some(inline) => inline.check(others, self.what, report),
            None => others,
        };
        for entry in others {
            let inlined = self.inline.map_or(Vec::new(), |inline| inline.names());
            let names = self.keys.iter().map(|(name, _)| *name).chain(inlined);
            unknown(entry, self.what, names, report);
        }
    }
}

/// Keys that stand among those of a mapping that is passed over, and that have a decoder of their own.
pub(crate) trait Inlined: Sync {
    /// Checks the entries that are among these keys; answers the others.
    fn check<'e>(&self, entries: Vec<&'e Entry>, what: &str, report: &mut Report)
    -> Vec<&'e Entry>;

    /// Every name.
    fn names(&self) -> Vec<&'static str>;
}
