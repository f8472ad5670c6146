//! The immutable label set and the builder that makes one.
//!
//! ```text
//!  Labels = Arc<str>:   | len | name bytes | len | value bytes | len | name ...      sorted by name
//!  len:  one ASCII char 0x00..=0x7e            for lengths up to 126
//!        0x7f then five ASCII chars of 7 bits  for longer ones, most significant first
//! ```
//!
//! Lengths are ASCII, so the whole is valid UTF-8 and slicing needs no `unsafe`. Equality and hashing are those of
//! the bytes; clone is a reference count. Budget: a lookup walks the set, about 2 ns a label.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The label that carries a series' metric name.
pub const METRIC_NAME: &str = "__name__";

const LENGTH_ESCAPE: u8 = 0x7f;
const LENGTH_ESCAPED_DIGITS: usize = 5;
/// Most sets of a gateway's page fit.
const PACKED_BYTES_USUAL: usize = 512;

/// A sorted set of label names and non-empty values. Immutable, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// The set with no labels.
    pub fn empty() -> Labels {
        Labels(Arc::from(""))
    }

    /// From pairs in any order. Of two pairs with one name the later wins; a pair with an empty value is left out
    /// (in Prometheus an empty value is an absent label).
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }

    /// From pairs that are already strictly ascending by name, with non-empty values.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        Labels::from_sorted_in(&mut String::with_capacity(PACKED_BYTES_USUAL), pairs)
    }

    /// The same with memory for its making, which whoever makes many sets keeps.
    pub fn from_sorted_in<'a>(
        scratch: &mut String,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Labels {
        scratch.clear();
        for (name, value) in pairs {
            push_packed(scratch, name);
            push_packed(scratch, value);
        }
        Labels(Arc::from(scratch.as_str()))
    }

    /// The value of `name`; `None` where the label is absent.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(have, _)| *have == name)
            .map(|(_, value)| value)
    }

    /// The metric name, if there is one.
    #[inline]
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// Pairs in ascending order of name.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }

    /// Whether there is no label at all.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether both are one set in memory: quicker than `==`, and false for an equal set made elsewhere.
    #[inline]
    pub fn is_same(&self, other: &Labels) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Bytes this set holds, for memory accounting.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Only the labels for which `keep` says so.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Labels {
        Labels::from_sorted(self.iter().filter(|(name, _)| keep(name)))
    }

    /// Without the metric name.
    #[must_use]
    pub fn without_metric_name(&self) -> Labels {
        if self.metric_name().is_none() {
            self.clone()
        } else {
            self.filter(|name| name != METRIC_NAME)
        }
    }

    /// A builder that starts with these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder {
            pairs: self
                .iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            ..LabelsBuilder::default()
        }
    }
}

impl Default for Labels {
    fn default() -> Labels {
        Labels::empty()
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    /// Prometheus' order (model/labels Compare): pair by pair, name before value, the shorter set first.
    fn cmp(&self, other: &Labels) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl fmt::Display for Labels {
    /// As Prometheus prints a metric: `name{a="b"}`; names outside the classic alphabet are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let legacy_name = name.is_some_and(is_legacy_metric_name);
        let others = self.iter().filter(|(n, _)| *n != METRIC_NAME);
        if let (Some(name), true) = (name, legacy_name) {
            f.write_str(name)?;
            if others.clone().next().is_none() {
                return Ok(());
            }
        }
        f.write_str("{")?;
        let mut first = true;
        if let (Some(name), false) = (name, legacy_name) {
            write!(f, "{name:?}")?;
            first = false;
        }
        for (name, value) in others {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            if is_legacy_label_name(name) {
                write!(f, "{name}={value:?}")?;
            } else {
                write!(f, "{name:?}={value:?}")?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Walks the pairs of a [`Labels`].
#[derive(Clone)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        if self.rest.is_empty() {
            return None;
        }
        let (name, rest) = take_packed(self.rest);
        let (value, rest) = take_packed(rest);
        self.rest = rest;
        Some((name, value))
    }
}

/// Collects changes to a label set. Absent and empty are the same thing.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    /// Ascending by name, values non-empty.
    pairs: Vec<(String, String)>,
    /// Bytes of names and values that were set so far, those that others replaced included.
    written: usize,
    is_cut_short: bool,
}

impl LabelsBuilder {
    /// Sets `name` to `value`; an empty value removes the label.
    #[inline]
    pub fn set(&mut self, name: &str, value: &str) -> &mut LabelsBuilder {
        self.written += name.len() + value.len();
        match self
            .pairs
            .binary_search_by(|(have, _)| have.as_str().cmp(name))
        {
            Ok(at) if value.is_empty() => {
                self.pairs.remove(at);
            }
            Ok(at) => {
                self.pairs[at].1.clear();
                self.pairs[at].1.push_str(value);
            }
            Err(_) if value.is_empty() => {}
            Err(at) => self.pairs.insert(at, (name.to_owned(), value.to_owned())),
        }
        self
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Bytes of names and values that were set so far, those that others replaced included.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    pub(super) fn set_cut_short(&mut self) {
        self.is_cut_short = true;
    }

    /// Whether relabelling was ended because it wrote too much: the set is not what its rules say.
    pub fn is_cut_short(&self) -> bool {
        self.is_cut_short
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut LabelsBuilder {
        self.set(name, "")
    }

    /// The value of `name`; empty where the label is absent.
    pub fn get(&self, name: &str) -> &str {
        self.pairs
            .binary_search_by(|(have, _)| have.as_str().cmp(name))
            .map_or("", |at| self.pairs[at].1.as_str())
    }

    /// Pairs in ascending order of name.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Keeps only the labels for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) -> &mut LabelsBuilder {
        self.pairs.retain(|(name, _)| keep(name));
        self
    }

    /// Starts over with no labels, keeping the memory.
    pub fn clear(&mut self) {
        self.pairs.clear();
        (self.written, self.is_cut_short) = (0, false);
    }

    /// The finished set.
    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`: a metric name that needs no quotes.
pub fn is_legacy_metric_name(name: &str) -> bool {
    is_name(name, |b| b == b':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`: a label name that needs no quotes.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_name(name, |_| false)
}

fn is_name(name: &str, extra: impl Fn(u8) -> bool) -> bool {
    let start = |b: u8| b.is_ascii_alphabetic() || b == b'_' || extra(b);
    let mut bytes = name.bytes();
    bytes.next().is_some_and(start) && bytes.all(|b| start(b) || b.is_ascii_digit())
}

#[inline]
fn push_packed(packed: &mut String, text: &str) {
    let length = text.len();
    if length < usize::from(LENGTH_ESCAPE) {
        packed.push(char::from(length as u8));
    } else {
        assert!(
            length < 1 << (7 * LENGTH_ESCAPED_DIGITS),
            "a label of {length} bytes is past every limit"
        );
        packed.push(char::from(LENGTH_ESCAPE));
        for digit in (0..LENGTH_ESCAPED_DIGITS).rev() {
            packed.push(char::from((length >> (7 * digit)) as u8 & 0x7f));
        }
    }
    packed.push_str(text);
}

#[inline]
fn take_packed(rest: &str) -> (&str, &str) {
    let bytes = rest.as_bytes();
    let (length, start) = if bytes[0] < LENGTH_ESCAPE {
        (usize::from(bytes[0]), 1)
    } else {
        let digits = &bytes[1..=LENGTH_ESCAPED_DIGITS];
        let length = digits
            .iter()
            .fold(0, |length, digit| length << 7 | usize::from(*digit));
        (length, 1 + LENGTH_ESCAPED_DIGITS)
    };
    (&rest[start..start + length], &rest[start + length..])
}

/// Makes a [`Labels`] from literal pairs: `labels! { "job" => "epp" }`.
#[macro_export]
macro_rules! labels {
    ($($name:expr => $value:expr),* $(,)?) => {
        $crate::labels::Labels::from_pairs([$(($name, $value)),*])
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_sorted_with_the_last_of_a_name_and_no_empty_value() {
        let set = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_eq!(
            (set.get("b"), set.get("c"), set.len()),
            (Some("3"), None, 2)
        );
    }

    #[test]
    fn every_length_survives_packing() {
        for length in [0, 1, 126, 127, 128, 300, 20_000, 3_000_000] {
            let value = "é".repeat(length / 2) + &"x".repeat(length % 2);
            let set = Labels::from_pairs([("a", value.as_str()), ("z", "end")]);
            assert_eq!(set.get("a").unwrap_or(""), value);
            assert_eq!(set.get("z"), Some("end"));
        }
    }

    #[test]
    fn order_is_prometheus_order() {
        let sets = [
            labels! {},
            labels! { "a" => "1" },
            labels! { "a" => "1", "b" => "1" },
            labels! { "a" => "2" },
            labels! { "aa" => "1" },
            labels! { "b" => "0" },
        ];
        for (i, left) in sets.iter().enumerate() {
            for (j, right) in sets.iter().enumerate() {
                assert_eq!(left.cmp(right), i.cmp(&j), "{left} {right}");
            }
        }
    }

    #[test]
    fn prints_as_prometheus_does() {
        for (set, text) in [
            (labels! {}, "{}"),
            (labels! { "__name__" => "up" }, "up"),
            (
                labels! { "__name__" => "up", "job" => "a\"b" },
                r#"up{job="a\"b"}"#,
            ),
            (labels! { "job" => "x", "a" => "y" }, r#"{a="y", job="x"}"#),
            (
                labels! { "__name__" => "a.b", "c.d" => "x" },
                r#"{"a.b", "c.d"="x"}"#,
            ),
        ] {
            assert_eq!(set.to_string(), text);
        }
    }
}
