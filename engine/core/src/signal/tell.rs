//! What one signal may say now: its result judged group by group, absences proven, graces applied.

use crate::labels::Labels;

use super::facts::Facts;
use super::judge::{self, Verdict};
use super::names::Names;
use super::policy::Nan;
use super::query::Kind;
use super::reading::{Element, Reading, State};
use super::scope::{self, Pins};
use super::watched::Signal;
use crate::time::Timestamp;

/// Numbers past this wrap around in the HPA's arithmetic (apimachinery `Quantity.MilliValue`).
pub(crate) const NUMBER_MAX: f64 = 9.2e15;

impl Signal {
    pub(super) fn read(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
    ) -> Reading {
        match self.judge(facts, names, now_ms, pins) {
            Ok(reading) => reading,
            Err(why) => Reading {
                state: State::Unknown { why },
                elements: Vec::new(),
            },
        }
    }

    fn judge(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
    ) -> Result<Reading, String> {
        self.crash_loops(facts, now_ms)?;
        let values = match (&self.result, self.at_ms) {
            (Ok(values), Some(_)) => values,
            (Err(why), _) => return Err(why.clone()),
            (Ok(values), None) => values,
        };
        let fits = |labels: &Labels| {
            pins.iter()
                .all(|(l, v)| labels.get(l).is_none_or(|have| have == v))
        };
        let groups: Vec<&(Labels, f64)> =
            values.iter().filter(|(labels, _)| fits(labels)).collect();
        let mut held: Option<(i64, String)> = None;
        let mut elements = Vec::new();
        for (labels, value) in groups {
            let group_pins: Vec<(String, String)> = labels
                .iter()
                .map(|(l, v)| (l.to_owned(), v.to_owned()))
                .chain(pins.iter().cloned())
                .collect();
            let time_ms = self.judge_group(facts, names, now_ms, &group_pins, &mut held)?;
            let value = self.number(labels, *value, now_ms)?;
            elements.push(Element {
                labels: labels.clone(),
                value,
                time: Timestamp::from_ms(time_ms),
            });
        }
        self.add_vanished(facts, names, now_ms, pins, &mut held, &mut elements)?;
        self.prove_empty_parts(facts, names, now_ms, pins, &mut elements)?;
        if elements.is_empty() {
            let time_ms = self.judge_group(facts, names, now_ms, pins, &mut held)?;
            let labels = self.empty_group(pins)?;
            let value = self.empty_value(facts, names, now_ms, pins)?;
            let value = self.number(&labels, value, now_ms)?;
            elements.push(Element {
                labels,
                value,
                time: Timestamp::from_ms(time_ms),
            });
        }
        let state = match held {
            None => State::Value,
            Some((since_ms, why)) => State::Held {
                age_ms: now_ms - since_ms,
                why,
            },
        };
        Ok(Reading { state, elements })
    }

    /// In a grace a group that the new process does not show yet is held at what it was (S6b).
    fn add_vanished(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
        held: &mut Option<(i64, String)>,
        elements: &mut Vec<Element>,
    ) -> Result<(), String> {
        let Some(grace) = self.grace(now_ms) else {
            return Ok(());
        };
        for (labels, floor) in grace.floor.iter().filter(|(labels, _)| !labels.is_empty()) {
            let fits = pins
                .iter()
                .all(|(l, v)| labels.get(l).is_none_or(|have| have == v));
            if !fits || elements.iter().any(|element| element.labels == *labels) {
                continue;
            }
            let group: Vec<(String, String)> = labels
                .iter()
                .map(|(l, v)| (l.to_owned(), v.to_owned()))
                .chain(pins.iter().cloned())
                .collect();
            let time_ms = self.judge_group(facts, names, now_ms, &group, held)?;
            let time = Timestamp::from_ms(time_ms);
            elements.push(Element {
                labels: labels.clone(),
                value: *floor,
                time,
            });
        }
        Ok(())
    }

    /// Sums within the query that had no series count as 0 only where that is proven, each for itself (S4).
    fn prove_empty_parts(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
        elements: &mut [Element],
    ) -> Result<(), String> {
        let at_ms = self.at_ms.unwrap_or(now_ms);
        for part in self
            .empty_parts
            .iter()
            .filter_map(|&index| self.query.parts.get(index))
        {
            let scope = scope::of_query(facts, names, part, &self.policy, pins);
            judge::absence(facts, names, &scope, part, &self.policy, pins, at_ms)?;
        }
        let all_empty =
            !self.query.parts.is_empty() && self.empty_parts.len() == self.query.parts.len();
        if let (true, Some(fallback)) = (all_empty, self.query.fallback) {
            for element in elements {
                element.value = self.number(&element.labels, fallback, now_ms)?;
            }
        }
        Ok(())
    }

    /// May a number be told for a group? Its time; `held` remembers the oldest reason to hold.
    fn judge_group(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
        held: &mut Option<(i64, String)>,
    ) -> Result<i64, String> {
        let narrowed;
        let scope = if pins.is_empty() {
            &self.scope
        } else {
            narrowed = scope::of_query(facts, names, &self.query, &self.policy, pins);
            &narrowed
        };
        let mut time_ms = self.at_ms.unwrap_or(now_ms);
        match judge::targets(facts, scope, &self.query, &self.policy, now_ms) {
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
            judge::processes_cover(facts, scope, &self.query, now_ms)?;
            judge::windows_covered(facts, scope, &self.query, &self.policy, now_ms)?;
        }
        if let Some(grace) = self.grace(now_ms).filter(|grace| grace.floor.is_empty()) {
            let grace_ms = self.policy.restart_grace_ms;
            judge::known_before(facts, scope, &self.query, grace.start_ms, grace_ms)?;
        }
        if let Some(grace) = self.grace(now_ms)
            && held.is_none()
        {
            *held = Some((grace.start_ms, grace.why.clone()));
        }
        Ok(time_ms)
    }

    /// The number of a group: clamped in a grace, checked for what a quantity cannot be.
    fn number(&self, labels: &Labels, value: f64, now_ms: i64) -> Result<f64, String> {
        let mut value = value;
        if value.is_nan() {
            value = match self.policy.nan {
                Nan::Zero => 0.0,
                Nan::Last => self.before(labels).ok_or_else(|| {
                    "the result is NaN, and there was no number before it".to_owned()
                })?,
                Nan::Unknown => {
                    return Err("the result is NaN (a division by zero, most likely: no traffic in the window); \
                                `nan: zero` or `nan: last` says what that means here"
                        .to_owned());
                }
            };
        }
        if let Some(grace) = self.grace(now_ms) {
            let floor = grace
                .floor
                .iter()
                .find(|(have, _)| have == labels)
                .map(|(_, value)| *value);
            value = floor.map_or(value, |floor| value.max(floor));
        }
        if value.abs() > NUMBER_MAX {
            return Err(format!(
                "the result is {value}, which no Kubernetes quantity can carry"
            ));
        }
        Ok(value)
    }

    fn before(&self, labels: &Labels) -> Option<f64> {
        self.numbers
            .iter()
            .find(|(have, _)| have == labels)
            .map(|(_, value)| *value)
    }

    /// S9c: the one group that an empty result can stand for.
    fn empty_group(&self, pins: Pins<'_>) -> Result<Labels, String> {
        let mut pairs = Vec::new();
        for label in &self.query.grouping {
            match pins.iter().find(|(pinned, _)| pinned == label) {
                Some((label, value)) => pairs.push((label.as_str(), value.as_str())),
                None => {
                    return Err(format!(
                        "no group exists, and which one would be 0 is not said: pin the label {label:?}"
                    ));
                }
            }
        }
        Ok(Labels::from_pairs(pairs))
    }

    fn empty_value(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
    ) -> Result<f64, String> {
        if self.query.is_opaque && self.query.fallback.is_none() {
            return Err("some part of the query has no series, and which of its parts would be 0 cannot be told; add \
                        `or vector(0)` to each part"
                .to_owned());
        }
        let narrowed = scope::of_query(facts, names, &self.query, &self.policy, pins);
        judge::absence(
            facts,
            names,
            &narrowed,
            &self.query,
            &self.policy,
            pins,
            self.at_ms.unwrap_or(now_ms),
        )?;
        Ok(self.query.fallback.unwrap_or(0.0))
    }

    /// S6c.
    fn crash_loops(&self, facts: &Facts, now_ms: i64) -> Result<(), String> {
        let window_ms = self.policy.restart_grace_ms.saturating_mul(5);
        for target in self
            .scope
            .counting
            .iter()
            .filter_map(|&id| facts.target(id))
        {
            let restarts = target
                .changes_ms
                .iter()
                .filter(|&&change_ms| now_ms - change_ms < window_ms)
                .count();
            if restarts >= 3 {
                return Err(format!(
                    "crash loop: {} restarted {restarts} times within {} s",
                    target.name,
                    judge::seconds(window_ms)
                ));
            }
        }
        Ok(())
    }
}
