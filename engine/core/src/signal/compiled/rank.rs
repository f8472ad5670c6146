//! Aggregations that need all values of a group at once: `quantile`, and those that choose among a group's elements,
//! `topk` and `bottomk`. (`limitk` and `limit_ratio` are experimental, and signals have no experimental functions.)

use crate::labels::Labels;
use crate::promql::incremental::{Heap, int_param, quantile};
use crate::promql::plan::AggregateOp;

use super::buckets::Buckets;
use super::halt::Halt;
use super::members::Grouping;
use super::vector::Vector;

/// Whether it is one of these aggregations.
pub(super) fn is_ranked(op: AggregateOp) -> bool {
    matches!(
        op,
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Quantile
    )
}

/// The groups of one such aggregation.
#[derive(Default)]
pub(super) struct Rank {
    groups: Buckets,
    heap: Heap,
    values: Vec<f64>,
}

impl Rank {
    /// Finds the groups; the labels of the result.
    pub(super) fn bind(
        op: AggregateOp,
        input: &[Labels],
        grouping: &Grouping,
    ) -> (Rank, Vec<Labels>) {
        let (group_of, groups) = grouping.groups_of(input);
        let mut rank = Rank {
            groups: Buckets::new(group_of, groups.len()),
            values: Vec::with_capacity(input.len()),
            ..Rank::default()
        };
        rank.heap.reserve(input.len());
        let labels = if op.keeps_samples() {
            input.to_vec()
        } else {
            groups
        };
        (rank, labels)
    }

    pub(super) fn group_of(&self, element: u32) -> u32 {
        self.groups.group_of(element)
    }

    /// The aggregation of each group. Error: the parameter is refused.
    pub(super) fn run(
        &mut self,
        op: AggregateOp,
        param: f64,
        input: &Vector,
        out: &mut Vector,
    ) -> Result<(), Halt> {
        self.groups.fill(&input.order);
        if op == AggregateOp::Quantile {
            for group in self.groups.groups() {
                let elements = self.groups.elements(group);
                self.values.clear();
                self.values
                    .extend(elements.map(|at| input.values[at as usize]));
                out.push(group, quantile(param, &mut self.values));
            }
            return Ok(());
        }
        let k = int_param(param).ok_or(Halt::Undecided)?;
        let k = k.min(input.order.len());
        if k == 0 {
            return Ok(());
        }
        for group in self.groups.groups() {
            self.heap.start(op == AggregateOp::Topk);
            for at in self.groups.elements(group) {
                self.heap.offer(k, input.values[at as usize], at as usize);
            }
            self.heap.finish(|at| out.push(at as u32, input.values[at]));
        }
        Ok(())
    }
}
