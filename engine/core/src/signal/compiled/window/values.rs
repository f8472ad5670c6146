//! What the windows yield: the function of each, added to its group.

use super::super::fold::{Folds, Step};
use super::super::vector::Vector;
use super::super::visibility::EvalSnapshot;
use super::Window;

impl Window {
    /// Adds the function of each series' window to its group.
    pub(in super::super) fn fold(
        &mut self,
        snapshot: &EvalSnapshot<'_>,
        step: Step,
        folds: &mut Folds,
    ) {
        for ticks in &mut self.clocks {
            ticks.set_window(snapshot, &self.samples.function);
        }
        let mut at = 0;
        for index in 0..self.spans.len() {
            let span = self.spans[index];
            let ticks = &self.clocks[span.clock as usize];
            if ticks.is_visible() && !span.of_sum {
                for member in at..span.end {
                    let column = self.series[member].column;
                    if let Some(value) = self.samples.value(ticks, column) {
                        folds.add(step, span.group, value);
                        if let Some(step) = snapshot.step {
                            self.seen[member] = step;
                        }
                    }
                }
            }
            at = span.end;
        }
        for (index, sum) in self.sums.iter().enumerate() {
            let ticks = &self.clocks[sum.clock as usize];
            let value = match ticks.is_visible() {
                true => self.samples.value(ticks, sum.column()),
                false => None,
            };
            if let Some(value) = value {
                folds.add(step, sum.group, value);
                if let Some(step) = snapshot.step {
                    self.seen[at + index] = step;
                }
            }
        }
    }

    /// Forgets which series had values at earlier steps.
    pub(in super::super) fn forget_steps(&mut self) {
        self.seen.fill(0);
    }

    /// Puts the groups into the order of their first series that have a value at any step from `first_step` on.
    pub(in super::super) fn place(&self, first_step: u64, out: &mut Vector) {
        let mut at = 0;
        for span in &self.spans {
            let mut seen = self.seen[at..span.end].iter();
            if seen.any(|seen| *seen >= first_step) {
                out.place(span.group, first_step);
            }
            at = span.end;
        }
        for (sum, seen) in self.sums.iter().zip(&self.seen[at..]) {
            if *seen >= first_step {
                out.place(sum.group, first_step);
            }
        }
    }
}
