//! The targets of a group and of all that a result is: whether they are new enough, and how old the number is.

use hashbrown::HashSet;

use super::super::assessment::{Assessment, Pins};
use super::super::candidates::Candidates;
use super::super::judge::{self, Verdict};
use super::super::query::Kind;
use super::super::reading::Element;
use super::super::scope::Scope;
use super::super::scopes::{Scopes, lacks_pinned};
use super::super::signal::Signal;
use super::super::windows;
use super::Held;
use crate::labels::Labels;
use crate::time::Timestamp;

impl Signal {
    /// Judges the targets of one group. Returns and sets what [`Signal::judge`] does.
    pub(super) fn judge_group<'a>(
        &'a self,
        assessment: Assessment<'_>,
        labels: &Labels,
        scopes: &Scopes<'a>,
        held: &mut Held,
    ) -> Result<i64, String> {
        let of_others_ms = self.judge_others(assessment, labels, scopes, held)?;
        let time_ms = match labels.is_empty() {
            true => self.judge(assessment, &scopes.whole, held)?,
            false => {
                let pins = group_pins(labels, assessment.pins);
                self.judge_pinned(assessment.pinned(&pins), &scopes.candidates, held)?
            }
        };
        Ok(of_others_ms.map_or(time_ms, |of_others_ms| time_ms.min(of_others_ms)))
    }

    /// A number without the label that a caller pins is told whole (S9c): it is judged by all the targets that it is of, too.
    pub(super) fn judge_others<'a>(
        &'a self,
        assessment: Assessment<'_>,
        labels: &Labels,
        scopes: &Scopes<'a>,
        held: &mut Held,
    ) -> Result<Option<i64>, String> {
        let Some(all) = scopes
            .all
            .as_ref()
            .filter(|_| lacks_pinned(labels, assessment.pins))
        else {
            return Ok(None);
        };
        if labels.is_empty() {
            let of_all = self.judge(assessment.pinned(&[]), &all.scope, held); // it carries no pin
            return of_all.map(Some);
        }
        let own = group_pins(labels, &[]);
        let of_group = self.judge_pinned(assessment.pinned(&own), &all.candidates, held);
        of_group.map(Some)
    }

    /// Judges the targets by which something is judged that is no group of the result. Returns and sets what [`Signal::judge`]
    /// does.
    pub(in crate::signal) fn judge_whole(
        &self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'_>,
        held: &mut Held,
    ) -> Result<i64, String> {
        let mut times_ms = Vec::new();
        for (assessment, scope) in scopes.of_whole(assessment) {
            times_ms.push(self.judge(assessment, scope, held)?);
        }
        Ok(times_ms.into_iter().min().unwrap_or(assessment.now_ms))
    }

    /// Judges those of some targets that the pins of the assessment leave.
    pub(super) fn judge_pinned<'a>(
        &'a self,
        assessment: Assessment<'_>,
        among: &Candidates<'a>,
        held: &mut Held,
    ) -> Result<i64, String> {
        let scope = among.scope(assessment.pins, &self.query, &self.policy);
        self.judge(assessment, &scope, held)
    }

    /// Judges the targets of a scope. Returns the time of their number; `held` gets the oldest reason to hold. Error: why no
    /// number may be reported.
    pub(in crate::signal) fn judge(
        &self,
        assessment: Assessment<'_>,
        scope: &Scope,
        held: &mut Held,
    ) -> Result<i64, String> {
        let mut time_ms = self.at_ms.unwrap_or(assessment.now_ms);
        match judge::targets(assessment, scope, &self.query, &self.policy) {
            Verdict::Fresh => {}
            Verdict::Unknown { why } => return Err(why),
            Verdict::Held { since_ms, why } => {
                time_ms = time_ms.min(since_ms);
                if held
                    .as_ref()
                    .is_none_or(|(oldest_ms, _)| since_ms < *oldest_ms)
                {
                    *held = Some((since_ms, why));
                }
            }
        }
        if self.query.kind != Kind::Demand {
            judge::processes_cover(assessment, scope, &self.query)?;
        }
        // Of a sum of demand only what is earlier may lie in an outage: the rest of its windows ends now.
        if self.query.kind != Kind::Demand || self.query.has_offset {
            windows::windows_covered(
                assessment,
                scope,
                &self.query,
                &self.policy,
                assessment.now_ms,
            )?;
        }
        if let Some(grace) = self.grace(assessment.now_ms) {
            if grace.has_no_floor() {
                let grace_ms = self.policy.restart_grace_ms;
                judge::known_before(assessment, scope, &self.query, grace.first_ms(), grace_ms)?;
            }
            if held.is_none() {
                *held = Some((grace.start_ms(), grace.why.clone()));
            }
        }
        Ok(time_ms)
    }

    /// In a grace, a group that the new process does not expose yet is held at its value before the change (S6b).
    pub(super) fn add_vanished<'a>(
        &'a self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'a>,
        held: &mut Held,
        elements: &mut Vec<Element>,
    ) -> Result<(), String> {
        let gone = {
            let shown = elements.iter().map(|element| &element.labels);
            let shown: HashSet<&Labels> = shown.collect();
            let is_gone = |labels: &Labels| {
                !labels.is_empty() && fits(labels, assessment.pins) && !shown.contains(labels)
            };
            let floors = self.floors(assessment);
            let mut gone: Vec<_> = floors.filter(|(labels, _)| is_gone(labels)).collect();
            gone.sort_by_key(|(labels, _)| *labels);
            gone
        };
        for (labels, floor) in gone {
            let pins = group_pins(labels, assessment.pins);
            let scope = scopes.candidates.scope(&pins, &self.query, &self.policy);
            let all_left = scope.counting.is_empty() && !scopes.whole.counting.is_empty();
            let time_ms = match self.grace(assessment.now_ms).filter(|_| all_left) {
                // Nobody is left who could tell of it: the others go on, and it is what it was.
                Some(grace) => {
                    if held.is_none() {
                        *held = Some((grace.start_ms(), grace.why.clone()));
                    }
                    grace.start_ms()
                }
                None => self.judge(assessment.pinned(&pins), &scope, held)?,
            };
            elements.push(Element {
                labels: labels.clone(),
                value: floor.value,
                time: Timestamp::from_ms(time_ms.min(floor.measured_ms)),
            });
        }
        Ok(())
    }
}

/// Whether no pin contradicts a label of the group.
pub(in crate::signal) fn fits(labels: &Labels, pins: Pins<'_>) -> bool {
    pins.iter()
        .all(|(label, value)| labels.get(label).is_none_or(|have| have == value))
}

/// A group's labels and the caller's pins.
fn group_pins(labels: &Labels, pins: Pins<'_>) -> Vec<(String, String)> {
    let of_group = labels.iter().map(|(l, v)| (l.to_owned(), v.to_owned()));
    of_group.chain(pins.iter().cloned()).collect()
}
