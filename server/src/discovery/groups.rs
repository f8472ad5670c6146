//! What one entry of the configuration has found: groups of targets by their source.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::scrape::TargetGroup;

/// The groups of one entry, by their source: a file and a place in it, an object of Kubernetes.
pub(super) type BySource = BTreeMap<Arc<str>, Arc<TargetGroup>>;

/// What is found of one moment.
pub(super) struct Listed {
    pub(super) groups: BySource,
    /// Another version is another list.
    pub(super) version: u64,
    /// All of the source was read once.
    pub(super) is_read: bool,
    /// Why that is not all there is, where that is so.
    pub(super) partial: Option<String>,
}

/// Where a mechanism puts what it finds.
#[derive(Clone)]
pub(super) struct Groups {
    inner: Arc<Inner>,
}

struct Inner {
    /// The job and the kind of mechanism, for the log.
    what: String,
    /// Held for a change or a copy of pointers.
    state: Mutex<State>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    groups: BySource,
    /// Grows with every change, so that each job that uses the groups sees by itself whether it has seen them.
    version: u64,
    /// Something was found, or it is known that nothing can be.
    settled: bool,
    /// All of the source was read once.
    listed: bool,
    problem: Option<String>,
    /// Why what is found is not all there is, where that is so.
    partial: Option<String>,
}

impl Groups {
    pub(super) fn new(what: String, changed: Arc<Notify>) -> Groups {
        Groups {
            inner: Arc::new(Inner {
                what,
                state: Mutex::default(),
                changed,
            }),
        }
    }

    /// Replaces all groups: the source was read.
    pub(super) fn replace(&self, groups: impl IntoIterator<Item = (String, TargetGroup)>) {
        self.replace_by(groups, true);
    }

    /// Replaces all groups, while some of the source (a file, a name) was never read: this is no list yet.
    pub(super) fn replace_part(&self, groups: impl IntoIterator<Item = (String, TargetGroup)>) {
        self.replace_by(groups, false);
    }

    fn replace_by(&self, groups: impl IntoIterator<Item = (String, TargetGroup)>, is_whole: bool) {
        let mut state = self.inner.state.lock();
        let mut changed = false;
        let mut after = BySource::new();
        for (source, group) in groups {
            // A group that stays as it was keeps its address, by which the manager knows that it did.
            let before = state.groups.remove_entry(&*source);
            let (source, group) = match before {
                Some((source, before)) if *before == group => (source, before),
                _ => {
                    changed = true;
                    (Arc::from(source), Arc::new(group))
                }
            };
            after.insert(source, group);
        }
        changed |= !state.groups.is_empty();
        state.groups = after;
        self.read(state, changed, is_whole);
    }

    /// The source was read, and it holds no groups.
    pub(super) fn read_nothing(&self) {
        self.replace([]);
    }

    /// Replaces, adds or (with `None`) removes one group: the source was read.
    pub(super) fn put(&self, source: String, group: Option<TargetGroup>) {
        self.put_by(source, group, true);
    }

    /// Replaces or adds one group of a source of which others may never have been read: this is no list yet.
    pub(super) fn put_part(&self, source: String, group: TargetGroup) {
        self.put_by(source, Some(group), false);
    }

    /// All of the source was read; its groups were put one by one.
    pub(super) fn read_all(&self) {
        self.read(self.inner.state.lock(), false, true);
    }

    fn put_by(&self, source: String, group: Option<TargetGroup>, is_whole: bool) {
        let mut state = self.inner.state.lock();
        let before = state.groups.get(&*source);
        let changed = match group {
            Some(group) if before.is_some_and(|before| **before == group) => false,
            Some(group) => {
                state.groups.insert(Arc::from(source), Arc::new(group));
                true
            }
            None => state.groups.remove(&*source).is_some(),
        };
        self.read(state, changed, is_whole);
    }

    fn read(&self, mut state: parking_lot::MutexGuard<'_, State>, changed: bool, is_whole: bool) {
        state.settled |= is_whole;
        let is_first = is_whole && !std::mem::replace(&mut state.listed, true);
        // A first list is news without a group, too: whoever waits for it knows now that there is none.
        let changed = changed || is_first;
        state.version += u64::from(changed);
        let count = state.groups.len();
        let problem = state.partial.clone();
        let recovered = std::mem::replace(&mut state.problem, problem).is_some();
        let recovered = recovered && state.problem.is_none();
        drop(state);
        if recovered {
            info!(
                what = self.inner.what.as_str(),
                groups = count,
                "discovery reads its source again"
            );
        }
        if changed {
            self.inner.changed.notify_one();
        }
    }

    /// The source cannot be read: the last groups stay. Logged where it is news.
    pub(super) fn fail(&self, why: String) {
        let mut state = self.inner.state.lock();
        state.settled = true;
        let news = state.problem.as_ref() != Some(&why);
        state.problem = Some(why.clone());
        let count = state.groups.len();
        drop(state);
        if news {
            let what = self.inner.what.as_str();
            warn!(
                what,
                why,
                groups = count,
                "discovery cannot read its source; its last targets stay"
            );
        }
        self.inner.changed.notify_one();
    }

    /// What is found from now on is not all there is, and why, or (`None`) it is again. Logged where it is news.
    pub(super) fn set_partial(&self, why: Option<String>) {
        let mut state = self.inner.state.lock();
        if state.partial == why {
            return;
        }
        if let Some(why) = &why {
            let what = self.inner.what.as_str();
            warn!(what, why, "discovery sees a part of what there is");
        }
        state.problem.clone_from(&why);
        state.partial = why;
        state.version += 1;
        drop(state);
        self.inner.changed.notify_one();
    }

    /// Why what is found is not all there is, where that is so.
    pub(super) fn partial(&self) -> Option<String> {
        self.inner.state.lock().partial.clone()
    }

    /// What is found, as of now.
    pub(super) fn get(&self) -> Listed {
        let state = self.inner.state.lock();
        Listed {
            groups: state.groups.clone(),
            version: state.version,
            is_read: state.listed,
            partial: state.partial.clone(),
        }
    }

    /// The version of the groups: another one is another list.
    pub(super) fn version(&self) -> u64 {
        self.inner.state.lock().version
    }

    /// Whether the source was read, or tried in vain.
    pub(super) fn is_settled(&self) -> bool {
        self.inner.state.lock().settled
    }

    /// Whether these are the groups of the same mechanism.
    pub(super) fn is_same(&self, other: &Groups) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// What it is called.
    pub(super) fn what(&self) -> &str {
        &self.inner.what
    }

    /// Why the source cannot be read, and how many groups there are.
    pub(super) fn state(&self) -> (Option<String>, usize) {
        let state = self.inner.state.lock();
        (state.problem.clone(), state.groups.len())
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;

    use super::*;

    fn group(address: &str) -> TargetGroup {
        TargetGroup {
            targets: vec![labels! { "__address__" => address }],
            ..TargetGroup::default()
        }
    }

    #[test]
    fn a_list_that_is_read_again_unchanged_is_no_change() {
        let groups = Groups::new("test".to_owned(), Arc::default());
        assert!(!groups.is_settled());
        let list = || {
            [
                ("a".to_owned(), group("a:1")),
                ("b".to_owned(), group("b:1")),
            ]
        };
        groups.replace(list());
        let before = groups.get();
        assert!(before.version == 1 && groups.is_settled() && before.groups.len() == 2);
        groups.replace(list());
        let after = groups.get();
        assert!(after.version == 1 && Arc::ptr_eq(&before.groups["a"], &after.groups["a"]));
        groups.replace([("a".to_owned(), group("a:1"))]);
        assert_eq!(groups.get().groups.len(), 1, "b is gone");
        groups.put("a".to_owned(), Some(group("a:1")));
        assert_eq!(groups.version(), 2);
        groups.put("a".to_owned(), None);
        groups.put("never".to_owned(), None);
        let after = groups.get();
        assert!(after.version == 3 && after.groups.is_empty());
    }

    /// A job whose first list was empty counted as one without a list until it had a target.
    #[test]
    fn a_first_list_without_a_target_is_news() {
        let groups = Groups::new("test".to_owned(), Arc::default());
        groups.fail("not yet".to_owned());
        assert_eq!((groups.version(), groups.get().is_read), (0, false));
        groups.read_nothing();
        assert_eq!((groups.version(), groups.get().is_read), (1, true));
        groups.read_nothing();
        assert_eq!(groups.version(), 1);
    }

    #[test]
    fn a_part_of_a_source_is_no_list_until_all_of_it_is_read() {
        let groups = Groups::new("test".to_owned(), Arc::default());
        groups.set_partial(Some("too many".to_owned()));
        for _ in 0..2 {
            groups.put("a".to_owned(), Some(group("a:1")));
            assert_eq!(groups.state(), (Some("too many".to_owned()), 1));
            assert!(groups.get().partial.is_some());
        }
        let version = groups.version();
        groups.set_partial(None);
        assert!(groups.get().partial.is_none() && groups.version() > version);
        assert_eq!(groups.state().0, None);
    }

    /// Of two names one was answered, and what it has counted as the list.
    #[test]
    fn what_is_put_of_a_source_of_several_parts_is_no_list_before_each_is_read() {
        let groups = Groups::new("test".to_owned(), Arc::default());
        groups.put_part("a".to_owned(), group("a:1"));
        assert!(!groups.get().is_read && !groups.is_settled());
        groups.replace_part([("a".to_owned(), group("a:2"))]);
        assert!(!groups.get().is_read && groups.version() == 2);
        groups.read_all();
        assert!(groups.get().is_read && groups.version() == 3);
        groups.read_all();
        groups.put_part("a".to_owned(), group("a:1"));
        assert!(groups.get().is_read && groups.version() == 4);
    }

    #[test]
    fn a_source_that_cannot_be_read_keeps_its_last_list() {
        let groups = Groups::new("test".to_owned(), Arc::default());
        groups.replace([("a".to_owned(), group("a:1"))]);
        groups.fail("gone".to_owned());
        assert_eq!(groups.state(), (Some("gone".to_owned()), 1));
        assert_eq!(groups.get().groups.len(), 1);
        groups.replace([("a".to_owned(), group("a:1"))]);
        assert_eq!(groups.state().0, None);
    }
}
