//! Readings of a signal object by object: each object is judged by the targets that may tell of it and by no other, so
//! that one pod's outage or restart leaves the numbers of the others alone (S5).
//!
//! A target tells of one object where its own label names it, as a pod's own page does; where it does not (the page of a
//! gateway that shows all of its endpoints), it may tell of any. The targets are sorted by that once per reading, and only
//! the objects that are asked for are judged: 2,000 pods with a page each cost 2,000 look-ups, not 2,000 scopes.

use std::cell::OnceCell;

use hashbrown::{HashMap, HashSet};

use crate::labels::Labels;
use crate::store::TargetId;
use crate::time::Timestamp;

use super::absence;
use super::assess::fits;
use super::assessment::{Assessment, clock_time, describe};
use super::demand::Demand;
use super::grace;
use super::judge::{self, Verdict};
use super::losses;
use super::query::Kind;
use super::reading::{Element, Reading, SignalId, State};
use super::registry::{NOW_MS_MAX, SignalRegistry};
use super::scope::{self, Scope};
use super::signal::Signal;
use super::unlisted::all_are_listed;
use super::windows;

/// What a signal says about one object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectReading {
    /// The object's name: the value of the label.
    pub name: String,
    /// Its number. Error: why none may be told.
    pub outcome: Result<ObjectValue, String>,
}

/// The number of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectValue {
    /// The number with the labels of its group.
    pub element: Element,
    /// Why it may be told although it is not of now; `None` where it is.
    pub held: Option<String>,
}

/// Targets by the object of which they tell.
#[derive(Default)]
struct Tellers<'a> {
    /// Those that tell of one, and whether they count; the others stand by.
    of_one: HashMap<&'a str, Vec<(TargetId, bool)>>,
    of_any: Vec<(TargetId, bool)>,
    /// The scope of what only those of any may tell of, and why they tell nothing now: of 50,000 pods of a namespace that show
    /// nothing it is judged once.
    of_any_alone: OnceCell<(Scope, Option<String>)>,
}

impl SignalRegistry {
    /// What a signal says about objects at this time: about those of `wanted`, or about all that it knows. `pins` restricts
    /// the groups. `None`: there is no such signal, or it has no label that names objects. Error: nothing can be said of
    /// any object.
    pub(crate) fn read_objects(
        &self,
        id: SignalId,
        now: Timestamp,
        pins: &[(String, String)],
        wanted: Option<&[String]>,
    ) -> Option<Result<Vec<ObjectReading>, String>> {
        let signal = self.signal(id)?;
        let label = signal.policy.object_label.as_deref()?;
        let now_ms = now.ms().clamp(-NOW_MS_MAX, NOW_MS_MAX);
        Some(signal.read_objects(self.assessment(now_ms, pins), label, wanted))
    }
}

impl Signal {
    /// The numbers of all objects that have one, for people. Error: there is none, and why not for the first.
    pub(super) fn assess_objects(
        &self,
        assessment: Assessment<'_>,
        label: &str,
    ) -> Result<Reading, String> {
        let mut why = None;
        let mut elements = Vec::new();
        for object in self.read_objects(assessment, label, None)? {
            match object.outcome {
                Ok(value) => elements.push(value.element),
                Err(reason) => why = why.or(Some(reason)),
            }
        }
        let none = || why.unwrap_or_else(|| format!("the result has no element with {label}"));
        match elements.is_empty() {
            true => Err(none()),
            false => Ok(Reading {
                state: State::Value,
                elements,
            }),
        }
    }

    fn read_objects(
        &self,
        assessment: Assessment<'_>,
        label: &str,
        wanted: Option<&[String]>,
    ) -> Result<Vec<ObjectReading>, String> {
        all_are_listed(assessment, &self.query, &self.policy)?;
        let values = self.result.as_ref().map_err(String::clone)?;
        if let Some(why) = judge::never_seen(assessment, &self.scope, &self.query) {
            return Err(why);
        }
        if self.scope.counting.is_empty() {
            return Err(judge::no_target_counts(
                assessment,
                &self.scope,
                &self.query,
            ));
        }
        let mut groups: HashMap<&str, Vec<&(Labels, f64)>> = HashMap::new();
        for group in values
            .iter()
            .filter(|(labels, _)| fits(labels, assessment.pins))
        {
            if let Some(name) = group.0.get(label) {
                groups.entry(name).or_default().push(group);
            }
        }
        let tellers = self.tellers(assessment, label);
        let mut all: Vec<&str> = Vec::new();
        match wanted {
            Some(wanted) => all.extend(wanted.iter().map(String::as_str)),
            None => {
                all.extend(groups.keys().chain(tellers.of_one.keys()));
                all.sort_unstable();
                all.dedup();
            }
        }
        let of_object = |name: &str| ObjectReading {
            name: name.to_owned(),
            outcome: match groups.get(name).map_or(&[][..], Vec::as_slice) {
                [] => Err(self.no_number(assessment, (label, name), &tellers)),
                [group] => self.judge_object(assessment, (label, name), group, &tellers),
                several => Err(format!(
                    "{} elements have {label}={name:?}, and one number is asked for: group the query by {label} alone",
                    several.len()
                )),
            },
        };
        Ok(all.into_iter().map(of_object).collect())
    }

    fn tellers<'a>(&'a self, assessment: Assessment<'a>, label: &str) -> Tellers<'a> {
        let mut tellers = Tellers::default();
        // A label that the query writes, or that is the other side's, says nothing of the targets behind it.
        let others = |label: &str| {
            let selectors = self.query.selectors.iter();
            let others = selectors.filter(|selector| !selector.carried.has(label));
            let groups = others.map(|selector| {
                scope::exposing(assessment.facts, assessment.names, selector).map(|(name, _)| name)
            });
            groups.flatten().collect::<HashSet<&str>>()
        };
        let of_object = others(label);
        let of_pins: Vec<HashSet<&str>> = assessment
            .pins
            .iter()
            .map(|(label, _)| others(label))
            .collect();
        let counting = self.scope.counting.iter().map(|&id| (id, true));
        let standby = self.scope.standby.iter().map(|&id| (id, false));
        for (id, counts) in counting.chain(standby) {
            let Some(target) = assessment.facts.target(id) else {
                continue;
            };
            let group = target.group.as_str();
            let mut pins = assessment.pins.iter().zip(&of_pins);
            let of_others = pins.any(|((label, value), others)| {
                let has = target.constant_label(label);
                has.is_some_and(|has| has != value && !others.contains(group))
            });
            if of_others {
                continue;
            }
            let own = target.constant_label(label);
            match own.filter(|_| !of_object.contains(group)) {
                Some(name) => tellers.of_one.entry(name).or_default().push((id, counts)),
                None => tellers.of_any.push((id, counts)),
            }
        }
        tellers
    }

    /// The targets that may tell of an object, as a scope of their own.
    fn scope_of(
        &self,
        assessment: Assessment<'_>,
        (label, name): (&str, &str),
        tellers: &Tellers<'_>,
    ) -> Scope {
        let mut scope = Scope::default();
        let own = tellers.of_one.get(name).map_or(&[][..], Vec::as_slice);
        let by_pool = self.by_pool(assessment, label);
        let any = tellers.of_any.iter().filter(|(id, _)| {
            let pools = assessment.facts.target(*id).map(|target| &target.pools);
            !by_pool || pools.is_none_or(|pools| pools.is_empty() || pools.contains(name))
        });
        for &(id, counts) in own.iter().chain(any) {
            let list = if counts {
                &mut scope.counting
            } else {
                &mut scope.standby
            };
            list.push(id);
        }
        scope.counting.sort_unstable();
        scope.standby.sort_unstable();
        scope
    }

    /// The number of one object (S4 to S6), or why none may be told.
    fn judge_object(
        &self,
        assessment: Assessment<'_>,
        object: (&str, &str),
        (labels, value): &(Labels, f64),
        tellers: &Tellers<'_>,
    ) -> Result<ObjectValue, String> {
        let mut pins = assessment.pins.to_vec();
        pins.push((object.0.to_owned(), object.1.to_owned()));
        let assessment = assessment.pinned(&pins);
        let scope = self.scope_of(assessment, object, tellers);
        if let Some(why) = losses::not_known(assessment, &scope, &self.query) {
            return Err(why.to_owned());
        }
        let mut time_ms = self.at_ms.unwrap_or(assessment.now_ms);
        let mut held = None;
        match judge::targets(assessment, &scope, &self.query, &self.policy) {
            Verdict::Fresh => {}
            Verdict::Unknown { why } => return Err(why),
            Verdict::Held { since_ms, why } => {
                time_ms = time_ms.min(since_ms);
                held = Some(why);
            }
        }
        let changed = self.changed(assessment, &scope);
        let mut floor = None;
        if self.query.kind != Kind::Demand {
            judge::processes_cover(assessment, &scope, &self.query)?;
            let at_ms = assessment.now_ms;
            windows::windows_covered(assessment, &scope, &self.query, &self.policy, at_ms)?;
        }
        if changed.is_some() {
            let grace = self.grace(assessment.now_ms);
            let grace_ms = self.policy.restart_grace_ms;
            floor = grace.and_then(|grace| grace.floor(labels, assessment.now_ms, grace_ms, false));
        }
        let mut last = None;
        let (value, measured_ms) = self.not_nan(labels, *value, &mut last)?;
        if let (Some(at_ms), Some((_, why))) = (measured_ms, last) {
            time_ms = time_ms.min(at_ms);
            held = held.or(Some(why));
        }
        if let Some(floor) = floor.filter(|floor| floor.value > value) {
            time_ms = time_ms.min(floor.measured_ms);
        }
        let value = self.quantity(value, floor.map(|floor| floor.value))?;
        let is_zero = value <= 0.0;
        absence::complete(assessment, &scope, &self.query, &self.policy, is_zero)?;
        if let Some(why) = changed {
            if is_zero {
                return Err(why);
            }
            held = held.or(Some(why));
        }
        let element = Element {
            labels: labels.clone(),
            value,
            time: Timestamp::from_ms(time_ms),
        };
        Ok(ObjectValue { element, held })
    }

    /// S6: the reason, if a process that may tell of the object has changed within the grace, is in a crash loop, or
    /// restarted before this signal saw it. A number above 0 is held then, 0 is none.
    fn changed(&self, assessment: Assessment<'_>, scope: &Scope) -> Option<String> {
        let grace_ms = self.policy.restart_grace_ms;
        if let Some(why) = grace::crash_loop(assessment, scope, &self.policy) {
            return Some(why);
        }
        if self.query.demand == Demand::None {
            return None;
        }
        let mut counting = scope.counting.iter();
        let restarted = counting.find_map(|&id| {
            let target = assessment.facts.target(id)?;
            let gone_ms = target.may_have_restarted_ms;
            let restart_ms = target.changes_ms.back().copied();
            let at_ms = restart_ms.max(gone_ms)?;
            let what = match restart_ms < gone_ms {
                true => "may have restarted",
                false => "restarted",
            };
            (assessment.now_ms - at_ms < grace_ms).then(|| {
                format!(
                    "{} {what} at {}: within {} s of that no 0 is told",
                    describe(target),
                    clock_time(at_ms),
                    grace_ms / 1000
                )
            })
        });
        restarted
            .or_else(|| grace::restarted_unseen(assessment, scope, self.known_since_ms, grace_ms))
    }

    /// Why there is no number of an object at all.
    fn no_number(
        &self,
        assessment: Assessment<'_>,
        (label, name): (&str, &str),
        tellers: &Tellers<'_>,
    ) -> String {
        let mut pins = assessment.pins.to_vec();
        pins.push((label.to_owned(), name.to_owned()));
        let of_its_own = || self.scope_and_fault(assessment, (label, name), tellers);
        let own;
        let (scope, fault) =
            match tellers.of_one.contains_key(name) || self.by_pool(assessment, label) {
                true => {
                    own = of_its_own();
                    &own
                }
                false => tellers.of_any_alone.get_or_init(of_its_own),
            };
        match fault {
            _ if scope.counting.is_empty() => {
                format!("no target has or shows {label}={name:?}")
            }
            Some(why) => why.clone(),
            None => match losses::not_known(assessment.pinned(&pins), scope, &self.query) {
                Some(why) => why.to_owned(),
                None => format!("the newest pages give no number for {label}={name:?}"),
            },
        }
    }

    /// The targets that may tell of an object, and why they tell nothing now.
    fn scope_and_fault(
        &self,
        assessment: Assessment<'_>,
        object: (&str, &str),
        tellers: &Tellers<'_>,
    ) -> (Scope, Option<String>) {
        let scope = self.scope_of(assessment, object, tellers);
        let fault = match judge::targets(assessment, &scope, &self.query, &self.policy) {
            Verdict::Unknown { why } | Verdict::Held { why, .. } => Some(why),
            Verdict::Fresh => None,
        };
        (scope, fault)
    }

    /// Whether the label names pools, by which targets are ruled out.
    fn by_pool(&self, assessment: Assessment<'_>, label: &str) -> bool {
        let mut selectors = self.query.selectors.iter();
        selectors.any(|selector| scope::is_pool_pin(assessment.names, selector, label))
    }
}
