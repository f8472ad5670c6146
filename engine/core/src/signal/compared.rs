//! S5 for results that are empty because comparisons have left out all that was measured, which is an answer: what is compared is
//! measured, or proven to be 0.

use crate::labels::Labels;
use crate::time::Timestamp;

use super::absence;
use super::assess::Held;
use super::assessment::Assessment;
use super::query::{Comparison, Filter, SignalQuery};
use super::reading::Element;
use super::scopes::Scopes;
use super::signal::Signal;

impl Signal {
    /// S5: what a comparison with a number tells that has left out every element of what it compares. That was measured, so nothing
    /// is what there is; what is proven to be 0 is compared as 0. Within a grace it is what was measured before.
    pub(super) fn filtered<'a>(
        &'a self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'a>,
        (filter, part): (Filter, &'a SignalQuery),
        held: &mut Held,
    ) -> Result<Option<Element>, String> {
        self.check_finite(&self.pinned_of_empty(assessment.pins), assessment.pins)?;
        let time_ms = self.judge_whole(assessment, scopes, held)?;
        let was_empty = !self.empty_parts.is_empty();
        if !was_empty {
            self.was_measured(assessment, scopes, part)?;
        }
        let floor = self.floor(&Labels::empty(), assessment);
        let idle = part.fallback.unwrap_or(0.0);
        let zero = (was_empty && filter.keeps(idle) && part.grouping.is_empty()).then_some(idle);
        let floor = floor.map(|floor| element(floor.value, time_ms.min(floor.measured_ms)));
        let zero = zero.map(|zero| element(zero, time_ms));
        let told = zero.into_iter().chain(floor);
        Ok(told.max_by(|a, b| a.value.total_cmp(&b.value)))
    }

    /// The same of any other combination of comparisons that leaves nothing; each operand is measured or proven to be 0.
    pub(super) fn combined<'a>(
        &'a self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'a>,
        comparison: &'a Comparison,
        held: &mut Held,
    ) -> Result<Option<Element>, String> {
        self.check_finite(&self.pinned_of_empty(assessment.pins), assessment.pins)?;
        let time_ms = self.judge_whole(assessment, scopes, held)?;
        let at_ms = self.at_ms.unwrap_or(assessment.now_ms);
        for (at, operand) in comparison.operands.iter().enumerate() {
            if self.left_out.operands_empty.contains(&at) {
                for (assessment, scope) in scopes.of_part(assessment, operand, &self.policy) {
                    absence::prove(assessment, &scope, operand, &self.policy, at_ms)?;
                }
            } else {
                self.was_measured(assessment, scopes, operand)?;
            }
        }
        let floor = self.floor(&Labels::empty(), assessment);
        Ok(floor.map(|floor| element(floor.value, time_ms.min(floor.measured_ms))))
    }

    /// Checks of what has elements, all of which were left out, that they are all there are.
    fn was_measured<'a>(
        &'a self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'a>,
        part: &'a SignalQuery,
    ) -> Result<(), String> {
        // That others were measured says nothing of one that nobody has.
        if let Some(why) = absence::unseen_pin(assessment, part) {
            return Err(why);
        }
        for (assessment, scope) in scopes.of_part(assessment, part, &self.policy) {
            // Any of its elements may be 0.
            absence::complete(assessment, &scope, part, &self.policy, true)?;
        }
        Ok(())
    }
}

fn element(value: f64, time_ms: i64) -> Element {
    Element {
        labels: Labels::empty(),
        value,
        time: Timestamp::from_ms(time_ms),
    }
}
