//! Links from the elements of an op's operands to its own, which `bind` computes, and the ops that use them.

use crate::promql::incremental::is_absent;
use crate::promql::plan::BinaryOp;

use super::fold::{Folds, Step};
use super::quantile::Quantile;
use super::vector::Vector;

/// The links of one op.
#[derive(Default)]
pub(super) enum Links {
    #[default]
    None,
    /// Per element of the input, its group.
    LabelGroups {
        group_of: Vec<u32>,
        folds: Folds,
    },
    /// Per element of the left side, its partner on the right; `NO_ELEMENT` if it has none.
    Pairs(Vec<u32>),
    Sets(Box<Sets>),
    Quantile(Box<Quantile>),
}

/// No element.
pub(super) const NO_ELEMENT: u32 = u32::MAX;

/// The links of a set operator.
#[derive(Default)]
pub(super) struct Sets {
    pub(super) left_signatures: Vec<u32>,
    pub(super) right_signatures: Vec<u32>,
    /// Per element of the right side, its element in the result (`or`).
    pub(super) right_to: Vec<u32>,
    /// By signature: whether the deciding side has an element now.
    pub(super) present: Vec<bool>,
}

impl Links {
    pub(super) fn regroup(&mut self, input: &Vector, step: Step, out: &mut Vector) {
        let Links::LabelGroups { group_of, folds } = self else {
            return;
        };
        folds.clear();
        for (at, value) in input.iter() {
            folds.add(step, group_of[at as usize], value);
        }
        folds.finish(step, out);
    }

    pub(super) fn pair(
        &self,
        left: &Vector,
        right: &Vector,
        out: &mut Vector,
        operate: impl Fn(f64, f64) -> f64,
    ) {
        let Links::Pairs(partners) = self else {
            return;
        };
        for (at, value) in left.iter() {
            let other = match partners[at as usize] {
                NO_ELEMENT => continue,
                partner => right.values[partner as usize],
            };
            if is_absent(other) {
                continue;
            }
            let result = operate(value, other);
            if !is_absent(result) {
                out.push(at, result);
            }
        }
    }

    pub(super) fn set(&mut self, left: &Vector, right: &Vector, op: BinaryOp, out: &mut Vector) {
        let Links::Sets(sets) = self else {
            return;
        };
        sets.present.fill(false);
        let decides = if op == BinaryOp::Or { left } else { right };
        let signatures = if op == BinaryOp::Or {
            &sets.left_signatures
        } else {
            &sets.right_signatures
        };
        for &at in &decides.order {
            sets.present[signatures[at as usize] as usize] = true;
        }
        for (at, value) in left.iter() {
            let partner = sets.present[sets.left_signatures[at as usize] as usize];
            if op == BinaryOp::Or || partner == (op == BinaryOp::And) {
                out.push(at, value);
            }
        }
        if op == BinaryOp::Or {
            for (at, value) in right.iter() {
                if !sets.present[sets.right_signatures[at as usize] as usize] {
                    out.push(sets.right_to[at as usize], value);
                }
            }
        }
    }

    pub(super) fn quantile(&mut self, q: f64, input: &Vector, out: &mut Vector) {
        if let Links::Quantile(quantile) = self {
            quantile.run(q, input, out);
        }
    }
}
