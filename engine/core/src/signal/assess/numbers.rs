//! S5: what is a number and what is none, of a result and of the samples that it reads.

use super::super::assessment::{Assessment, Pins};
use super::super::policy::Nan;
use super::super::signal::Signal;
use super::Held;
use super::groups::fits;
use crate::labels::Labels;

/// Larger numbers wrap around in the HPA's arithmetic (apimachinery `Quantity.MilliValue`).
const NUMBER_MAX: f64 = 9.2e15;

/// What a sender says of its signals, NaN where one is unknown (S5).
const SIGNAL_VALUE: &str = "stillwell_signal_value";

/// Why `nan: zero` makes no 0 of a result.
const WHY_NAN_IN_PART: &str = "the result is NaN because some of the samples that it reads are: `nan: zero` counts such a sample as 0 in a sum, \
     and says nothing of other queries";

impl Signal {
    /// The number to report for a group: at least the floor of a grace, with when that was measured where it is the floor. Error:
    /// it is no quantity.
    pub(super) fn number(
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
    pub(in crate::signal) fn not_nan(
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
    pub(in crate::signal) fn quantity(
        &self,
        value: f64,
        floor: Option<f64>,
    ) -> Result<f64, String> {
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
    pub(in crate::signal) fn check_finite(
        &self,
        group: &Labels,
        pins: Pins<'_>,
    ) -> Result<(), String> {
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

    /// Why a result that is NaN is told as unknown.
    pub(super) fn why_nan(&self) -> String {
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

    /// Why a query is unknown that reads this series, which is NaN or infinite.
    pub(super) fn why_not_finite(&self, labels: &Labels) -> String {
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
}
