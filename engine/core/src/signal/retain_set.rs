//! The metrics whose samples are stored for targets with `retain: signals`.
//!
//! They are everything that the reading of a signal can depend on, so that it is the same as if every sample were stored:
//! the metrics of its selectors, their other names, the metrics by which the names of a release are recognised, witnesses
//! (S4a), the start time of the process, and leases (S6, S3d). Label values that prove something (S4b) and pools (S3b) are
//! read from every family with such a label; these lines are parsed when they are new, and not stored.
//!
//! A signal that is registered later finds its families missing. It is unknown until a page of each target has been stored
//! with them, and until that page is older than its window: what was not stored is not absent.
//!
//! The set is published as a whole, with a version. The parser of a page compares one version number per page.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;

use crate::labels::Matcher;
use crate::store::TargetId;

use super::names::{
    Class, INFO, LEADER, Names, POOL_LABELS, REQUEST_LABELS, START_TIME, TableMetric, UP,
    is_class_witness,
};
use super::query::{Selector, SignalQuery};

/// One version of the set.
#[derive(Debug, Default)]
pub(crate) struct RetainSet {
    pub(crate) version: u64,
    /// Some selector has no condition on the name: everything is stored.
    all: bool,
    names: HashSet<Box<str>>,
    /// Conditions on the metric name, of selectors without a fixed name.
    patterns: Vec<Vec<Matcher>>,
    /// Classes whose witnesses are stored.
    classes: Vec<Class>,
    /// Labels whose values are read from every family, in addition to those of pools.
    labels: HashSet<Box<str>>,
}

impl RetainSet {
    /// Whether samples of this metric are stored.
    pub(crate) fn retains(&self, metric: &str) -> bool {
        let fits = |pattern: &Vec<Matcher>| pattern.iter().all(|one| one.matches(metric));
        self.all
            || [START_TIME, LEADER, UP].contains(&metric)
            || INFO.contains(&metric)
            || self.names.contains(metric)
            || self
                .classes
                .iter()
                .any(|&class| is_class_witness(class, metric))
            || self.patterns.iter().any(fits)
    }

    /// Whether some part of this family is stored, so that its HELP and TYPE are, too.
    pub(crate) fn retains_family(&self, family: &str) -> bool {
        let parts = ["", "_bucket", "_sum", "_count", "_total"];
        parts
            .iter()
            .any(|part| self.retains(&format!("{family}{part}")))
    }

    /// Metrics with a fixed name that are not in the names table.
    pub(crate) fn others(&self) -> impl Iterator<Item = &str> {
        let names = self.names.iter().map(|name| &**name);
        names.filter(|name| TableMetric::of(name).is_none())
    }

    /// Whether the values of this label are read from every family.
    pub(crate) fn learns_label(&self, label: &str) -> bool {
        POOL_LABELS.contains(&label) || self.labels.contains(label)
    }
}

/// The newest version of the set, shared with the parsers of pages; without a lock while the version is unchanged.
#[derive(Debug, Default)]
pub(crate) struct RetainHandle {
    version: AtomicU64,
    newest: RwLock<Arc<RetainSet>>,
}

impl RetainHandle {
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn newest(&self) -> Arc<RetainSet> {
        Arc::clone(&self.newest.read())
    }

    fn publish(&self, retain_set: RetainSet) {
        let version = retain_set.version;
        *self.newest.write() = Arc::new(retain_set);
        self.version.store(version, Ordering::Release);
    }
}

/// What the registered signals require, and since when each target's samples of it are stored.
#[derive(Debug, Default)]
pub(crate) struct RetainRequirements {
    retain_handle: Arc<RetainHandle>,
    version: u64,
    /// Selectors with a fixed metric name, by that name.
    named: HashMap<Box<str>, Requirement>,
    /// Selectors without a fixed name, by their conditions on the name.
    patterns: Vec<(Vec<Matcher>, Requirement)>,
    /// Labels that signals select or group by, with the number of signals.
    labels: HashMap<Box<str>, usize>,
    /// Labels that callers pin in addition.
    caller_labels: HashSet<&'static str>,
    /// Metrics with a fixed name, not in the names table, that came to the set since [`RetainRequirements::take_added`].
    added: Vec<Box<str>>,
    /// By target: the version with which its newest committed page was parsed.
    committed_versions: HashMap<TargetId, u64>,
}

#[derive(Debug, Default)]
struct Requirement {
    users: usize,
    /// The first version of the set that contains it.
    version: u64,
    /// By target: the time of the first committed page that was parsed with such a version, in milliseconds.
    since_ms: HashMap<TargetId, i64>,
}

/// Since when the samples of a selector are stored for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retained {
    /// Since its first page.
    Always,
    /// Since this time, in milliseconds.
    Since(i64),
    /// No page with them has been committed yet.
    NotYet,
}

fn is_same(conditions: &[Matcher], selector: &Selector) -> bool {
    let of = |matcher: &Matcher| (matcher.op(), matcher.value().to_owned());
    let others = selector.name_matchers().map(of);
    conditions.iter().map(of).eq(others)
}

/// Labels whose values prove the absence of a group of the query (S4b): those it selects by, and those by which a caller
/// may select one of its groups.
fn learned_labels(query: &SignalQuery) -> impl Iterator<Item = &str> {
    let required = query.selectors.iter().flat_map(Selector::required);
    let groups = |label: &&&str| {
        query
            .grouping
            .iter()
            .any(|group| group == "*" || group == **label)
    };
    let grouped = REQUEST_LABELS.iter().filter(groups).copied();
    required
        .map(Matcher::name)
        .chain(grouped.collect::<Vec<_>>())
}

impl RetainRequirements {
    pub(crate) fn retain_handle(&self) -> Arc<RetainHandle> {
        Arc::clone(&self.retain_handle)
    }

    /// Whether no page of a target with `retain: signals` was committed.
    pub(crate) fn keep_all(&self) -> bool {
        self.committed_versions.is_empty()
    }

    /// The version of what is stored now.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What is stored now.
    pub(crate) fn newest(&self) -> Arc<RetainSet> {
        self.retain_handle.newest()
    }

    /// Adds what the query of a new signal requires.
    pub(crate) fn add(&mut self, query: &SignalQuery, names: &Names) {
        let next = self.version + 1;
        let mut is_new = false;
        for selector in &query.selectors {
            let requirement = self.entry(selector);
            requirement.users += 1;
            if requirement.users == 1 {
                requirement.version = next;
                is_new = true;
            }
        }
        for label in learned_labels(query) {
            let users = self.labels.entry(label.into()).or_default();
            *users += 1;
            is_new |= *users == 1;
        }
        if is_new {
            self.publish(names);
        }
    }

    /// Removes what the query of a removed signal required.
    pub(crate) fn remove(&mut self, query: &SignalQuery, names: &Names) {
        let mut is_removed = false;
        for selector in &query.selectors {
            let requirement = self.entry(selector);
            requirement.users = requirement.users.saturating_sub(1);
            is_removed |= requirement.users == 0;
        }
        for label in learned_labels(query) {
            if let Some(users) = self.labels.get_mut(label) {
                *users -= 1;
                is_removed |= *users == 0;
            }
        }
        self.named.retain(|_, requirement| requirement.users > 0);
        self.patterns
            .retain(|(_, requirement)| requirement.users > 0);
        self.labels.retain(|_, users| *users > 0);
        if is_removed {
            self.publish(names);
        }
    }

    fn entry(&mut self, selector: &Selector) -> &mut Requirement {
        if let Some(metric) = &selector.metric {
            return self.named.entry(metric.as_str().into()).or_default();
        }
        let known = self
            .patterns
            .iter()
            .position(|(have, _)| is_same(have, selector));
        let at = known.unwrap_or_else(|| {
            self.patterns.push((
                selector.name_matchers().cloned().collect(),
                Requirement::default(),
            ));
            self.patterns.len() - 1
        });
        &mut self.patterns[at].1
    }

    /// Whether a caller pins labels whose values are not read yet.
    pub(crate) fn pins_new_label(&self, pins: &[(String, String)]) -> bool {
        self.new_pinned_labels(pins).next().is_some()
    }

    /// Has the values of such labels read from now on.
    pub(crate) fn learn_pinned_labels(&mut self, pins: &[(String, String)], names: &Names) {
        let new: Vec<&'static str> = self.new_pinned_labels(pins).collect();
        if !new.is_empty() {
            self.caller_labels.extend(new);
            self.publish(names);
        }
    }

    fn new_pinned_labels(&self, pins: &[(String, String)]) -> impl Iterator<Item = &'static str> {
        let is_new = |label: &&&str| {
            pins.iter().any(|(pinned, _)| pinned == **label)
                && !self.caller_labels.contains(**label)
                && !self.labels.contains_key(**label)
        };
        REQUEST_LABELS.iter().filter(is_new).copied()
    }

    /// Computes the next version of the set, after a change of signals or of configured names.
    pub(crate) fn publish(&mut self, names: &Names) {
        self.version += 1;
        let mut retain_set = RetainSet {
            version: self.version,
            labels: self.labels.keys().cloned().collect(),
            ..RetainSet::default()
        };
        retain_set
            .labels
            .extend(self.caller_labels.iter().map(|label| Box::from(*label)));
        for metric in self.named.keys() {
            retain_set.add_metric(metric, names);
        }
        for (conditions, _) in &self.patterns {
            retain_set.all |= conditions.is_empty();
            retain_set.patterns.push(conditions.clone());
        }
        let before = self.newest();
        let others = retain_set.others();
        let added = others.filter(|name| !before.names.contains(*name));
        self.added.extend(added.map(Box::from));
        self.retain_handle.publish(retain_set);
    }

    /// Metrics of which it has to be looked at who has shown and lost them.
    pub(crate) fn take_added(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.added)
    }

    /// A page of this target, read by that version, has been committed.
    pub(crate) fn page_committed(&mut self, target: TargetId, version: u64, at_ms: i64) {
        if self.committed_versions.get(&target) == Some(&version) {
            return;
        }
        self.committed_versions.insert(target, version);
        let named = self.named.values_mut();
        for requirement in named.chain(self.patterns.iter_mut().map(|(_, requirement)| requirement))
        {
            if requirement.version <= version {
                requirement.since_ms.entry(target).or_insert(at_ms);
            }
        }
    }

    /// The target is no longer scraped.
    pub(crate) fn forget(&mut self, target: TargetId) {
        self.committed_versions.remove(&target);
        let named = self.named.values_mut();
        for requirement in named.chain(self.patterns.iter_mut().map(|(_, requirement)| requirement))
        {
            requirement.since_ms.remove(&target);
        }
    }

    /// Since when the samples of a selector are stored for this target, whose first good page was at `first_good_ms`.
    pub(crate) fn retained(
        &self,
        target: TargetId,
        selector: &Selector,
        first_good_ms: i64,
    ) -> Retained {
        let requirement = match &selector.metric {
            Some(metric) => self.named.get(metric.as_str()),
            None => {
                let known = self
                    .patterns
                    .iter()
                    .find(|(have, _)| is_same(have, selector));
                known.map(|(_, requirement)| requirement)
            }
        };
        match requirement.and_then(|requirement| requirement.since_ms.get(&target)) {
            None => Retained::NotYet,
            Some(&since_ms) if since_ms <= first_good_ms => Retained::Always,
            Some(&since_ms) => Retained::Since(since_ms),
        }
    }
}

impl RetainSet {
    fn add_metric(&mut self, metric: &str, names: &Names) {
        self.names.insert(metric.into());
        for (family, witness) in &names.witnesses {
            if family == metric {
                self.names.insert(witness.as_str().into());
            }
        }
        let Some((family, _, suffix)) = names.family(metric) else {
            return;
        };
        if !self.classes.contains(&family.class) {
            self.classes.push(family.class);
        }
        for name in family.names {
            // By the bare name and `_count` it is decided under which name a page has the family (`Facts::update_names_seen`).
            for part in ["", "_count", suffix] {
                self.names
                    .insert(format!("{}{part}", name.family).into_boxed_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::query::ParseOptions;
    use super::*;
    use crate::signal::names::FAMILIES;
    use crate::signal::scope::exposes;

    fn query(text: &str) -> SignalQuery {
        SignalQuery::parse(text, &Names::default(), &ParseOptions::default()).expect("valid")
    }

    fn retain_set(texts: &[&str], names: &Names) -> Arc<RetainSet> {
        let mut requirements = RetainRequirements::default();
        for text in texts {
            requirements.add(&query(text), names);
        }
        requirements.retain_handle().newest()
    }

    /// Scope and proof ask `exposes`; a name for which it says yes must be on the page.
    #[test]
    fn whatever_proves_or_scopes_a_selector_is_needed() {
        let names = Names {
            witnesses: vec![("mine".to_owned(), "my_witness".to_owned())],
            ..Names::default()
        };
        let mut texts = vec![
            "mine".to_owned(),
            "{__name__=~\"llm_.*_info|go_.*\"}".to_owned(),
        ];
        let mut present = vec![
            "my_witness".to_owned(),
            "llm_d_epp_info".to_owned(),
            "inference_extension_info".to_owned(),
            "inference_pool_anything".to_owned(),
            "go_goroutines".to_owned(),
            "x_flow_control_pool_saturation".to_owned(),
        ];
        for name in FAMILIES.iter().flat_map(|family| family.names) {
            for part in ["", "_bucket", "_sum", "_count"] {
                texts.push(format!("{}{part}", name.family));
                present.push(format!("{}{part}", name.family));
            }
        }
        for text in &texts {
            let query = query(text);
            let retain_set = retain_set(&[text], &names);
            for metric in &present {
                let exposed = exposes(
                    std::iter::once(metric.as_str()),
                    &names,
                    &query.selectors[0],
                );
                assert!(!exposed || retain_set.retains(metric), "{text}: {metric}");
            }
            assert!(retain_set.retains(START_TIME) && retain_set.retains(LEADER));
            assert!(!retain_set.retains("unrelated_total"));
        }
        assert!(retain_set(&["{job=\"a\"}"], &names).retains("unrelated_total"));
    }

    #[test]
    fn the_version_moves_only_when_the_set_does() {
        let (names, mut requirements) = (Names::default(), RetainRequirements::default());
        let (one, same, other) = (query("sum(a)"), query("max(a) + 1"), query("sum(b)"));
        let retain_handle = requirements.retain_handle();
        let mut versions = Vec::new();
        requirements.add(&one, &names);
        versions.push(retain_handle.version());
        requirements.add(&same, &names);
        versions.push(retain_handle.version());
        requirements.remove(&one, &names);
        versions.push(retain_handle.version());
        requirements.add(&other, &names);
        versions.push(retain_handle.version());
        requirements.remove(&same, &names);
        versions.push(retain_handle.version());
        assert_eq!(versions, [1, 1, 1, 2, 3]);
        let newest = retain_handle.newest();
        assert!(newest.retains("b") && !newest.retains("a") && newest.version == 3);
    }

    #[test]
    fn what_a_target_keeps_counts_from_the_page_that_brought_it() {
        let (names, mut requirements, target) =
            (Names::default(), RetainRequirements::default(), TargetId(3));
        let (one, late) = (query("sum(a)"), query("sum(b)"));
        requirements.add(&one, &names);
        requirements.page_committed(target, 1, 1_000);
        requirements.add(&late, &names);
        // It was read before the signal came, and is taken after.
        requirements.page_committed(target, 1, 1_100);
        let retained = |requirements: &RetainRequirements, query: &SignalQuery| {
            requirements.retained(target, &query.selectors[0], 1_000)
        };
        assert_eq!(retained(&requirements, &one), Retained::Always);
        assert_eq!(retained(&requirements, &late), Retained::NotYet);
        requirements.page_committed(target, 2, 1_200);
        assert_eq!(retained(&requirements, &late), Retained::Since(1_200));
        requirements.forget(target);
        assert_eq!(retained(&requirements, &one), Retained::NotYet);
    }
}
