//! Operators between two vectors: which elements of the two sides have equal labels is found out when the series change,
//! which of them are there at each evaluation.

use crate::labels::Labels;
use crate::limits::COMPILED_ELEMENTS_MAX;
use crate::promql::incremental::{KeyRule, Keys, is_absent, result_labels, signature_rule};
use crate::promql::plan::{BinaryOp, Cardinality, Matching};

use super::buckets::{Buckets, NO_ELEMENT};
use super::halt::{Blocked, Halt};
use super::vector::Vector;

/// The pairs of the elements of two vectors. "One" is the side of which a signature has at most one element at a time.
#[derive(Default)]
pub(super) struct Join {
    /// The left side is "one" (`group_right`).
    swapped: bool,
    one_to_one: bool,
    /// The elements of the side "many" by signature.
    many: Buckets,
    /// The elements of the side "one" by signature.
    one: Buckets,
    /// By element of the side "one": which of those with its signature it is.
    ordinals: Vec<u32>,
    /// By element of the side "many": where its pairs start in `results`.
    starts: Vec<u32>,
    /// By pair: the element of the result.
    results: Vec<u32>,
    /// By signature: the element of the side "one" that is there now.
    present: Vec<u32>,
}

impl Join {
    /// Finds the pairs; their labels.
    pub(super) fn bind(
        left: &[Labels],
        right: &[Labels],
        op: (BinaryOp, bool),
        matching: &Matching,
    ) -> Result<(Join, Vec<Labels>), Blocked> {
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped {
            (right, left)
        } else {
            (left, right)
        };
        let mut signatures = Keys::new(signature_rule(matching));
        let signature_of: Vec<u32> = many
            .iter()
            .map(|labels| signatures.find_or_add(labels) as u32)
            .collect();
        let mut by_signature: Vec<Vec<u32>> = Vec::new();
        let (mut ones, mut ordinals) = (Vec::new(), Vec::new());
        for (at, labels) in one.iter().enumerate() {
            let signature = signatures.find_or_add(labels);
            if by_signature.len() <= signature {
                by_signature.resize_with(signature + 1, Vec::new);
            }
            ones.push(signature as u32);
            ordinals.push(by_signature[signature].len() as u32);
            by_signature[signature].push(at as u32);
        }
        let count = signature_of.iter().chain(&ones);
        let count = count.max().map_or(0, |max| *max as usize + 1);
        by_signature.resize_with(count, Vec::new);
        let mut elements = Keys::new(KeyRule::all());
        let mut labels = Vec::new();
        let (mut starts, mut results) = (Vec::new(), Vec::new());
        for (at, signature) in signature_of.iter().enumerate() {
            starts.push(results.len() as u32);
            for &partner in &by_signature[*signature as usize] {
                if results.len() == COMPILED_ELEMENTS_MAX {
                    return Err(Blocked::ByStructure("too many elements match one another"));
                }
                let its = result_labels(op, matching, &many[at], &one[partner as usize], false);
                let element = elements.find_or_add(&its);
                if element == labels.len() {
                    labels.push(its);
                }
                results.push(element as u32);
            }
        }
        let join = Join {
            swapped,
            one_to_one: matching.cardinality == Cardinality::OneToOne,
            many: Buckets::new(signature_of, count),
            one: Buckets::new(ones, count),
            ordinals,
            starts,
            results,
            present: vec![NO_ELEMENT; count],
        };
        Ok((join, labels))
    }

    /// The results of the pairs that are there. Error: two elements are in each other's way.
    pub(super) fn run(
        &mut self,
        left: &Vector,
        right: &Vector,
        out: &mut Vector,
        operate: impl Fn(f64, f64) -> f64,
    ) -> Result<(), Halt> {
        if left.order.is_empty() || right.order.is_empty() {
            return Ok(());
        }
        let (many, one) = if self.swapped {
            (right, left)
        } else {
            (left, right)
        };
        self.present.fill(NO_ELEMENT);
        for &at in &one.order {
            let place = &mut self.present[self.one.group_of(at) as usize];
            if std::mem::replace(place, at) != NO_ELEMENT {
                return Err(Halt::Undecided);
            }
        }
        self.many.fill(&many.order);
        for signature in self.many.groups() {
            let partner = self.present[signature as usize];
            if partner == NO_ELEMENT {
                continue;
            }
            let ordinal = self.ordinals[partner as usize];
            let other = one.values[partner as usize];
            for (nth, at) in self.many.elements(signature).enumerate() {
                if nth > 0 && self.one_to_one {
                    return Err(Halt::Undecided);
                }
                let value = many.values[at as usize];
                let result = if self.swapped {
                    operate(other, value)
                } else {
                    operate(value, other)
                };
                if !is_absent(result) {
                    let pair = self.starts[at as usize] + ordinal;
                    out.push_once(self.results[pair as usize], result)?;
                }
            }
        }
        Ok(())
    }

    /// Whether no two pairs have the same labels.
    pub(super) fn is_distinct(&self) -> bool {
        let elements = self.results.iter().max().map_or(0, |max| *max as usize + 1);
        elements == self.results.len()
    }

    /// Puts the elements into the order in which they come if all steps of a subquery are computed at once.
    pub(super) fn place(
        &mut self,
        left: &Vector,
        right: &Vector,
        first_step: u64,
        out: &mut Vector,
    ) {
        let (many, one) = match self.swapped {
            true => (right, left),
            false => (left, right),
        };
        self.many.fill(&many.wide);
        self.one.fill(&one.wide);
        for signature in self.many.groups() {
            for at in self.many.elements(signature) {
                for partner in self.one.elements(signature) {
                    let pair = self.starts[at as usize] + self.ordinals[partner as usize];
                    out.place(self.results[pair as usize], first_step);
                }
            }
        }
    }
}
