//! Running aggregations of groups: the steps are those of the evaluator.

use crate::promql::incremental::{aggregation, kahan_inc};
use crate::promql::plan::AggregateOp;

use super::vector::Vector;

/// What becomes of the values of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// The group is one series, and its value is taken as it is.
    Take,
    Aggregate(AggregateOp),
}

impl Step {
    /// The aggregations that fold.
    pub(super) fn from_op(op: AggregateOp) -> Option<Step> {
        use AggregateOp as A;
        matches!(
            op,
            A::Sum | A::Avg | A::Count | A::Min | A::Max | A::Group | A::Stddev | A::Stdvar
        )
        .then_some(Step::Aggregate(op))
    }
}

/// The running state of one group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    count: u32,
    incremental: bool,
    value: f64,
    compensation: f64,
}

impl State {
    /// After these many values, whose sum is finite.
    pub(super) fn of_sum(count: u32, sum: f64, compensation: f64) -> State {
        State {
            count,
            incremental: false,
            value: sum,
            compensation,
        }
    }

    /// Adds a value.
    #[inline(always)]
    pub(super) fn add(&mut self, step: Step, value: f64) {
        self.count += 1;
        if self.count == 1 {
            (self.value, self.compensation) = match step {
                Step::Aggregate(AggregateOp::Stddev | AggregateOp::Stdvar) => {
                    aggregation::start_variance(value)
                }
                _ => (value, 0.0),
            };
            return;
        }
        let (have, compensation) = (&mut self.value, &mut self.compensation);
        match step {
            Step::Take | Step::Aggregate(AggregateOp::Count | AggregateOp::Group) => {}
            Step::Aggregate(AggregateOp::Sum) => kahan_inc(value, have, compensation),
            Step::Aggregate(AggregateOp::Max) => aggregation::add_to_max(value, have),
            Step::Aggregate(AggregateOp::Min) => aggregation::add_to_min(value, have),
            Step::Aggregate(AggregateOp::Avg) => {
                aggregation::add_to_mean(
                    value,
                    self.count,
                    have,
                    compensation,
                    &mut self.incremental,
                );
            }
            Step::Aggregate(_) => {
                aggregation::add_to_variance(value, self.count, have, compensation)
            }
        }
    }

    fn finish(&self, step: Step) -> f64 {
        match step {
            Step::Take => self.value,
            Step::Aggregate(op) => aggregation::finish(
                op,
                self.value,
                self.compensation,
                self.count,
                self.incremental,
            ),
        }
    }
}

/// The groups of one aggregation.
#[derive(Default)]
pub(super) struct Folds {
    states: Vec<State>,
    /// Groups that have values, by their first one.
    order: Vec<u32>,
}

impl Folds {
    pub(super) fn bind(&mut self, groups: usize) {
        self.states.clear();
        self.states.resize(groups, State::default());
        self.order.clear();
        self.order.reserve(groups);
    }

    pub(super) fn clear(&mut self) {
        for &group in &self.order {
            self.states[group as usize] = State::default();
        }
        self.order.clear();
    }

    #[inline(always)]
    pub(super) fn add(&mut self, step: Step, group: u32, value: f64) {
        let state = &mut self.states[group as usize];
        if state.count == 0 {
            self.order.push(group);
        }
        state.add(step, value);
    }

    /// Sets which groups have values, by their first one.
    pub(super) fn set_order(&mut self, groups: &[u32]) {
        self.order.clear();
        self.order.extend_from_slice(groups);
    }

    /// Sets the state of a group that is in the order.
    pub(super) fn set(&mut self, group: u32, state: State) {
        self.states[group as usize] = state;
    }

    /// Adds many values to the sum of one group, which stays in registers meanwhile.
    #[inline(always)]
    pub(super) fn sum(&mut self, group: u32, mut values: impl Iterator<Item = f64>) {
        let state = &mut self.states[group as usize];
        if state.count == 0 {
            let Some(first) = values.next() else { return };
            self.order.push(group);
            state.add(Step::Aggregate(AggregateOp::Sum), first);
        }
        let (mut sum, mut compensation, mut count) = (state.value, state.compensation, state.count);
        for value in values {
            kahan_inc(value, &mut sum, &mut compensation);
            count += 1;
        }
        (state.value, state.compensation, state.count) = (sum, compensation, count);
    }

    /// The results, in order of the groups' first values.
    pub(super) fn finish(&self, step: Step, out: &mut Vector) {
        for &group in &self.order {
            out.push(group, self.states[group as usize].finish(step));
        }
    }
}
