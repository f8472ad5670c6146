//! Numbers that a user wants told although they were not measured (S5), off unless they are configured: the fallback of a
//! signal that stays unknown, and the floor under one that is not.

use crate::time::Timestamp;

use super::assess::fits;
use super::assessment::Assessment;
use super::grace::Measured;
use super::policy::{Fallback, FallbackNumber};
use super::reading::{Element, Reading, State};
use super::signal::Signal;

impl Signal {
    /// What is told in place of what was measured.
    pub(super) fn configured(&self, measured: Reading, assessment: Assessment<'_>) -> Reading {
        let reading = self.or_fallback(measured, self.unknown_since_ms, assessment);
        self.with_floor(reading)
    }

    /// The reading with no number below the floor. A signal that is unknown stays so: it may be above the floor.
    fn with_floor(&self, mut reading: Reading) -> Reading {
        let (Some(floor), None) = (self.policy.floor, &self.policy.object_label) else {
            return reading;
        };
        let below = |element: &&mut Element| element.value < floor;
        let mut measured = None;
        for element in reading.elements.iter_mut().filter(below) {
            measured = Some(measured.map_or(element.value, |least: f64| least.min(element.value)));
            element.value = floor;
        }
        if let Some(measured) = measured {
            let why = format!("the floor of this signal is {floor}, and {measured} was measured");
            reading.state = State::Configured { why };
        }
        reading
    }

    /// The reading, or in its place the fallback, if the signal has been unknown for long enough. `since_ms`: since when it is
    /// unknown.
    fn or_fallback(
        &self,
        reading: Reading,
        since_ms: Option<i64>,
        assessment: Assessment<'_>,
    ) -> Reading {
        let State::Unknown { why } = &reading.state else {
            return reading;
        };
        let (Some(fallback), Some(since_ms)) = (&self.policy.fallback, since_ms) else {
            return reading;
        };
        let unknown_ms = assessment.now_ms.saturating_sub(since_ms);
        if unknown_ms < fallback.after_ms {
            return reading;
        }
        match self.fallback_elements(fallback, assessment) {
            Ok(elements) => Reading {
                state: State::Configured {
                    why: format!(
                        "the fallback of this signal, which was not measured: unknown since {}: {why}",
                        Timestamp::from_ms(
                            since_ms.saturating_add(assessment.facts.wall_offset_ms)
                        )
                        .rfc3339_seconds()
                    ),
                },
                elements,
            },
            Err(why_not) => Reading {
                state: State::Unknown {
                    why: format!("{why}; there is no fallback for it: {why_not}"),
                },
                elements: Vec::new(),
            },
        }
    }

    fn fallback_elements(
        &self,
        fallback: &Fallback,
        assessment: Assessment<'_>,
    ) -> Result<Vec<Element>, String> {
        // A result that was empty, and proven to mean nothing, is measured as well, and no number.
        let numbers = |of: &&Measured| of.1.iter().any(|(_, value)| value.is_finite());
        let measured = self.measured.as_ref().filter(numbers);
        let newest = self.last_value.iter().chain(measured).max_by_key(|of| of.0);
        let measured = newest.or(self.measured.as_ref());
        let known = measured.into_iter().flat_map(|(time_ms, groups)| {
            let groups = groups.iter();
            groups.map(|(labels, value)| (*time_ms, labels, *value))
        });
        let known =
            known.filter(|(_, labels, value)| fits(labels, assessment.pins) && value.is_finite());
        let element = |time_ms: i64, labels: &crate::labels::Labels, value: f64| Element {
            labels: labels.clone(),
            value,
            time: Timestamp::from_ms(time_ms),
        };
        let elements: Vec<Element> = match fallback.number {
            FallbackNumber::Last => known
                .map(|(time_ms, labels, value)| element(time_ms, labels, value))
                .collect(),
            FallbackNumber::Fixed(value) => known
                .map(|(_, labels, _)| element(assessment.now_ms, labels, value))
                .collect(),
        };
        match (elements.is_empty(), fallback.number) {
            (false, _) => Ok(elements),
            (true, FallbackNumber::Last) => Err("nothing was measured before".to_owned()),
            (true, FallbackNumber::Fixed(value)) => {
                let labels = self.empty_group(assessment.pins)?;
                Ok(vec![element(assessment.now_ms, &labels, value)])
            }
        }
    }
}
