//! The newest result as a reading: its groups one by one, and what all of them together need.

use super::super::absence;
use super::super::assessment::Assessment;
use super::super::demand::Demand;
use super::super::grace;
use super::super::judge;
use super::super::losses;
use super::super::reading::{Element, Reading, State};
use super::super::scopes::Scopes;
use super::super::signal::Signal;
use super::super::unlisted::all_are_listed;
use super::Held;
use super::groups::fits;
use crate::labels::Labels;
use crate::time::Timestamp;

impl Signal {
    /// The reading at the time and for the pins of the assessment.
    pub(in crate::signal) fn read(&self, assessment: Assessment<'_>) -> Reading {
        let measured = self.read_measured(assessment);
        self.configured(measured, assessment)
    }

    /// The same without a fallback: nothing but what was measured.
    pub(in crate::signal) fn read_measured(&self, assessment: Assessment<'_>) -> Reading {
        let assessed = match (&self.query.unreadable, &self.policy.object_label) {
            (Some(why), _) => Err(why.clone()),
            (None, Some(label)) => self.assess_objects(assessment, label),
            (None, None) => self.assess(assessment),
        };
        match assessed {
            Ok(reading) => reading,
            Err(why) => Reading {
                state: State::Unknown { why },
                elements: Vec::new(),
            },
        }
    }

    pub(super) fn assess(&self, assessment: Assessment<'_>) -> Result<Reading, String> {
        all_are_listed(assessment, &self.query, &self.policy)?;
        let crash_loop = grace::crash_loop(assessment, &self.scope, &self.policy);
        if let (Some(why), Demand::None) = (&crash_loop, self.query.demand) {
            return Err(why.clone());
        }
        let values = self.result.as_ref().map_err(String::clone)?;
        let fits = |labels: &Labels| fits(labels, assessment.pins);
        let groups: Vec<_> = values.iter().filter(|(labels, _)| fits(labels)).collect();
        let scopes = self.scopes(assessment, &groups);
        if groups.iter().any(|(labels, _)| !labels.is_empty())
            && let Some(why) = scopes
                .of_whole(assessment)
                .find_map(|(one, scope)| judge::not_retained(one, scope, &self.query))
        {
            return Err(why); // groups of which nothing is stored are in no result
        }
        let mut held = self.held_for_not_known(assessment, &scopes)?;
        let is_whole = held.is_none();
        if groups.iter().any(|(labels, _)| !labels.is_empty()) {
            // A target may have groups that are in no result, as one that never answered.
            self.judge_whole(assessment, &scopes, &mut held)?;
        }
        let mut elements = Vec::new();
        for (labels, value) in groups {
            self.check_finite(labels, assessment.pins)?;
            let time_ms = self.judge_group(assessment, labels, &scopes, &mut held)?;
            let (value, measured_ms) = self.not_nan(labels, *value, &mut held)?;
            let (value, floor_ms) = self.number(labels, value, assessment)?;
            let times_ms = [Some(time_ms), measured_ms, floor_ms].into_iter().flatten();
            elements.push(Element {
                labels: labels.clone(),
                value,
                time: Timestamp::from_ms(times_ms.min().unwrap_or(time_ms)),
            });
        }
        let was_evaluated = !elements.is_empty();
        self.add_vanished(assessment, &scopes, &mut held, &mut elements)?;
        // What a comparison told before is held as what it compares is, whether that is there by now or not.
        let leaves_out = self.query.filter.is_some() || self.query.comparison.is_some();
        if self.query.leaves_out && was_evaluated {
            self.judge_left_out(assessment, &scopes, &mut held, &mut elements)?;
        }
        let is_vanished = leaves_out && !was_evaluated && !elements.is_empty();
        if is_whole && !is_vanished {
            self.prove_empty_parts(assessment, &scopes, &mut elements)?;
        }
        if let Some(is_zero) = has_zero(&elements) {
            let of_whole = scopes.of_whole(assessment).filter(|_| is_whole);
            for (assessment, scope) in of_whole {
                absence::complete(assessment, scope, &self.query, &self.policy, is_zero)?;
            }
        } else if let (Some(filter), [part]) = (self.query.filter, &self.query.parts[..]) {
            let filtered = (filter, part);
            elements.extend(self.filtered(assessment, &scopes, filtered, &mut held)?);
        } else if let (Some(comparison), true) = (&self.query.comparison, self.left_out.all) {
            elements.extend(self.combined(assessment, &scopes, comparison, &mut held)?);
        } else {
            elements.push(self.empty(assessment, &scopes, is_whole, &mut held)?);
        }
        self.refuse_zero(assessment, crash_loop, &elements, &mut held)?;
        let state = match held {
            None => State::Value,
            Some((since_ms, why)) => State::Held {
                age_ms: assessment.now_ms - since_ms,
                why,
            },
        };
        Ok(Reading { state, elements })
    }

    /// What a comparison leaves out is no less a part of the answer: it may be another by now, or was not measured. The elements
    /// that are told are as old as that.
    pub(super) fn judge_left_out(
        &self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'_>,
        held: &mut Held,
        elements: &mut [Element],
    ) -> Result<(), String> {
        self.check_finite(&self.pinned_of_empty(assessment.pins), assessment.pins)?;
        let time_ms = self.judge_whole(assessment, scopes, held)?;
        for element in elements {
            element.time = element.time.min(Timestamp::from_ms(time_ms));
        }
        Ok(())
    }

    /// S2b: what is read and not known is what it was at most, for as long as what was measured before counts (S6b). Error: it
    /// does not, or more may mean less.
    pub(super) fn held_for_not_known(
        &self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'_>,
    ) -> Result<Held, String> {
        let mut not_known = scopes
            .of_whole(assessment)
            .filter_map(|(one, scope)| losses::not_known(one, scope, &self.query));
        let Some(why) = not_known.next() else {
            return Ok(None);
        };
        let grace = self.grace(assessment.now_ms);
        let grace = grace.filter(|one| !one.has_no_floor() && self.query.demand == Demand::Rising);
        match grace {
            Some(grace) => Ok(Some((grace.start_ms(), why.to_owned()))),
            None => Err(why.to_owned()),
        }
    }

    /// S6: in a crash loop, after a restart before which the value was not known, and within the grace if the query may fall
    /// where demand rises, a reading with a number above 0 is held, and any other is unknown.
    pub(super) fn refuse_zero(
        &self,
        assessment: Assessment<'_>,
        crash_loop: Option<String>,
        elements: &[Element],
        held: &mut Held,
    ) -> Result<(), String> {
        let unseen = || {
            let reads_demand = self.query.demand != Demand::None;
            reads_demand.then(|| {
                let grace_ms = self.policy.restart_grace_ms;
                grace::restarted_unseen(assessment, &self.scope, self.known_since_ms, grace_ms)
            })?
        };
        let is_no_more_than_before = |element: &Element| {
            let floor = self.floor(&element.labels, assessment);
            floor.is_some_and(|floor| floor.value >= element.value)
        };
        let floorless = || {
            let grace = self.grace(assessment.now_ms)?;
            let of = match (self.query.demand, self.unmeasured) {
                (_, true) => "of a query that was not evaluated right before",
                (Demand::Any, _) if !elements.iter().all(is_no_more_than_before) => {
                    "of a query that may fall while demand rises"
                }
                _ => return None,
            };
            let grace_s = self.policy.restart_grace_ms / 1000;
            let why = &grace.why;
            Some(format!(
                "{why}: for {grace_s} s only a number above 0 is told {of}"
            ))
        };
        let Some(why) = crash_loop.or_else(unseen).or_else(floorless) else {
            return Ok(());
        };
        if elements.iter().all(|element| element.value <= 0.0) {
            return Err(why);
        }
        if held.is_none() {
            *held = Some((self.at_ms.unwrap_or(assessment.now_ms), why));
        }
        Ok(())
    }
}

/// Whether some element is 0 or less; `None` if there is no element.
fn has_zero(elements: &[Element]) -> Option<bool> {
    let mut values = elements.iter().map(|element| element.value);
    (!elements.is_empty()).then(|| values.any(|value| value <= 0.0))
}
