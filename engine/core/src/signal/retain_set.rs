//! Which metrics signals need of a page, for targets of which only that is kept (`retain: signals`).
//!
//! Needed is whatever a verdict can depend on, so that a signal says the same as if everything were kept: what its
//! selectors name, the same under other names, the names by which a page's generation is told, witnesses (S4a), the
//! start of the process and leases (S6, S3d). Label values that prove something (S4b) or name pools (S3b) are learned
//! from every family that carries such a label; its lines are looked at when they are new, and not stored.
//!
//! A signal that comes later finds its families missing. Until a target's page has brought them, and while a window
//! reaches back to before that, the signal is unknown: absence from what was not kept proves nothing.
//!
//! The set is published whole, with a version. Whoever parses a page looks at the version once, and at nothing else
//! while it stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;

use crate::labels::Matcher;
use crate::store::TargetId;

use super::names::{
    Class, INFO, LEADER, Names, POOL_LABELS, REQUEST_LABELS, START_TIME, is_class_witness,
};
use super::query::{Selector, SignalQuery};

/// What is needed of every page, as of one moment.
#[derive(Debug, Default)]
pub(crate) struct RetainSet {
    pub(crate) version: u64,
    /// Some selector has no condition on the name.
    all: bool,
    names: HashSet<Box<str>>,
    /// Conditions on the name, of selectors that do not fix it.
    patterns: Vec<Vec<Matcher>>,
    /// Classes whose witnesses are needed.
    classes: Vec<Class>,
    /// Labels whose values prove something, beside those of pools.
    labels: HashSet<Box<str>>,
}

impl RetainSet {
    /// Whether samples of this metric are kept.
    pub(crate) fn retains(&self, metric: &str) -> bool {
        let fits = |pattern: &Vec<Matcher>| pattern.iter().all(|one| one.matches(metric));
        self.all
            || [START_TIME, LEADER].contains(&metric)
            || INFO.contains(&metric)
            || self.names.contains(metric)
            || self
                .classes
                .iter()
                .any(|&class| is_class_witness(class, metric))
            || self.patterns.iter().any(fits)
    }

    /// Whether some part of this family is kept, so that its HELP and TYPE matter.
    pub(crate) fn retains_family(&self, family: &str) -> bool {
        let parts = ["", "_bucket", "_sum", "_count", "_total"];
        parts
            .iter()
            .any(|part| self.retains(&format!("{family}{part}")))
    }

    /// Whether the values of this label prove something.
    pub(crate) fn learns_label(&self, label: &str) -> bool {
        POOL_LABELS.contains(&label) || self.labels.contains(label)
    }
}

/// Where the newest set is found, without a lock while it stands.
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

/// What each standing signal needs, and since when each target keeps it.
#[derive(Debug, Default)]
pub(crate) struct RetainRequirements {
    retain_handle: Arc<RetainHandle>,
    version: u64,
    /// By metric name.
    named: HashMap<Box<str>, Requirement>,
    /// Selectors that do not fix it, by their conditions on the name.
    patterns: Vec<(Vec<Matcher>, Requirement)>,
    /// Labels that signals pin or group by, with how many do.
    labels: HashMap<Box<str>, usize>,
    /// Labels that callers pin beside.
    caller_labels: HashSet<&'static str>,
    /// The newest version by which a page of a target was read and committed_versions.
    committed_versions: HashMap<TargetId, u64>,
}

#[derive(Debug, Default)]
struct Requirement {
    users: usize,
    /// The first version that has it.
    version: u64,
    /// The first page of each target that was read with it.
    since_ms: HashMap<TargetId, i64>,
}

/// Since when a target keeps what a selector names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retained {
    /// For as long as it is known.
    Always,
    /// Its pages from this time on.
    Since(i64),
    /// The page that brings it has not come yet.
    NotYet,
}

fn is_same(conditions: &[Matcher], selector: &Selector) -> bool {
    let of = |matcher: &Matcher| (matcher.op(), matcher.value().to_owned());
    let others = selector.name_matchers().map(of);
    conditions.iter().map(of).eq(others)
}

/// Labels by which a caller may select one of a query's groups: proving its absence takes their values.
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

    /// A signal with this query stands from now on.
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

    /// A signal with this query has ended.
    pub(crate) fn remove(&mut self, query: &SignalQuery, names: &Names) {
        let mut has_gone = false;
        for selector in &query.selectors {
            let requirement = self.entry(selector);
            requirement.users = requirement.users.saturating_sub(1);
            has_gone |= requirement.users == 0;
        }
        for label in learned_labels(query) {
            if let Some(users) = self.labels.get_mut(label) {
                *users -= 1;
                has_gone |= *users == 0;
            }
        }
        self.named.retain(|_, requirement| requirement.users > 0);
        self.patterns
            .retain(|(_, requirement)| requirement.users > 0);
        self.labels.retain(|_, users| *users > 0);
        if has_gone {
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

    /// A caller pins labels that no signal does. True where their values were not learned so far.
    pub(crate) fn pins_new_label(&self, pins: &[(String, String)]) -> bool {
        self.new_pinned_labels(pins).next().is_some()
    }

    /// Values of such labels are learned from now on.
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

    /// Makes the set anew: signals, or what is known of names, have changed.
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
        self.retain_handle.publish(retain_set);
    }

    /// A page of this target, read by that version, has been committed_versions.
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

    /// Since when this target keeps what the selector names; its first good page was at `first_good_ms`.
    pub(crate) fn kept(
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
            // The bare name and `_count` tell under which name a page has the family (`Facts::update_names_seen`).
            for part in ["", "_count", suffix] {
                self.names
                    .insert(format!("{}{part}", name.family).into_boxed_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::Features;
    use crate::signal::names::FAMILIES;
    use crate::signal::scope::exposes;

    fn query(text: &str) -> SignalQuery {
        SignalQuery::parse(text, &Features::default(), &Names::default()).expect("valid")
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
        let kept = |requirements: &RetainRequirements, query: &SignalQuery| {
            requirements.kept(target, &query.selectors[0], 1_000)
        };
        assert_eq!(kept(&requirements, &one), Retained::Always);
        assert_eq!(kept(&requirements, &late), Retained::NotYet);
        requirements.page_committed(target, 2, 1_200);
        assert_eq!(kept(&requirements, &late), Retained::Since(1_200));
        requirements.forget(target);
        assert_eq!(kept(&requirements, &one), Retained::NotYet);
    }
}
