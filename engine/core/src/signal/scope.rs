//! The scope of a query: which targets count for it (S3). They are the targets of groups that ever exposed what it reads,
//! without those that its pinned labels contradict, standbys, and targets that never gave a good page and that nothing
//! connects with the query.
//!
//! Labels that a caller or a group pins only ever rule targets out, so the scope for them is looked for among the targets of
//! the signal's own scope (`candidates`) and not among all.

use std::fmt;
use std::rc::Rc;

use hashbrown::{HashMap, HashSet};

use crate::labels::{METRIC_NAME, MatchOp, Matcher};
use crate::limits::POOLS_PER_TARGET_MAX;
use crate::scrape::REPORT;
use crate::store::TargetId;

use super::assessment::{Assessment, Pins};
use super::carried::pinned;
use super::facts::{Facts, GroupFacts, TargetFacts};
use super::names::{Class, Names, POOL_LABELS};
use super::policy::Policy;
use super::query::{Selector, SignalQuery};

/// The targets by what they are to a query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// Targets that count, in order of id.
    pub(crate) counting: Vec<TargetId>,
    /// Targets that would count but are standbys, in order of id; the series of frozen ones are hidden.
    pub(crate) standby: Vec<TargetId>,
    /// Every other target that discovery lists, in order of id: its series are hidden from the query. Empty in the scope of
    /// a caller or of a group, by which nothing is evaluated.
    pub(crate) excluded: Vec<TargetId>,
    /// Other targets that never gave a good page and are not or no longer waited for (S3c), in order of id.
    pub(crate) never_answered: Vec<TargetId>,
    /// Indices of selectors that no group ever exposed a metric for.
    pub(crate) never_seen: Vec<usize>,
}

impl Scope {
    /// Whether the query sees the series of this target: it counts, or it is a standby.
    pub(crate) fn shows(&self, id: TargetId) -> bool {
        self.counting.binary_search(&id).is_ok() || self.standby.binary_search(&id).is_ok()
    }

    /// How many targets may concern the query.
    pub(crate) fn len(&self) -> usize {
        self.counting.len() + self.standby.len() + self.never_answered.len()
    }

    /// Every other target that discovery lists.
    pub(crate) fn others<'a>(
        &self,
        facts: &'a Facts,
    ) -> impl Iterator<Item = (TargetId, &'a TargetFacts)> {
        facts.listed().filter(|(id, _)| !self.shows(*id))
    }
}

/// What is the same for all queries about the same facts, so that a thousand signals look through hundreds of groups and
/// thousands of targets once and not a thousand times.
#[derive(Default)]
pub(crate) struct Shared<'a> {
    /// Names of groups, by the metric that they ever exposed.
    exposing: HashMap<&'a str, Rc<HashSet<&'a str>>>,
    /// The same for selectors that name no metric, by where they are: their conditions are matched with every name.
    exposing_any: HashMap<*const Selector, Rc<HashSet<&'a str>>>,
    /// The targets that hold a lease, by group and lease; `None` until somebody asks.
    leaders: Option<HashMap<(&'a str, &'a str), Vec<TargetId>>>,
    /// Since when some target of a group has given good pages, in milliseconds; `None` until somebody asks.
    answering: Option<HashMap<&'a str, i64>>,
}

impl<'a> Shared<'a> {
    pub(super) fn exposing_groups(
        &mut self,
        facts: &'a Facts,
        names: &'a Names,
        selector: &'a Selector,
    ) -> Rc<HashSet<&'a str>> {
        let find = || {
            Rc::new(
                exposing(facts, names, selector)
                    .map(|(name, _)| name)
                    .collect(),
            )
        };
        match &selector.metric {
            Some(metric) => Rc::clone(self.exposing.entry(metric).or_insert_with(find)),
            None => {
                let place = std::ptr::from_ref(selector);
                Rc::clone(self.exposing_any.entry(place).or_insert_with(find))
            }
        }
    }

    /// Since when the group of a target has given good pages, in milliseconds.
    fn answers_since_ms(&mut self, facts: &'a Facts, target: &TargetFacts) -> Option<i64> {
        let answering = self
            .answering
            .get_or_insert_with(|| answering_since_ms(facts));
        answering.get(target.group.as_str()).copied()
    }

    /// Whether the group of a target has given good pages for as long as one waits for a first page, so that what none of them
    /// ever showed is not there: right after our start the first page of one says nothing of another.
    fn is_well_known(&mut self, facts: &'a Facts, target: &TargetFacts, now_ms: i64) -> bool {
        self.answers_since_ms(facts, target)
            .is_some_and(|since_ms| now_ms >= well_known_at_ms(since_ms, target))
    }

    /// S3c: whether nobody can have sent requests to a target that never gave a good page, because discovery calls it not ready
    /// and others of its group answer: at once where it appeared among them so, else after one has waited for it.
    fn serves_nobody(
        &mut self,
        facts: &'a Facts,
        target: &TargetFacts,
        is_waited_for: bool,
    ) -> bool {
        if target.last_good_ms.is_some() || !target.not_ready {
            return false;
        }
        let is_new = self.is_well_known(facts, target, target.added_ms);
        is_new || (!is_waited_for && self.answers_since_ms(facts, target).is_some())
    }

    /// S3d: whether a target is a standby: another target of its group holds a lease that its own page says it does not hold.
    /// If its scrapes fail, it is one as soon as another holds its lease on a page newer than its own last good page.
    pub(super) fn is_standby(
        &mut self,
        facts: &'a Facts,
        id: TargetId,
        target: &'a TargetFacts,
    ) -> bool {
        if target.leases.is_empty() {
            return false;
        }
        let leaders = self.leaders.get_or_insert_with(|| leaders(facts));
        let fails = target.last.is_some_and(|(_, good)| !good);
        target.leases.iter().any(|(lease, _, leads)| {
            let of_lease = leaders.get(&(target.group.as_str(), lease.as_str()));
            let mut others = of_lease.into_iter().flatten().filter(|other| **other != id);
            others.any(|&other| {
                let good_ms = facts.target(other).and_then(|other| other.last_good_ms);
                !*leads || (fails && good_ms > target.last_good_ms)
            })
        })
    }
}

fn answering_since_ms(facts: &Facts) -> HashMap<&str, i64> {
    let mut since_ms: HashMap<&str, i64> = HashMap::new();
    for (_, target) in facts.listed() {
        if let Some(good_ms) = target.first_good_ms.or(target.last_good_ms) {
            let earliest = since_ms.entry(&target.group).or_insert(good_ms);
            *earliest = good_ms.min(*earliest);
        }
    }
    since_ms
}

fn well_known_at_ms(since_ms: i64, target: &TargetFacts) -> i64 {
    since_ms.saturating_add(target.first_page_wait_ms())
}

fn leaders(facts: &Facts) -> HashMap<(&str, &str), Vec<TargetId>> {
    let mut leaders: HashMap<(&str, &str), Vec<TargetId>> = HashMap::new();
    for (id, target) in facts.listed() {
        for (lease, _, _) in target.leases.iter().filter(|(_, _, leads)| *leads) {
            let of_lease = leaders.entry((&target.group, lease)).or_default();
            of_lease.push(id);
        }
    }
    leaders
}

/// The scope of a query: the union over its selectors (S3f).
pub(crate) fn of_query(assessment: Assessment<'_>, query: &SignalQuery, policy: &Policy) -> Scope {
    of_query_sharing(assessment, query, policy, &mut Shared::default())
}

/// The same for one of many queries about the same facts.
pub(crate) fn of_query_sharing<'a>(
    assessment: Assessment<'a>,
    query: &'a SignalQuery,
    policy: &Policy,
    shared: &mut Shared<'a>,
) -> Scope {
    let listed = || assessment.facts.listed();
    let mut scope = among(assessment, assessment.pins, query, policy, shared, listed);
    let others = scope.others(assessment.facts).map(|(id, _)| id);
    scope.excluded = others.collect();
    scope
}

/// The scope of a query for these pins among some targets, which come in order of id.
pub(super) fn among<'a, T: Iterator<Item = (TargetId, &'a TargetFacts)>>(
    assessment: Assessment<'a>,
    pins: Pins<'_>,
    query: &'a SignalQuery,
    policy: &Policy,
    shared: &mut Shared<'a>,
    targets: impl Fn() -> T,
) -> Scope {
    let Assessment { facts, names, .. } = assessment;
    let assessment = assessment.pinned(pins);
    let mut scope = Scope::default();
    for (index, selector) in query.selectors.iter().enumerate() {
        let groups = shared.exposing_groups(facts, names, selector);
        if groups.is_empty() {
            scope.never_seen.push(index);
        }
        // Most targets of many are ruled out by a label, which is the least work to find out.
        let candidates: Vec<(TargetId, &TargetFacts)> = targets()
            .filter(|(_, target)| {
                is_of_allowed_job(policy, target)
                    && contradiction(target, names, selector, pins).is_none()
            })
            // One that never gave a good page may be what others of its group are, and where they never showed what is read,
            // it is not either.
            .filter(|(_, target)| {
                let group = target.group.as_str();
                groups.contains(group)
                    || (target.last_good_ms.is_none()
                        && !shared.is_well_known(facts, target, assessment.now_ms))
            })
            .collect();
        let satisfied = candidates.iter().any(|(_, target)| {
            target.last_good_ms.is_some() && groups.contains(target.group.as_str())
        });
        for (id, target) in candidates {
            let is_new = target.last_good_ms.is_none();
            let waits = is_new && is_waited_for(assessment, target, policy);
            let is_given_up = is_new
                && satisfied
                && !waits
                && !belongs(assessment, target, selector, policy, &groups);
            if is_given_up || shared.serves_nobody(facts, target, waits) {
                scope.never_answered.push(id);
            } else if shared.is_standby(facts, id, target) {
                scope.standby.push(id);
            } else {
                scope.counting.push(id);
            }
        }
    }
    if query.selectors.len() > 1 {
        for ids in [
            &mut scope.counting,
            &mut scope.standby,
            &mut scope.never_answered,
        ] {
            ids.sort_unstable();
            ids.dedup();
        }
        let mut never_answered = std::mem::take(&mut scope.never_answered);
        never_answered.retain(|id| !scope.shows(*id));
        scope.never_answered = never_answered;
    }
    scope
}

/// The next time at which a scope may change without a scrape, in milliseconds: when a target without a good page is no
/// longer waited for, or what its group is becomes well known.
pub(crate) fn changes_at_ms(facts: &Facts, policy: &Policy, now_ms: i64) -> Option<i64> {
    let mut answering = None;
    let mut next_ms: Option<i64> = None;
    for (_, target) in facts.listed() {
        if target.last_good_ms.is_some() {
            continue;
        }
        let answering = answering.get_or_insert_with(|| answering_since_ms(facts));
        let since_ms = answering.get(target.group.as_str());
        let known_ms = since_ms.map(|&since_ms| well_known_at_ms(since_ms, target));
        let until_ms = waited_for_until_ms(target, policy);
        let times_ms = known_ms.into_iter().chain(until_ms);
        let times_ms = times_ms.filter(|&at_ms| at_ms > now_ms).chain(next_ms);
        next_ms = times_ms.min();
    }
    next_ms
}

fn waited_for_until_ms(target: &TargetFacts, policy: &Policy) -> Option<i64> {
    let wait_ms = target.first_page_wait_ms().max(policy.hold_ms.unwrap_or(0));
    Some(target.first_attempt_ms()?.saturating_add(wait_ms))
}

/// Whether a target without a good page is still waited for.
pub(super) fn is_waited_for(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    policy: &Policy,
) -> bool {
    waited_for_until_ms(target, policy).is_none_or(|until_ms| assessment.now_ms < until_ms)
}

/// Whether a target that never gave a good page is connected with a selector that other targets satisfy: it has their job
/// or a pinned label, or the policy lists jobs.
pub(super) fn belongs(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
    policy: &Policy,
    groups: &HashSet<&str>,
) -> bool {
    let job = target.labels.get("job");
    let shares_job = assessment.facts.listed().any(|(_, other)| {
        other.last_good_ms.is_some()
            && other.labels.get("job") == job
            && groups.contains(other.group.as_str())
    });
    let pins = pinned(&selector.carried, assessment.pins);
    let pins = selector.pins.iter().chain(pins);
    // Every target of a cluster has a namespace: one that is pinned connects nothing.
    let mut pins = pins.filter(|(label, _)| label != "namespace");
    shares_job
        || !policy.jobs.is_empty()
        || pins.any(|(label, value)| target.labels.get(label) == Some(value))
}

pub(super) fn is_of_allowed_job(policy: &Policy, target: &TargetFacts) -> bool {
    policy.jobs.is_empty()
        || policy
            .jobs
            .iter()
            .any(|job| target.labels.get("job") == Some(job))
}

/// Whether a selector reads a series about scrapes (`up`, ...), which every target has.
pub(crate) fn is_report(selector: &Selector) -> bool {
    selector
        .metric
        .as_ref()
        .is_some_and(|metric| REPORT.contains(&metric.as_str()))
}

/// The groups that ever exposed what a selector reads, with their names.
pub(super) fn exposing<'a>(
    facts: &'a Facts,
    names: &'a Names,
    selector: &'a Selector,
) -> impl Iterator<Item = (&'a str, &'a GroupFacts)> {
    let known = selector.metric.as_ref().map(|metric| {
        let equivalents = names.equivalents(metric);
        (metric.as_str(), equivalents, names.witnesses(metric))
    });
    let is_shown = move |group: &GroupFacts| {
        let exposed = &group.exposed;
        match &known {
            // By names first, which takes a look each; a witness may be any of them.
            Some((metric, equivalents, is_witness)) => {
                exposed.contains(*metric)
                    || equivalents
                        .iter()
                        .any(|(name, _)| exposed.contains(name.as_str()))
                    || exposed.iter().any(|present| is_witness(present))
            }
            None => exposes(exposed.iter().map(|m| &**m), names, selector),
        }
    };
    let all = facts.groups.iter();
    let shown = all.filter(move |(_, group)| is_report(selector) || is_shown(group));
    shown.map(|(name, group)| (name.as_str(), group))
}

/// The groups in the scope of a query: those that ever exposed what some selector of it reads. A group may come twice.
pub(crate) fn groups<'a>(
    assessment: Assessment<'a>,
    query: &'a SignalQuery,
) -> impl Iterator<Item = &'a GroupFacts> {
    let selectors = query.selectors.iter();
    selectors.flat_map(move |selector| {
        exposing(assessment.facts, assessment.names, selector).map(|(_, group)| group)
    })
}

/// S3a: whether these metrics contain the selector's, one of its other names, or a witness. For a selector without a fixed
/// name: whether its name matchers match one of them.
pub(crate) fn exposes<'m>(
    mut metrics: impl Iterator<Item = &'m str>,
    names: &Names,
    selector: &Selector,
) -> bool {
    let Some(metric) = &selector.metric else {
        return metrics.any(|present| selector.name_matchers().all(|one| one.matches(present)));
    };
    let equivalents = names.equivalents(metric);
    let is_witness = names.witnesses(metric);
    metrics.any(|present| {
        present == metric
            || equivalents.iter().any(|(name, _)| name == present)
            || is_witness(present)
    })
}

/// What excludes a target for a selector (S3b).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contradiction<'a> {
    /// All of its series have another value of this label.
    Label {
        label: &'a str,
        wanted: Wanted<'a>,
        has: &'a str,
    },
    /// Its process serves other pools.
    Pool { wanted: Wanted<'a> },
}

/// What a query wants of a label; written out only where somebody reads it, because most targets contradict most queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    Matcher(&'a Matcher),
    Pin(&'a str, &'a str),
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Matcher(matcher) => matcher.fmt(f),
            Wanted::Pin(label, value) => write!(f, "{label}={value:?}"),
        }
    }
}

/// S3b: a pinned label that contradicts the target's own labels or the pools that its process named. Target labels that
/// some of its series replace are ignored: there the labels of the series decide.
pub(crate) fn contradiction<'a>(
    target: &'a TargetFacts,
    names: &Names,
    selector: &'a Selector,
    pins: Pins<'a>,
) -> Option<Contradiction<'a>> {
    // No target has the name of a metric among its labels.
    let matchers = selector.matchers.iter();
    let mut of_labels = matchers.filter(|matcher| matcher.name() != METRIC_NAME);
    let of_matchers = of_labels.find_map(|matcher| {
        let label = matcher.name();
        match target.constant_label(label) {
            Some(has) => (!matcher.matches(has)).then_some(Contradiction::Label {
                label,
                wanted: Wanted::Matcher(matcher),
                has,
            }),
            // Of series that lack the label a pool says nothing.
            None => {
                let is_other = !matcher.matches("")
                    && serves_none(target, |pool| matcher.matches(pool))
                    && is_pool_pin(names, selector, label);
                let wanted = || match matcher.op() {
                    MatchOp::Equal => Wanted::Pin(label, matcher.value()),
                    _ => Wanted::Matcher(matcher),
                };
                is_other.then(|| Contradiction::Pool { wanted: wanted() })
            }
        }
    });
    let mut pins = pinned(&selector.carried, pins);
    of_matchers.or_else(|| {
        pins.find_map(|(label, value)| {
            let wanted = Wanted::Pin(label, value);
            match target.constant_label(label) {
                Some(has) => (has != value).then_some(Contradiction::Label { label, wanted, has }),
                None => {
                    let is_other = serves_none(target, |pool| pool == value)
                        && is_pool_pin(names, selector, label);
                    is_other.then_some(Contradiction::Pool { wanted })
                }
            }
        })
    })
}

/// Whether the present process of a target has named pools, all of which are known, and none of these.
fn serves_none(target: &TargetFacts, is_wanted: impl Fn(&str) -> bool) -> bool {
    let pools = &target.pools;
    !pools.is_empty()
        && pools.len() < POOLS_PER_TARGET_MAX
        && !pools.iter().any(|pool| is_wanted(pool))
}

/// Whether a label names the pool: `name` does so only on families of the class `Pool`.
pub(crate) fn is_pool_pin(names: &Names, selector: &Selector, label: &str) -> bool {
    let is_pool = |metric: &String| {
        let family = names.family(metric);
        family.is_some_and(|(family, _, _)| family.class == Class::Pool)
    };
    match label {
        "inference_pool" => true,
        label => POOL_LABELS.contains(&label) && selector.metric.as_ref().is_some_and(is_pool),
    }
}
