//! The sections whose objects are followed, and the rules that these give.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::super::followed::Followed;
use super::super::groups::Groups;
use super::super::monitors::{self, Section};
use super::Task;
use crate::rule_groups::RuleFile;

impl Task {
    /// Follows exactly these sections. Those that stay as they are go on undisturbed.
    pub(super) fn follow(&mut self, sections: Vec<Section>) {
        let mut before = std::mem::take(&mut self.followed);
        for section in sections {
            if let Some(at) = before.iter().position(|one| one.section == section) {
                self.followed.push(before.swap_remove(at));
                continue;
            }
            self.followed_count += 1;
            let (number, tell) = (self.followed_count, self.found.0.clone());
            let kinds: Vec<&str> = section
                .options
                .kinds
                .iter()
                .map(|kind| kind.as_str())
                .collect();
            let status = Groups::new(kinds.join(", "), Arc::clone(&self.changed));
            let (send, mut made) = mpsc::channel(1);
            let following = monitors::run(section.clone(), status.clone(), send);
            let task = tokio::spawn(async move {
                let hand_on = async {
                    while let Some(given) = made.recv().await {
                        tell.send((number, given)).await.ok(); // the task ends with its runtime
                    }
                };
                tokio::join!(following, hand_on);
            });
            let mut of_options = before.iter();
            let same = of_options.find(|one| one.section.options == section.options);
            let of = (number, section, status);
            let followed = Followed::new(of, task.abort_handle(), same, self.is_configured);
            self.followed.push(followed);
        }
    }

    /// Two sections may give the same object.
    pub(super) fn tell_rules(&self) {
        let mut rules: BTreeMap<&str, &RuleFile> = BTreeMap::new();
        for file in self.followed.iter().flat_map(Followed::rules) {
            rules.entry(&file.path).or_insert(file);
        }
        self.found_rules.send_if_modified(|told| {
            let changed = !told.iter().eq(rules.values().copied());
            if changed {
                *told = rules.into_values().cloned().collect();
            }
            changed
        });
    }
}
