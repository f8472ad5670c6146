//! Binding a program: each slot gets the elements that it can have while the structure is unchanged, and each op the links
//! from the elements of its operands to its own.
//!
//! The evaluator merges elements whose labels become equal, and refuses some matches, depending on which elements are
//! present. If the elements of a slot could do either, the program is not bound.

use crate::labels::Labels;
use crate::promql::incremental::{
    KeyRule, Keys, changes_schema, result_labels, signature_rule, without_reserved,
};
use crate::promql::plan::{BinaryOp, Matching};

use super::fold::Folds;
use super::links::{Links, NO_ELEMENT, Sets};
use super::members::{Grouping, find};
use super::program::{Op, Program, Reads};
use super::quantile::Quantile;
use super::vector::Vector;
use super::visibility::EvalSnapshot;
use super::{Blocked, EvalContext};

impl Program {
    /// Selects the series of every leaf and computes the elements of every slot. Error: why it cannot be bound.
    pub(super) fn bind(&mut self, context: &EvalContext<'_>) -> Result<(), Blocked> {
        let mut groups = Vec::new();
        let mut bytes_left = context.window_bytes_max;
        for leaf in &mut self.leaves {
            let found = find(&leaf.source, context)?;
            leaf.folds.bind(found.groups.len());
            match &mut leaf.reads {
                Reads::Instant(instant) => instant.bind(&found),
                Reads::Window(window) => {
                    let store = context.store.read();
                    window.bind(&found, &EvalSnapshot::new(&store, context), bytes_left)?;
                    bytes_left = bytes_left.saturating_sub(window.bytes());
                }
            }
            groups.push(found.groups);
        }
        for at in 0..self.ops.len() {
            let (before, rest) = self.vectors.split_at_mut(at);
            let (labels, links) = elements(&self.ops[at], before, &groups)?;
            rest[0].bind(labels);
            self.links[at] = links;
        }
        Ok(())
    }
}

/// The elements that an op may yield.
fn elements(
    op: &Op,
    before: &[Vector],
    groups: &[Vec<Labels>],
) -> Result<(Vec<Labels>, Links), Blocked> {
    let of = |slot: usize| before[slot].labels.as_slice();
    let nameless = |slot: usize| of(slot).iter().map(without_reserved).collect::<Vec<_>>();
    Ok(match op {
        Op::Leaf { leaf, .. } => (distinct(groups[*leaf].clone())?, Links::None),
        Op::Regroup {
            input, grouping, ..
        } => group(of(*input), grouping),
        Op::WithScalar {
            input,
            op,
            return_bool,
            ..
        } => {
            let labels = if changes_schema(*op) || *return_bool {
                distinct(nameless(*input))?
            } else {
                of(*input).to_vec()
            };
            (labels, Links::None)
        }
        Op::Match {
            left,
            right,
            op,
            return_bool,
            matching,
        } => pairs(of(*left), of(*right), (*op, *return_bool), matching)?,
        Op::Set {
            left,
            right,
            op,
            matching,
        } => sets(of(*left), of(*right), *op, matching)?,
        Op::Negate { input } | Op::Pointwise { input, .. } => {
            (distinct(nameless(*input))?, Links::None)
        }
        Op::Quantile { input, .. } => {
            let mut quantile = Quantile::default();
            let labels = distinct(quantile.bind(of(*input))?)?;
            (labels, Links::Quantile(Box::new(quantile)))
        }
        Op::VectorOf { .. } => (vec![Labels::empty()], Links::None),
        Op::ScalarOf { .. } | Op::Time | Op::Scalars { .. } | Op::NegateScalar { .. } => {
            (Vec::new(), Links::None)
        }
    })
}

/// The same labels, unless two are equal.
fn distinct(labels: Vec<Labels>) -> Result<Vec<Labels>, Blocked> {
    let mut keys = Keys::new(KeyRule::all());
    for (at, its) in labels.iter().enumerate() {
        if keys.find_or_add(its) != at {
            return Err(Blocked::ByStructure);
        }
    }
    Ok(labels)
}

fn group(input: &[Labels], grouping: &Grouping) -> (Vec<Labels>, Links) {
    let mut keys = Keys::new(grouping.rule());
    let group_of: Vec<u32> = input
        .iter()
        .map(|labels| keys.find_or_add(labels) as u32)
        .collect();
    let count = group_of.iter().max().map_or(0, |max| *max as usize + 1);
    let labels = (0..count).map(|at| keys.key(at).clone()).collect();
    let mut folds = Folds::default();
    folds.bind(count);
    (labels, Links::LabelGroups { group_of, folds })
}

fn pairs(
    left: &[Labels],
    right: &[Labels],
    (op, return_bool): (BinaryOp, bool),
    matching: &Matching,
) -> Result<(Vec<Labels>, Links), Blocked> {
    let mut keys = Keys::new(signature_rule(matching));
    for (at, labels) in right.iter().enumerate() {
        if keys.find_or_add(labels) != at {
            return Err(Blocked::ByStructure);
        }
    }
    let mut lefts = Keys::new(signature_rule(matching));
    let mut partners = Vec::new();
    let mut out = Vec::new();
    for (at, labels) in left.iter().enumerate() {
        if lefts.find_or_add(labels) != at {
            return Err(Blocked::ByStructure);
        }
        let partner = keys.find(labels);
        partners.push(partner.map_or(NO_ELEMENT, |partner| partner as u32));
        let one = partner.map_or(labels, |partner| &right[partner]);
        out.push(result_labels(
            (op, return_bool),
            matching,
            labels,
            one,
            false,
        ));
    }
    Ok((distinct(out)?, Links::Pairs(partners)))
}

fn sets(
    left: &[Labels],
    right: &[Labels],
    op: BinaryOp,
    matching: &Matching,
) -> Result<(Vec<Labels>, Links), Blocked> {
    let mut signatures = Keys::new(signature_rule(matching));
    let mut number = |labels: &Labels| signatures.find_or_add(labels) as u32;
    let mut sets = Sets {
        left_signatures: left.iter().map(&mut number).collect(),
        right_signatures: right.iter().map(&mut number).collect(),
        ..Sets::default()
    };
    let all = sets.left_signatures.iter().chain(&sets.right_signatures);
    sets.present = vec![false; all.max().map_or(0, |max| *max as usize + 1)];
    let mut out = left.to_vec();
    if op == BinaryOp::Or {
        let mut keys = Keys::new(KeyRule::all());
        for labels in left {
            keys.find_or_add(labels);
        }
        for (labels, signature) in right.iter().zip(&sets.right_signatures) {
            let at = keys.find_or_add(labels);
            if at == out.len() {
                out.push(labels.clone());
            } else if sets.left_signatures.get(at) != Some(signature) {
                // Both may be present at once, which is an error.
                return Err(Blocked::ByStructure);
            }
            sets.right_to.push(at as u32);
        }
    }
    Ok((out, Links::Sets(Box::new(sets))))
}
