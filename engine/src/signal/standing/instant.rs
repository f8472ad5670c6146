//! Leaves that read current values: stretches of series with neighbouring ids, folded group by group.
//!
//! Budget: 2 ns a series; a stretch of one group keeps its sum in registers.

use crate::promql::plan::AggregateOp;
use crate::store::{ClockId, SeriesId, Store};

use super::fold::{Folds, State, Step};
use super::members::Found;
use super::sight::{Moment, Sight};

/// The series of one leaf.
#[derive(Default)]
pub(super) struct Instant {
    clocks: Vec<ClockId>,
    /// By clock, at this evaluation.
    current: Vec<bool>,
    stretches: Vec<Stretch>,
    series: usize,
}

/// Series with ids in a row, of one clock and group.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: u32,
    len: u32,
    clock: u32,
    group: u32,
    clamp_negative: bool,
}

impl Instant {
    pub(super) fn bind(&mut self, found: &Found) {
        self.clocks.clear();
        self.stretches.clear();
        self.series = found.members.len();
        for member in &found.members {
            let clock = super::members::number(&mut self.clocks, member.clock);
            match self.stretches.last_mut() {
                Some(last)
                    if last.first + last.len == member.series.0
                        && (last.clock, last.group) == (clock, member.group)
                        && last.clamp_negative == member.clamp_negative =>
                {
                    last.len += 1;
                }
                _ => self.stretches.push(Stretch {
                    first: member.series.0,
                    len: 1,
                    clock,
                    group: member.group,
                    clamp_negative: member.clamp_negative,
                }),
            }
        }
        self.current.clear();
        self.current.resize(self.clocks.len(), false);
    }

    pub(super) fn series(&self) -> usize {
        self.series
    }

    /// Adds the current values to their groups.
    pub(super) fn fold(&mut self, moment: &Moment<'_>, step: Step, folds: &mut Folds) {
        for (clock, current) in self.clocks.iter().zip(&mut self.current) {
            *current = match moment.sight(*clock) {
                Sight::Hidden => false,
                Sight::Seen { current, .. } => current,
            };
        }
        // Each aggregation has a loop of its own.
        match step {
            Step::Aggregate(AggregateOp::Sum) => self.each(moment.store, folds, |state, value| {
                state.add(Step::Aggregate(AggregateOp::Sum), value);
            }),
            step => self.each(moment.store, folds, |state, value| state.add(step, value)),
        }
    }

    #[inline(always)]
    fn each(&self, store: &Store, folds: &mut Folds, add: impl Fn(&mut State, f64)) {
        for stretch in &self.stretches {
            if !self.current[stretch.clock as usize] {
                continue;
            }
            folds.with(stretch.group, |state| {
                for id in stretch.first..stretch.first + stretch.len {
                    let row = store.series.row(SeriesId(id));
                    let mut value = f64::from_bits(row.bits);
                    if stretch.clamp_negative && value < 0.0 {
                        value = 0.0;
                    }
                    if row.is_present() {
                        add(state, value);
                    }
                }
            });
        }
    }
}
