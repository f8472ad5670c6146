//! Facts about a group: targets that can replace one another, so that what one has exposed holds for all.

use hashbrown::{HashMap, HashSet};

use crate::labels::{Labels, MatchOp, Matcher};
use crate::limits::{REMEMBERED_METRICS_MAX, REMEMBERED_TEXT_BYTES_MAX, REMEMBERED_VALUES_MAX};
use crate::store::TargetId;

/// Targets of one job, namespace and controller (S2c).
#[derive(Debug, Default)]
pub(crate) struct GroupFacts {
    /// Metrics that any of its targets ever exposed.
    pub(crate) exposed: HashSet<Box<str>>,
    /// Label values that any of its series ever had, under the rules by which its pages are read now.
    pub(super) values: HashMap<Box<str>, HashSet<Box<str>>>,
    values_count: usize,
    /// How often they were forgotten because the pages of a target are read otherwise.
    pub(super) values_version: u64,
    /// How many of its targets await a page ([`TargetFacts::awaits_page`](super::TargetFacts)).
    pub(super) awaiting: usize,
    /// Some have since it was looked what of `exposed` nobody shows any more.
    pub(super) is_reconfigured: bool,
    /// When the first of its targets gave a good page that this program knows of, in milliseconds.
    pub(super) first_good_ms: Option<i64>,
    /// The last known holder of each lease. Other groups may use the same names.
    pub(super) holders: HashMap<String, TargetId>,
    pub(crate) targets: usize,
    /// Since when it has no target, in milliseconds.
    pub(crate) empty_since_ms: Option<i64>,
}

impl GroupFacts {
    /// Whether some series ever had a value that the matcher matches.
    pub(crate) fn has_had(&self, matcher: &Matcher) -> bool {
        let Some(values) = self.values.get(matcher.name()) else {
            return false;
        };
        match matcher.op() {
            MatchOp::Equal => values.contains(matcher.value()),
            _ => values.iter().any(|value| matcher.matches(value)),
        }
    }

    /// The values that a label of its series ever had.
    pub(crate) fn values(&self, label: &str) -> impl Iterator<Item = &str> {
        let values = self.values.get(label).into_iter().flatten();
        values.map(|value| &**value)
    }

    /// Bytes held, about.
    pub(super) fn bytes(&self) -> usize {
        (self.exposed.len() + self.values_count) * super::TEXT_BYTES
    }

    /// Adds a metric: one that signals read in any case, others as long as there is room. True if it is new to the group.
    pub(super) fn add_exposed(&mut self, metric: &str, is_read: impl FnOnce() -> bool) -> bool {
        !self.exposed.contains(metric)
            && (self.has_room_for(metric) || is_read())
            && self.exposed.insert(metric.into())
    }

    /// Whether a metric is remembered that no signal reads.
    pub(super) fn has_room_for(&self, metric: &str) -> bool {
        self.exposed.len() < REMEMBERED_METRICS_MAX && metric.len() <= REMEMBERED_TEXT_BYTES_MAX
    }

    /// Forgets all values: each target tells its own again with its next page.
    pub(super) fn forget_values(&mut self) {
        self.values.clear();
        self.values_count = 0;
        self.values_version += 1;
    }

    /// Adds a value of a label, up to `REMEMBERED_VALUES_MAX` in all.
    pub(super) fn add_label_value(&mut self, label: &str, value: &str) {
        let is_long = value.len() > REMEMBERED_TEXT_BYTES_MAX;
        if value.is_empty() || is_long || self.values_count >= REMEMBERED_VALUES_MAX {
            return;
        }
        let known = self
            .values
            .get(label)
            .is_some_and(|values| values.contains(value));
        if known {
            return;
        }
        self.values
            .entry(label.into())
            .or_default()
            .insert(value.into());
        self.values_count += 1;
    }
}

/// Which group a target with these labels belongs to (S2c).
pub(super) fn group_of(labels: &Labels) -> String {
    let controller = ["top_level_controller_name", "service"];
    let owner = controller
        .iter()
        .find_map(|name| labels.get(name))
        .unwrap_or("");
    let part = |name| labels.get(name).unwrap_or("");
    format!("{}/{}/{owner}", part("job"), part("namespace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with 100 names of 60 kB, others at every scrape, had a group hold 6 MB more each time, up to a gigabyte.
    #[test]
    fn long_names_and_values_are_not_remembered() {
        let mut group = GroupFacts::default();
        let [longest, longer] = [0, 1].map(|more| "n".repeat(REMEMBERED_TEXT_BYTES_MAX + more));
        let mut add = |metric: &str, is_read| group.add_exposed(metric, || is_read);
        assert!(add(&longest, false) && !add(&longer, false));
        assert!(add(&longer, true), "a signal reads it");
        for value in [&longest, &longer] {
            group.add_label_value("l", value);
        }
        assert!(group.values("l").eq([longest.as_str()]));
        assert_eq!(group.values_count, 1);
    }
}
