//! The order of the elements of a subquery's inner query. Ordinary evaluation computes all steps at once, so an element's
//! place is where it comes among all that are there at any of the steps.

use super::links::Links;
use super::op::Op;
use super::vector::Vector;

/// Puts the elements of an op into that order, given those of earlier ops; leaves have their own.
pub(super) fn place_elements(
    op: &Op,
    before: &[Vector],
    links: &mut Links,
    first_step: u64,
    out: &mut Vector,
) {
    let of = |slot: usize| &before[slot];
    match (op, links) {
        (Op::Match { left, right, .. }, Links::Join(join)) => {
            join.place(of(*left), of(*right), first_step, out);
        }
        (Op::Set { left, right, .. }, Links::Sets(sets)) => {
            for &at in &of(*left).wide {
                out.place(at, first_step);
            }
            // Only `or` has elements of the right side.
            for &at in &of(*right).wide {
                if let Some(&to) = sets.right_to.get(at as usize) {
                    out.place(to, first_step);
                }
            }
        }
        (Op::Regroup { input, .. }, Links::LabelGroups { group_of, .. }) => {
            for &at in &of(*input).wide {
                out.place(group_of[at as usize], first_step);
            }
        }
        (Op::Rank { input, .. }, Links::Rank(rank)) => {
            for &at in &of(*input).wide {
                out.place(rank.group_of(at), first_step);
            }
        }
        (Op::Quantile { input, .. }, Links::Quantile(quantile)) => {
            for &at in &of(*input).wide {
                if let Some(family) = quantile.family_of(at) {
                    out.place(family, first_step);
                }
            }
        }
        (
            Op::WithScalar { input, .. }
            | Op::Negate { input }
            | Op::Pointwise { input, .. }
            | Op::CalendarOf { input, .. }
            | Op::Relabel { input, .. },
            _,
        ) => {
            for &at in &of(*input).wide {
                out.place(at, first_step);
            }
        }
        (Op::VectorOf { .. } | Op::Absent { .. }, _) => out.place(0, first_step),
        _ => {}
    }
}
