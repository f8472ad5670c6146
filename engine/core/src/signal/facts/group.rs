//! What is known of a group: targets that stand in for one another, so that what one has shown proves something of all.

use hashbrown::{HashMap, HashSet};

use crate::labels::{Labels, MatchOp, Matcher};
use crate::limits::{REMEMBERED_METRICS_MAX, REMEMBERED_VALUES_MAX};
use crate::store::TargetId;

/// Targets of one job, namespace and controller (S2c).
#[derive(Debug, Default)]
pub(crate) struct GroupFacts {
    /// Metrics that any of its targets ever exposed.
    pub(crate) exposed: HashSet<Box<str>>,
    /// Label values that any of its series ever had.
    seen: HashMap<Box<str>, HashSet<Box<str>>>,
    seen_count: usize,
    /// Who was last seen to hold each lease. Other groups may use the same names.
    pub(super) holders: HashMap<String, TargetId>,
    pub(crate) targets: usize,
    /// Since when discovery lists none of its targets.
    pub(crate) empty_since_ms: Option<i64>,
}

impl GroupFacts {
    /// Whether some series ever had a value of the label that fits.
    pub(crate) fn has_seen(&self, matcher: &Matcher) -> bool {
        let Some(values) = self.seen.get(matcher.name()) else {
            return false;
        };
        match matcher.op() {
            MatchOp::Equal => values.contains(matcher.value()),
            _ => values.iter().any(|value| matcher.matches(value)),
        }
    }

    /// True where the metric is new to the group.
    pub(super) fn add_exposed(&mut self, metric: &str) -> bool {
        !self.exposed.contains(metric)
            && self.exposed.len() < REMEMBERED_METRICS_MAX
            && self.exposed.insert(metric.into())
    }

    pub(super) fn add_label_value(&mut self, label: &str, value: &str) {
        let known = self
            .seen
            .get(label)
            .is_some_and(|values| values.contains(value));
        if known || value.is_empty() || self.seen_count >= REMEMBERED_VALUES_MAX {
            return;
        }
        self.seen
            .entry(label.into())
            .or_default()
            .insert(value.into());
        self.seen_count += 1;
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
