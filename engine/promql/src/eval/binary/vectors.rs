//! Arithmetic and comparison between two vectors.
//!
//! Series are matched by signature once for all steps; each step then looks only at which of a signature's series
//! have a sample there. The usual case, one series on each side, is a loop over two columns.

use crate::QueryError;
use crate::plan::{Binary, BinaryOp, Cardinality, Expr, Matching};
use stillwell_model::labels::Labels;

use super::super::column::{Column, Point, Series, is_absent};
use super::super::group::{KeyRule, Keys};
use super::super::vector::{Merger, is_reserved};
use super::super::{Eval, Grid, Sink, execution};
use super::changes_schema;
use crate::arithmetic::scalar_op;

/// The series of both sides, by signature. "One" is the side of which a signature has at most one sample.
struct Matched {
    many: Vec<Series>,
    one: Vec<Series>,
    /// Per signature, which series.
    manies: Vec<Vec<usize>>,
    ones: Vec<Vec<usize>>,
    /// The operands change places: the left one is "one".
    swapped: bool,
}

impl Eval<'_> {
    pub(super) fn stream_matched(
        &self,
        expr: &Expr,
        binary: &Binary,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let left = self.collect(&binary.lhs, grid)?;
        let right = self.collect(&binary.rhs, grid)?;
        let mut matched = Matched::new(&binary.matching, left, right);
        matched.check(&binary.matching, grid)?;
        matched.fill(&binary.matching, grid);
        let mut merger = Merger::new(self);
        for signature in 0..matched.ones.len() {
            for many in &matched.manies[signature] {
                self.poll()?;
                for one in &matched.ones[signature] {
                    let (many, one) = (&matched.many[*many], &matched.one[*one]);
                    let (left, right) = if matched.swapped {
                        (one, many)
                    } else {
                        (many, one)
                    };
                    let mut column = Column::absent(grid.count);
                    self.combine(expr, binary, left, right, &mut column);
                    if column.is_empty() {
                        continue;
                    }
                    let labels = result_labels(
                        (binary.op, binary.return_bool),
                        &binary.matching,
                        &many.labels,
                        &one.labels,
                        self.delayed_names(),
                    );
                    merger.add(&labels, binary.return_bool, &mut column).map_err(|_| {
                        execution("multiple matches for labels: grouping labels must ensure unique matches")
                    })?;
                }
            }
        }
        merger.finish(sink)
    }

    /// Computes all steps of a pair.
    fn combine(
        &self,
        expr: &Expr,
        binary: &Binary,
        left: &Series,
        right: &Series,
        out: &mut Column,
    ) {
        let op = binary.op;
        let (left, right) = (&left.column, &right.column);
        if left.histograms.is_empty() && right.histograms.is_empty() && !op.is_trim() {
            let comparison = op.is_comparison();
            for ((left, right), out) in left.floats.iter().zip(&right.floats).zip(&mut out.floats) {
                if is_absent(*left) || is_absent(*right) {
                    continue;
                }
                let result = scalar_op(op, *left, *right);
                if !comparison || binary.return_bool {
                    *out = result;
                } else if result != 0.0 {
                    *out = *left;
                }
            }
            return;
        }
        for step in 0..out.len() {
            let (left, right) = (left.get(step), right.get(step));
            if matches!(left, Point::None) || matches!(right, Point::None) {
                continue;
            }
            match self.element(expr.span, binary, &left, &right) {
                None => {}
                Some(outcome) if binary.return_bool => {
                    out.set(step, Point::Float(if outcome.keep { 1.0 } else { 0.0 }));
                }
                Some(outcome) if outcome.keep => out.set(step, outcome.point),
                Some(_) => {}
            }
        }
    }
}

/// Which labels must be equal on both sides.
pub fn signature_rule(matching: &Matching) -> KeyRule {
    if matching.on {
        KeyRule::only(&matching.labels)
    } else {
        KeyRule::without(&matching.labels)
    }
}

impl Matched {
    fn new(matching: &Matching, left: Vec<Series>, right: Vec<Series>) -> Matched {
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped {
            (right, left)
        } else {
            (left, right)
        };
        let mut keys = Keys::new(signature_rule(matching));
        let mut matched = Matched {
            many: Vec::new(),
            one: Vec::new(),
            manies: Vec::new(),
            ones: Vec::new(),
            swapped,
        };
        // In order of the "many" side: that is the order of the result.
        for (index, series) in many.iter().enumerate() {
            matched
                .place(keys.find_or_add(&series.labels))
                .0
                .push(index);
        }
        for (index, series) in one.iter().enumerate() {
            matched
                .place(keys.find_or_add(&series.labels))
                .1
                .push(index);
        }
        (matched.many, matched.one) = (many, one);
        matched
    }

    fn place(&mut self, signature: usize) -> (&mut Vec<usize>, &mut Vec<usize>) {
        if signature == self.manies.len() {
            self.manies.push(Vec::new());
            self.ones.push(Vec::new());
        }
        (&mut self.manies[signature], &mut self.ones[signature])
    }

    /// Refuses what cannot be matched: two samples of the one side, or, one to one, two with the same partner. A step
    /// at which a side has nothing at all is not looked at.
    fn check(&self, matching: &Matching, grid: Grid) -> Result<(), QueryError> {
        let filling = matching.fill_left.is_some() || matching.fill_right.is_some();
        let crowded = |members: &Vec<usize>| members.len() > 1;
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let suspect =
            self.ones.iter().any(crowded) || (one_to_one && self.manies.iter().any(crowded));
        if !suspect {
            return Ok(());
        }
        let any =
            |series: &[Series]| steps_with(series, &(0..series.len()).collect::<Vec<_>>(), grid);
        let (any_many, any_one) = (any(&self.many), any(&self.one));
        for step in (0..grid.count).filter(|step| filling || (any_many[*step] && any_one[*step])) {
            for (manies, ones) in self.manies.iter().zip(&self.ones) {
                self.check_signature(matching, step, manies, ones)?;
            }
        }
        Ok(())
    }

    fn check_signature(
        &self,
        matching: &Matching,
        step: usize,
        manies: &[usize],
        ones: &[usize],
    ) -> Result<(), QueryError> {
        let mut present = ones
            .iter()
            .filter(|one| self.one[**one].column.is_present(step));
        let (first, second) = (present.next(), present.next());
        if let (Some(first), Some(second)) = (first, second) {
            let group = match matching.on {
                true => KeyRule::only(&matching.labels),
                false => KeyRule::without(&matching.labels),
            };
            let group = group.build(&self.one[*first].labels);
            let side = if self.swapped { "left" } else { "right" };
            return Err(execution(format!(
                "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                self.one[*second].labels, self.one[*first].labels
            )));
        }
        let partner = first.is_some() || matching.fill_right.is_some();
        if matching.cardinality == Cardinality::OneToOne && partner && manies.len() > 1 {
            let present = manies
                .iter()
                .filter(|many| self.many[**many].column.is_present(step));
            if present.count() > 1 {
                return Err(execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
        }
        Ok(())
    }

    /// Adds a series of fill values wherever a signature has a sample on one side only and the other side may be filled.
    fn fill(&mut self, matching: &Matching, grid: Grid) {
        // Whichever operand it is: `fill_left` is for the "many" side, `fill_right` for the "one" side.
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let rule = signature_rule(matching);
        for signature in 0..self.ones.len() {
            let many_at = steps_with(&self.many, &self.manies[signature], grid);
            let one_at = steps_with(&self.one, &self.ones[signature], grid);
            let added = filled(fill_one, &many_at, &one_at);
            let like_many = self.manies[signature]
                .first()
                .map(|many| rule.build(&self.many[*many].labels));
            let like_one = self.ones[signature]
                .first()
                .map(|one| rule.build(&self.one[*one].labels));
            if let (Some(column), Some(labels)) = (added, like_many) {
                self.ones[signature].push(self.one.len());
                self.one.push(Series {
                    labels,
                    drop_name: false,
                    column,
                });
            }
            if let (Some(column), Some(labels)) = (filled(fill_many, &one_at, &many_at), like_one) {
                self.manies[signature].push(self.many.len());
                self.many.push(Series {
                    labels,
                    drop_name: false,
                    column,
                });
            }
        }
    }
}

/// The fill value at the steps that one side has and the other has not.
fn filled(fill: Option<f64>, present: &[bool], other: &[bool]) -> Option<Column> {
    let fill = fill?;
    let mut column = Column::absent(present.len());
    for (step, value) in column.floats.iter_mut().enumerate() {
        if present[step] && !other[step] {
            *value = fill;
        }
    }
    (!column.is_empty()).then_some(column)
}

fn steps_with(series: &[Series], members: &[usize], grid: Grid) -> Vec<bool> {
    let present = |step: usize| {
        members
            .iter()
            .any(|member| series[*member].column.is_present(step))
    };
    (0..grid.count).map(present).collect()
}

/// The labels of the result of two samples.
pub fn result_labels(
    (op, return_bool): (BinaryOp, bool),
    matching: &Matching,
    many: &Labels,
    one: &Labels,
    delayed: bool,
) -> Labels {
    let mut builder = many.to_builder();
    if changes_schema(op) || (return_bool && !delayed) {
        builder.retain(|name| !is_reserved(name));
    }
    if matching.cardinality == Cardinality::OneToOne {
        let rule = match matching.on {
            true => KeyRule::only(&matching.labels),
            false => KeyRule::all_but(&matching.labels),
        };
        builder.retain(|name| rule.counts(name));
    }
    for name in &matching.include {
        builder.set(name, one.get(name).unwrap_or(""));
    }
    builder.build()
}
