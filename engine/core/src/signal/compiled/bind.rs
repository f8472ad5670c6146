//! Binding a program: each slot gets the elements that it can have while the structure is unchanged, and each op the links
//! from the elements of its operands to its own.
//!
//! The evaluator merges elements whose labels become equal, and refuses some matches, depending on which elements are
//! present. Such elements have one place in the slot, and a run that would put two of them there stops.

use crate::labels::Labels;
use crate::limits::SUBQUERY_VALUES_MAX;
use crate::promql::incremental::{KeyRule, Keys, changes_schema, signature_rule, without_reserved};
use crate::promql::plan::{BinaryOp, Matching};

use super::EvalContext;
use super::fold::Folds;
use super::halt::{Blocked, OUT_OF_MEMORY};
use super::join::Join;
use super::links::{Links, Sets};
use super::members::{Found, Grouping, find};
use super::op::{Op, Relabel};
use super::program::{Program, Reads, Subquery};
use super::quantile::Quantile;
use super::rank::Rank;
use super::sort::Sorted;
use super::steps::Steps;
use super::vector::Vector;
use super::visibility::EvalSnapshot;

impl Program {
    /// Selects the series of every leaf and computes the elements of every slot. Error: why it cannot be bound.
    pub(super) fn bind(&mut self, context: &EvalContext<'_>) -> Result<(), Blocked> {
        let mut left = Budget {
            window_bytes: context.window_bytes_max,
            step_values: SUBQUERY_VALUES_MAX,
        };
        // First those that may be refused for their steps, before any history is read.
        for subquery in &mut self.subqueries {
            subquery.bind(context, &mut left)?;
        }
        let found = self.find(context)?;
        self.bind_to(found, context, &mut left)
    }

    /// The series of each leaf.
    fn find(&self, context: &EvalContext<'_>) -> Result<Vec<Found>, Blocked> {
        let leaves = self.leaves.iter();
        leaves.map(|leaf| find(&leaf.source, context)).collect()
    }

    /// Binds leaves to these series, and ops to their elements.
    fn bind_to(
        &mut self,
        found: Vec<Found>,
        context: &EvalContext<'_>,
        left: &mut Budget,
    ) -> Result<(), Blocked> {
        let mut groups = Vec::new();
        for (leaf, found) in self.leaves.iter_mut().zip(found) {
            leaf.folds.bind(found.groups.len());
            match &mut leaf.reads {
                Reads::Instant(instant) => instant.bind(&found),
                Reads::Window(window) => {
                    let store = context.store.read();
                    let snapshot = EvalSnapshot::new(&store, context);
                    window.bind(&found, &snapshot, left.window_bytes)?;
                    left.window_bytes = left.window_bytes.saturating_sub(window.bytes());
                }
            }
            groups.push(found.groups);
        }
        for at in 0..self.ops.len() {
            let (before, rest) = self.vectors.split_at_mut(at);
            let (labels, links) = elements(&self.ops[at], before, &groups, &self.subqueries)?;
            rest[0].bind(labels);
            self.links[at] = links;
        }
        Ok(())
    }
}

impl Subquery {
    fn bind(&mut self, context: &EvalContext<'_>, left: &mut Budget) -> Result<(), Blocked> {
        let found = self.program.find(context)?;
        // Each series on a page and each group is among what is counted below.
        let groups = found.iter().map(|found| found.groups.len()).sum::<usize>();
        left.check_steps(
            &self.steps,
            groups + on_page(&found, context),
            &self.program,
        )?;
        self.program.bind_to(found, context, left)?;
        for links in &self.program.links {
            let is_distinct = match links {
                Links::Merged(_) => false,
                Links::Join(join) => join.is_distinct(),
                _ => true,
            };
            if !is_distinct {
                return Err(Blocked::ByStructure(
                    "elements of a subquery's inner query become equal",
                ));
            }
        }
        let vectors = self.program.vectors.iter();
        let at_a_step = self.program.series() + vectors.map(|one| one.labels.len()).sum::<usize>();
        let values = left.check_steps(&self.steps, at_a_step, &self.program)?;
        left.step_values -= values;
        let elements = self
            .program
            .root_vector()
            .map_or(0, |root| root.labels.len());
        let bytes = self.steps.bytes_for(elements);
        let bytes_left = left.window_bytes.checked_sub(bytes);
        left.window_bytes = bytes_left.ok_or(OUT_OF_MEMORY)?;
        let values = values / self.steps.count();
        self.steps
            .bind(elements, self.program.window_clocks(), values);
        self.program.vectors.iter_mut().for_each(Vector::bind_steps);
        Ok(())
    }
}

/// What is left for the rest of a program.
struct Budget {
    window_bytes: usize,
    /// Values at steps of subqueries.
    step_values: usize,
}

impl Budget {
    /// How many values all steps have if one has so many; each op costs as much as a value even if nothing is selected. Error:
    /// that is more than what is left.
    fn check_steps(
        &self,
        steps: &Steps,
        at_a_step: usize,
        program: &Program,
    ) -> Result<usize, Blocked> {
        let at_a_step = (at_a_step + program.ops.len()).max(1);
        let values = at_a_step.saturating_mul(steps.count());
        match values <= self.step_values {
            true => Ok(values),
            false => Err(Blocked::ByStructure(
                "its subqueries read more series at more steps than may be computed with a page",
            )),
        }
    }
}

/// How many of the series are on a page now.
fn on_page(found: &[Found], context: &EvalContext<'_>) -> usize {
    let store = context.store.read();
    let of_sums = found.iter().flat_map(|found| found.sums.iter().flatten());
    let members = found.iter().flat_map(|found| &found.members).chain(of_sums);
    members
        .filter(|member| store.series.row(member.series).is_present())
        .count()
}

/// The elements that an op may yield.
fn elements(
    op: &Op,
    before: &[Vector],
    groups: &[Vec<Labels>],
    subqueries: &[Subquery],
) -> Result<(Vec<Labels>, Links), Blocked> {
    let of = |slot: usize| before[slot].labels.as_slice();
    Ok(match op {
        Op::Leaf { leaf, .. } => (distinct(groups[*leaf].clone())?, Links::None),
        Op::Subquery { at } => {
            let subquery = &subqueries[*at];
            let inner = subquery.program.root_vector();
            let labels = inner.map_or(&[][..], |inner| inner.labels.as_slice());
            match subquery.drops_name {
                true => merged(nameless(labels)),
                false => (labels.to_vec(), Links::None),
            }
        }
        Op::WithScalar {
            input,
            op,
            return_bool,
            ..
        } => match changes_schema(*op) || *return_bool {
            true => merged(nameless(of(*input))),
            false => (of(*input).to_vec(), Links::None),
        },
        Op::Negate { input } | Op::Pointwise { input, .. } | Op::CalendarOf { input, .. } => {
            merged(nameless(of(*input)))
        }
        Op::Relabel { input, relabel } => merged(relabelled(of(*input), relabel)?),
        Op::VectorOf { .. } => (vec![Labels::empty()], Links::None),
        Op::Absent { labels, .. } => (vec![labels.clone()], Links::None),
        Op::ScalarOf { .. } | Op::Time | Op::Scalars { .. } | Op::NegateScalar { .. } => {
            (Vec::new(), Links::None)
        }
        Op::Regroup { .. }
        | Op::Match { .. }
        | Op::Set { .. }
        | Op::Rank { .. }
        | Op::Sort { .. }
        | Op::Quantile { .. } => linked_elements(op, before)?,
    })
}

/// The elements of an op that has tables of its own.
fn linked_elements(op: &Op, before: &[Vector]) -> Result<(Vec<Labels>, Links), Blocked> {
    let of = |slot: usize| before[slot].labels.as_slice();
    Ok(match op {
        Op::Regroup {
            input, grouping, ..
        } => group(of(*input), grouping),
        Op::Match {
            left,
            right,
            op,
            return_bool,
            matching,
        } => {
            let (join, labels) = Join::bind(of(*left), of(*right), (*op, *return_bool), matching)?;
            (labels, Links::Join(Box::new(join)))
        }
        Op::Set {
            left,
            right,
            op,
            matching,
        } => sets(of(*left), of(*right), *op, matching),
        Op::Rank {
            input,
            op,
            grouping,
            ..
        } => {
            let (rank, labels) = Rank::bind(*op, of(*input), grouping);
            (labels, Links::Rank(Box::new(rank)))
        }
        Op::Sort { input, .. } => {
            let sorted = Sorted::bind(of(*input).len());
            (of(*input).to_vec(), Links::Sorted(Box::new(sorted)))
        }
        Op::Quantile { input, .. } => {
            let mut quantile = Quantile::default();
            let labels = distinct(quantile.bind(of(*input))?)?;
            (labels, Links::Quantile(Box::new(quantile)))
        }
        _ => (Vec::new(), Links::None),
    })
}

fn nameless(labels: &[Labels]) -> Vec<Labels> {
    labels.iter().map(without_reserved).collect()
}

/// The same labels, unless two are equal.
fn distinct(labels: Vec<Labels>) -> Result<Vec<Labels>, Blocked> {
    let mut keys = Keys::new(KeyRule::all());
    for (at, its) in labels.iter().enumerate() {
        if keys.find_or_add(its) != at {
            return Err(Blocked::ByStructure("two series are read as one"));
        }
    }
    Ok(labels)
}

/// Each label set once, and which of them that of each element is.
fn merged(labels: Vec<Labels>) -> (Vec<Labels>, Links) {
    let mut keys = Keys::new(KeyRule::all());
    let to: Vec<u32> = labels
        .iter()
        .map(|labels| keys.find_or_add(labels) as u32)
        .collect();
    let is_distinct = to.iter().enumerate().all(|(at, to)| at == *to as usize);
    if is_distinct {
        return (labels, Links::None);
    }
    let count = to.iter().max().map_or(0, |max| *max as usize + 1);
    let labels = (0..count).map(|at| keys.key(at).clone()).collect();
    (labels, Links::Merged(to))
}

fn relabelled(input: &[Labels], relabel: &Relabel) -> Result<Vec<Labels>, Blocked> {
    let refused = |_| Blocked::ByStructure("evaluation refuses a label that the query builds");
    let changed = input.iter().map(|labels| {
        let changed = relabel.change.apply(labels).map_err(refused)?;
        Ok(changed.unwrap_or_else(|| labels.clone()))
    });
    changed.collect()
}

fn group(input: &[Labels], grouping: &Grouping) -> (Vec<Labels>, Links) {
    let (group_of, labels) = grouping.groups_of(input);
    let mut folds = Folds::default();
    folds.bind(labels.len());
    (labels, Links::LabelGroups { group_of, folds })
}

fn sets(
    left: &[Labels],
    right: &[Labels],
    op: BinaryOp,
    matching: &Matching,
) -> (Vec<Labels>, Links) {
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
        for labels in right {
            let at = keys.find_or_add(labels);
            if at == out.len() {
                out.push(labels.clone());
            }
            sets.right_to.push(at as u32);
        }
    }
    (out, Links::Sets(Box::new(sets)))
}
