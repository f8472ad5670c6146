//! Links from the elements of an op's operands to its own, which `bind` computes, and the ops that use them.

use crate::promql::incremental::is_absent;
use crate::promql::plan::BinaryOp;

use super::fold::{Folds, Step};
use super::halt::Halt;
use super::join::Join;
use super::quantile::Quantile;
use super::rank::Rank;
use super::sort::Sorted;
use super::vector::Vector;

/// The links of one op.
#[derive(Default)]
pub(super) enum Links {
    /// Each element of the input is that of the result.
    #[default]
    None,
    /// Per element of the input, the one of the result: some become equal.
    Merged(Vec<u32>),
    /// Per element of the input, its group.
    LabelGroups {
        group_of: Vec<u32>,
        folds: Folds,
    },
    Join(Box<Join>),
    Sets(Box<Sets>),
    Quantile(Box<Quantile>),
    Rank(Box<Rank>),
    Sorted(Box<Sorted>),
}

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
    /// Element by element; what becomes absent is left out. Error: two elements become one.
    pub(super) fn map(
        &self,
        input: &Vector,
        out: &mut Vector,
        function: impl Fn(f64) -> f64,
    ) -> Result<(), Halt> {
        let merged = match self {
            Links::Merged(to) => Some(to),
            _ => None,
        };
        for (at, value) in input.iter() {
            let result = function(value);
            match merged {
                _ if is_absent(result) => {}
                None => out.push(at, result),
                Some(to) => out.push_once(to[at as usize], result)?,
            }
        }
        Ok(())
    }

    /// Adds an element of the input to the result. Error: two become one.
    pub(super) fn push(&self, at: u32, value: f64, out: &mut Vector) -> Result<(), Halt> {
        match self {
            Links::Merged(to) => out.push_once(to[at as usize], value),
            _ => {
                out.push(at, value);
                Ok(())
            }
        }
    }

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

    /// Error: two elements become one.
    pub(super) fn set(
        &mut self,
        left: &Vector,
        right: &Vector,
        op: BinaryOp,
        out: &mut Vector,
    ) -> Result<(), Halt> {
        let Links::Sets(sets) = self else {
            return Ok(());
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
                    out.push_once(sets.right_to[at as usize], value)?;
                }
            }
        }
        Ok(())
    }
}
