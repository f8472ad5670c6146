//! Reads a list of target groups in JSON into what is kept of it, piece by piece: a tree of a text takes up to a hundred times as
//! much memory as the text, and whoever answers a URL or writes a file chooses the text.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use stillwell_engine::labels::{Labels, LabelsBuilder};

use crate::scrape::{TargetGroup, address_labels};

/// More targets than this are not a list but a mistake: a target takes about a kilobyte, scraped or not.
pub(super) const TARGETS_MAX: usize = 50_000;

/// More groups than there may be targets are not a list but a mistake.
const GROUPS_MAX: usize = TARGETS_MAX;
/// No target has as many labels.
const LABELS_MAX: usize = 1_000;

/// Reads a list; an error says where and what.
pub(super) fn read(text: &str) -> Result<Vec<TargetGroup>, String> {
    let progress = Progress::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let list = Read(List(&progress)).deserialize(&mut reader);
    let list = list.and_then(|list| reader.end().map(|()| list));
    list.map_err(|error| match (error.classify(), progress.group.get()) {
        (Category::Data, Some(group)) => format!("group {group}: {error}"),
        (Category::Data, None) => error.to_string(),
        _ => format!("not JSON: {error}"),
    })
}

pub(super) fn label(builder: &mut LabelsBuilder, name: &str, value: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a label without a name".to_owned());
    }
    builder.set(name, value);
    Ok(())
}

/// How far a list was read.
#[derive(Default)]
struct Progress {
    /// The group that is being read.
    group: Cell<Option<usize>>,
    /// How many targets there were.
    targets: Cell<usize>,
}

/// Reads what a visitor takes.
struct Read<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Read<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        from.deserialize_any(self.0)
    }
}

struct List<'p>(&'p Progress);
struct Group<'p>(&'p Progress);
struct Targets<'p>(&'p Progress);
struct GroupLabels;
struct Text(&'static str);

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<TargetGroup>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of target groups")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut groups = Vec::new();
        self.0.group.set(Some(0));
        while let Some(group) = items.next_element_seed(Read(Group(self.0)))? {
            groups.push(group);
            self.0.group.set(Some(groups.len()));
            if groups.len() > GROUPS_MAX {
                return Err(A::Error::custom(format!(
                    "there are more than {GROUPS_MAX} groups"
                )));
            }
        }
        Ok(groups)
    }
}

impl<'de> Visitor<'de> for Group<'_> {
    type Value = TargetGroup;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with targets and labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut group = TargetGroup::default();
        while let Some(key) = fields.next_key_seed(Read(Text("a key")))? {
            match key.as_str() {
                "targets" => group.targets = fields.next_value_seed(Read(Targets(self.0)))?,
                "labels" => group.labels = fields.next_value_seed(Read(GroupLabels))?.build(),
                key => {
                    let key = &key[..key.floor_char_boundary(100)];
                    return Err(A::Error::custom(format!(
                        "unknown key {key:?}; there are targets and labels"
                    )));
                }
            }
        }
        Ok(group)
    }
}

impl<'de> Visitor<'de> for Targets<'_> {
    type Value = Vec<Labels>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("targets as a list")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut targets = Vec::new();
        while let Some(target) = items.next_element_seed(Read(Text("a target as a text")))? {
            targets.push(address_labels(&target));
            let count = self.0.targets.get() + 1;
            self.0.targets.set(count);
            if count > TARGETS_MAX {
                return Err(A::Error::custom(format!(
                    "there are more than {TARGETS_MAX} targets, the most that are taken"
                )));
            }
        }
        Ok(targets)
    }
}

impl<'de> Visitor<'de> for GroupLabels {
    type Value = LabelsBuilder;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels as an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(LabelsBuilder::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut labels: A) -> Result<Self::Value, A::Error> {
        let mut builder = LabelsBuilder::default();
        let mut count = 0;
        while let Some(name) = labels.next_key_seed(Read(Text("a label")))? {
            let value = labels.next_value_seed(Read(Text("the value of a label as a text")))?;
            label(&mut builder, &name, &value).map_err(A::Error::custom)?;
            count += 1;
            if count > LABELS_MAX {
                return Err(A::Error::custom(format!(
                    "it has more than {LABELS_MAX} labels"
                )));
            }
        }
        Ok(builder)
    }
}

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 8 MB of such texts a tree took 816 MB; three million empty groups were taken and held 525 MB.
    #[test]
    fn a_list_of_more_than_anybody_has_is_refused_where_that_shows() {
        let many = |item: &str, count: usize| vec![item; count].join(",");
        let labels: Vec<String> = (0..=LABELS_MAX)
            .map(|at| format!("\"l{at}\":\"\""))
            .collect();
        for (text, says) in [
            (
                format!("[{}]", many("{}", GROUPS_MAX + 1)),
                "more than 50000 groups",
            ),
            (
                format!("[{}]", many("{\"\":0}", 10)),
                "group 0: unknown key \"\"",
            ),
            (
                format!("[{{\"targets\":[{}]}}]", many("\"a:1\"", TARGETS_MAX + 1)),
                "more than 50000 targets",
            ),
            (
                format!("[{{\"labels\":{{{}}}}}]", labels.join(",")),
                "more than 1000 labels",
            ),
            (
                format!("[{}{}]", "[".repeat(1_000), "]".repeat(1_000)),
                "group 0: ",
            ),
            ("[] []".to_owned(), "not JSON"),
        ] {
            let refused = read(&text).expect_err("it is refused");
            assert!(refused.contains(says) && refused.len() < 300, "{refused}");
        }
    }
}
