//! S4 and S9c: which group an empty result stands for, and whether it is proven to be 0.

use super::super::absence;
use super::super::assessment::{Assessment, Pins};
use super::super::reading::Element;
use super::super::scopes::Scopes;
use super::super::signal::Signal;
use super::Held;
use crate::labels::Labels;
use crate::time::Timestamp;

impl Signal {
    /// S4: the element that stands for an empty result, if that is proven to be one.
    pub(super) fn empty<'a>(
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

    /// S9c: the labels of the one group that an empty result stands for. Error: it could be several.
    pub(in crate::signal) fn empty_group(&self, pins: Pins<'_>) -> Result<Labels, String> {
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

    pub(super) fn empty_value<'a>(
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

    /// Sums within the query whose result is empty count as 0 only if that is proven for each of them (S4).
    pub(super) fn prove_empty_parts<'a>(
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
}
