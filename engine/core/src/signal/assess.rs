//! The reading of one signal: its newest result is judged group by group, absences are proven, graces are applied.

use hashbrown::HashSet;

use crate::labels::Labels;
use crate::time::Timestamp;

use super::absence;
use super::assessment::{Assessment, Pins};
use super::candidates::Candidates;
use super::demand::Demand;
use super::grace::{self, Floor, Grace};
use super::judge::{self, Verdict};
use super::losses;
use super::policy::Nan;
use super::query::Kind;
use super::reading::{Element, Reading, State};
use super::scope::Scope;
use super::scopes::{Scopes, lacks_pinned};
use super::signal::Signal;
use super::unlisted::all_are_listed;
use super::windows;

/// Larger numbers wrap around in the HPA's arithmetic (apimachinery `Quantity.MilliValue`).
pub(crate) const NUMBER_MAX: f64 = 9.2e15;

/// What a sender says of its signals, NaN where one is unknown (S5).
const SIGNAL_VALUE: &str = "stillwell_signal_value";

/// Why `nan: zero` makes no 0 of a result.
const WHY_NAN_IN_PART: &str = "the result is NaN because some of the samples that it reads are: `nan: zero` counts such a sample as 0 in a sum, \
     and says nothing of other queries";

/// For a held reading: the time of its oldest part, in milliseconds, and why it is held.
pub(super) type Held = Option<(i64, String)>;

impl Signal {
    /// The reading at the time and for the pins of the assessment.
    pub(super) fn read(&self, assessment: Assessment<'_>) -> Reading {
        let measured = self.read_measured(assessment);
        self.configured(measured, assessment)
    }

    /// The same without a fallback: nothing but what was measured.
    pub(super) fn read_measured(&self, assessment: Assessment<'_>) -> Reading {
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

    fn assess(&self, assessment: Assessment<'_>) -> Result<Reading, String> {
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
    fn judge_left_out(
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

    /// S4: the element that stands for an empty result, if that is proven to be one.
    fn empty<'a>(
        &'a self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'a>,
        is_whole: bool,
        held: &mut Held,
    ) -> Result<Element, String> {
        self.check_finite(&self.pinned_of_empty(assessment.pins), assessment.pins)?;
        let time_ms = self.judge_whole(assessment, scopes, held)?;
        let why_empty = |why: String| match absence::unseen(assessment, &self.query) {
            Some(unseen) if !why.contains(&unseen) => format!("{unseen}; {why}"),
            _ => why,
        };
        // Of labels that nothing has because nothing met, no group is asked for.
        let of_comparison = |why| match &self.query.comparison {
            Some(comparison) => comparison.why_unknown(),
            None => why,
        };
        let labels = self.empty_group(assessment.pins);
        let labels = labels.map_err(of_comparison).map_err(why_empty)?;
        let floor = self.floor(&labels, assessment).filter(|_| !is_whole);
        let value = match (self.empty_value(assessment, scopes), floor) {
            (Err(_), Some(_)) => f64::NEG_INFINITY, // nothing is proven: it is what was before
            (proven, _) => proven.map_err(why_empty)?,
        };
        let (value, floor_ms) = self.number(&labels, value, assessment)?;
        Ok(Element {
            labels,
            value,
            time: Timestamp::from_ms(floor_ms.map_or(time_ms, |ms| ms.min(time_ms))),
        })
    }

    /// S2b: what is read and not known is what it was at most, for as long as what was measured before counts (S6b). Error: it
    /// does not, or more may mean less.
    fn held_for_not_known(
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
    fn refuse_zero(
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

    /// In a grace, a group that the new process does not expose yet is held at its value before the change (S6b).
    fn add_vanished<'a>(
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

    /// Sums within the query whose result is empty count as 0 only if that is proven for each of them (S4).
    fn prove_empty_parts<'a>(
        &'a self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'a>,
        elements: &mut [Element],
    ) -> Result<(), String> {
        let at_ms = self.at_ms.unwrap_or(assessment.now_ms);
        for part in self
            .empty_parts
            .iter()
            .filter_map(|&index| self.query.parts.get(index))
        {
            for (assessment, scope) in scopes.of_part(assessment, part, &self.policy) {
                absence::prove(assessment, &scope, part, &self.policy, at_ms)?;
            }
        }
        let all_empty =
            !self.query.parts.is_empty() && self.empty_parts.len() == self.query.parts.len();
        if let (true, Some(fallback)) = (all_empty, self.query.fallback) {
            for element in elements {
                let floor_ms;
                (element.value, floor_ms) = self.number(&element.labels, fallback, assessment)?;
                if let Some(floor_ms) = floor_ms {
                    element.time = element.time.min(Timestamp::from_ms(floor_ms));
                }
            }
        }
        Ok(())
    }

    /// Judges the targets of one group. Returns and sets what [`Signal::judge`] does.
    fn judge_group<'a>(
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
    fn judge_others<'a>(
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
    pub(super) fn judge_whole(
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
    fn judge_pinned<'a>(
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
    pub(super) fn judge(
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

    /// Values from before a change of process, below which no group is reported: in a grace, and in a crash loop.
    fn floors<'s>(
        &'s self,
        assessment: Assessment<'s>,
    ) -> impl Iterator<Item = (&'s Labels, Floor)> {
        let (grace, in_loop) = self.floors_apply(assessment);
        let grace_ms = self.policy.restart_grace_ms;
        grace
            .into_iter()
            .flat_map(move |grace| grace.floors(assessment.now_ms, grace_ms, in_loop))
    }

    /// That of one group.
    pub(super) fn floor(&self, labels: &Labels, assessment: Assessment<'_>) -> Option<Floor> {
        let (grace, in_loop) = self.floors_apply(assessment);
        let grace_ms = self.policy.restart_grace_ms;
        grace?.floor(labels, assessment.now_ms, grace_ms, in_loop)
    }

    /// The grace whose values apply now, and whether a crash loop makes them apply for longer.
    fn floors_apply(&self, assessment: Assessment<'_>) -> (Option<&Grace>, bool) {
        if self.grace.is_none() || self.query.demand == Demand::None {
            return (None, false);
        }
        let in_loop = grace::crash_loop(assessment, &self.scope, &self.policy).is_some();
        let runs = in_loop || self.grace(assessment.now_ms).is_some();
        (self.grace.as_ref().filter(|_| runs), in_loop)
    }

    /// The number to report for a group: at least the floor of a grace, with when that was measured where it is the floor. Error:
    /// it is no quantity.
    fn number(
        &self,
        labels: &Labels,
        value: f64,
        assessment: Assessment<'_>,
    ) -> Result<(f64, Option<i64>), String> {
        let floor = self.floor(labels, assessment);
        let told = self.quantity(value, floor.map(|floor| floor.value))?;
        let wins = floor.filter(|floor| floor.value > value);
        Ok((told, wins.map(|floor| floor.measured_ms)))
    }

    /// The result of a group that may be NaN as what the policy says: itself, 0, or the last number, which is held since it was
    /// measured, with that time.
    pub(super) fn not_nan(
        &self,
        labels: &Labels,
        value: f64,
        held: &mut Held,
    ) -> Result<(f64, Option<i64>), String> {
        match self.policy.nan {
            _ if !value.is_nan() => Ok((value, None)),
            Nan::Unknown => Err(self.why_nan()),
            Nan::Zero if self.nan_in_part.contains(labels) => Err(WHY_NAN_IN_PART.to_owned()),
            Nan::Zero => Ok((0.0, None)),
            Nan::Last => {
                let Some(&(last, at_ms)) = self.numbers.get(labels) else {
                    return Err(
                        "the result is NaN, and its process gave no number before it".to_owned(),
                    );
                };
                if held.as_ref().is_none_or(|(since_ms, _)| at_ms < *since_ms) {
                    *held = Some((
                        at_ms,
                        "the result is NaN; `nan: last` tells the last number".to_owned(),
                    ));
                }
                Ok((last, Some(at_ms)))
            }
        }
    }

    /// The number of a group as a quantity: at least `floor`. Error: it is none.
    pub(super) fn quantity(&self, value: f64, floor: Option<f64>) -> Result<f64, String> {
        if value.is_nan() {
            return Err(self.why_nan()); // the constant of an `or vector(c)`
        }
        let mut value = value;
        if let Some(floor) = floor {
            value = value.max(floor);
        }
        if value.is_infinite() {
            return Err(
                "the result is infinite, which no Kubernetes quantity can carry".to_owned(),
            );
        }
        if value.abs() > NUMBER_MAX {
            return Err(format!(
                "the result is beyond {NUMBER_MAX:e}, the most that a Kubernetes quantity can carry"
            ));
        }
        Ok(value)
    }

    /// S5: checks that every sample is a number that the query reads for a group, where the result would hide that one is
    /// none. Quantiles of a summary are NaN while nothing was observed, which is no fault of anybody.
    pub(super) fn check_finite(&self, group: &Labels, pins: Pins<'_>) -> Result<(), String> {
        if self.not_finite.is_empty() || self.policy.nan != Nan::Unknown {
            return Ok(());
        }
        // Other labels of an element are those of the series that `topk` has chosen. Where the query writes labels, those of
        // a group say nothing of its series.
        let mut known = Vec::new();
        if !self.query.writes_labels {
            // Who pins a label that the group lacks is told of all of them.
            known.extend(pins.iter().filter(|(l, _)| group.get(l).is_some()).cloned());
            for label in &self.query.grouping {
                let value = group.get(label).map(str::to_owned);
                known.extend(value.map(|value| (label.clone(), value)));
            }
        }
        let is_quantile = |labels: &Labels| labels.get("quantile").is_some();
        let mut all = self.not_finite.iter();
        let none = all.find(|labels| !is_quantile(labels) && fits(labels, &known));
        none.map_or(Ok(()), |labels| Err(self.why_not_finite(labels)))
    }

    /// Why a query is unknown that reads this series, which is NaN or infinite.
    fn why_not_finite(&self, labels: &Labels) -> String {
        let mut metrics = self.query.metrics();
        let of = match (metrics.next(), metrics.next()) {
            (Some(metric), None) => metric,
            _ => "", // several: the labels have to do
        };
        let what = match (of, labels.is_empty()) {
            ("", true) => "a series that the query reads".to_owned(),
            (of, true) => of.to_owned(),
            (of, false) => format!("{of}{labels}"),
        };
        format!(
            "the newest sample of {what} is NaN or infinite, so its value is not known, and the query would leave it out \
             or make a number of it; `nan: zero` or `nan: last` permits that"
        )
    }

    /// Why a result that is NaN is told as unknown.
    fn why_nan(&self) -> String {
        let mut selectors = self.query.selectors.iter();
        let of_senders = selectors.any(|one| one.metric.as_deref() == Some(SIGNAL_VALUE));
        let why = match of_senders {
            true => {
                "the result is NaN: a sender says that its own signal is unknown, and its `/signals` says why"
            }
            false => {
                "the result is NaN (a gauge says so, or 0 was divided by 0: no traffic in the window); \
                 `nan: zero` or `nan: last` says what that means here"
            }
        };
        why.to_owned()
    }

    /// S9c: the labels of the one group that an empty result stands for. Error: it could be several.
    pub(super) fn empty_group(&self, pins: Pins<'_>) -> Result<Labels, String> {
        match (self.query.is_absent, self.query.fallback) {
            (false, _) => {}
            // Its series are there, so that the constant is the result, which has no labels.
            (true, Some(_)) => return Ok(Labels::empty()),
            (true, None) => {
                return Err(
                    "absent() yields nothing while its series are there, and nothing is no number; \
                     write `absent(...) or vector(0)`"
                        .to_owned(),
                );
            }
        }
        let mut pairs = Vec::new();
        for label in &self.query.grouping {
            match pins.iter().find(|(pinned, _)| pinned == label) {
                Some((label, value)) => pairs.push((label.as_str(), value.as_str())),
                None if label == "*" => {
                    return Err(
                        "the result is empty, and which of its series would be 0 cannot be told; take the sum of it"
                            .to_owned(),
                    );
                }
                None => {
                    return Err(format!(
                        "no group exists, and which one would be 0 is not said: pin the label {label:?}"
                    ));
                }
            }
        }
        Ok(Labels::from_pairs(pairs))
    }

    fn empty_value<'a>(
        &'a self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'a>,
    ) -> Result<f64, String> {
        if self.query.is_opaque && self.query.fallback.is_none() {
            return Err("some part of the query has no series, and which of its parts would be 0 cannot be told; add \
                        `or vector(0)` to each part"
                .to_owned());
        }
        let at_ms = self.at_ms.unwrap_or(assessment.now_ms);
        for (assessment, scope) in scopes.of_part(assessment, &self.query, &self.policy) {
            absence::prove(assessment, &scope, &self.query, &self.policy, at_ms)?;
        }
        Ok(self.query.fallback.unwrap_or(0.0))
    }
}

/// Whether some element is 0 or less; `None` if there is no element.
fn has_zero(elements: &[Element]) -> Option<bool> {
    let mut values = elements.iter().map(|element| element.value);
    (!elements.is_empty()).then(|| values.any(|value| value <= 0.0))
}

/// Whether no pin contradicts a label of the group.
pub(super) fn fits(labels: &Labels, pins: Pins<'_>) -> bool {
    pins.iter()
        .all(|(label, value)| labels.get(label).is_none_or(|have| have == value))
}

/// A group's labels and the caller's pins.
pub(super) fn group_pins(labels: &Labels, pins: Pins<'_>) -> Vec<(String, String)> {
    let of_group = labels.iter().map(|(l, v)| (l.to_owned(), v.to_owned()));
    of_group.chain(pins.iter().cloned()).collect()
}
