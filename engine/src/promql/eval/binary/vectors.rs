//! Arithmetic and comparison between two vectors.
//!
//! Series are matched by signature once for all steps; each step then looks only at which of a signature's series
//! have a sample there. The usual case, one series on each side, is a loop over two columns.

use crate::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::promql::QueryError;
use crate::promql::plan::{Binary, Cardinality, Expr};

use super::super::column::{Column, Point, Series};
use super::super::group::{KeyRule, Keys};
use super::super::vector::Merger;
use super::super::{Eval, Grid, Sink, execution, not_yet};
use super::{drops_name, scalar_op};

impl Eval<'_> {
    pub(super) fn stream_matched(
        &self,
        expr: &Expr,
        binary: &Binary,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let matching = &binary.matching;
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return Err(not_yet(expr, "fill"));
        }
        let left = self.collect(&binary.lhs, grid)?;
        let right = self.collect(&binary.rhs, grid)?;
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped {
            (&right, &left)
        } else {
            (&left, &right)
        };
        let mut keys = Keys::new(match matching.on {
            true => KeyRule::only(&matching.labels),
            false => KeyRule::without(&matching.labels),
        });
        let mut ones: Vec<Vec<usize>> = Vec::new();
        for (index, series) in one.iter().enumerate() {
            let at = keys.find_or_add(&series.labels);
            if at == ones.len() {
                ones.push(Vec::new());
            }
            ones[at].push(index);
        }
        let side = if swapped { "left" } else { "right" };
        for members in ones.iter().filter(|members| members.len() > 1) {
            one_per_step(one, members, grid, side, binary)?;
        }
        let mut manies: Vec<Vec<usize>> = vec![Vec::new(); ones.len()];
        let mut order = Vec::new();
        for (index, series) in many.iter().enumerate() {
            if let Some(at) = keys.find(&series.labels) {
                manies[at].push(index);
                order.push((index, at));
            }
        }
        if matching.cardinality == Cardinality::OneToOne {
            for members in manies.iter().filter(|members| members.len() > 1) {
                one_match_per_step(many, members, one, binary, grid)?;
            }
        }
        let mut merger = Merger::new(self);
        for (index, at) in order {
            self.poll()?;
            for member in &ones[at] {
                let (many, one) = (&many[index], &one[*member]);
                let mut column = Column::absent(grid.count);
                let (left, right) = if swapped { (one, many) } else { (many, one) };
                let drop = self.combine(expr, binary, left, right, swapped, &mut column)?;
                if column.is_empty() {
                    continue;
                }
                let labels = result_labels(binary, &many.labels, &one.labels, self.delayed_names());
                merger.add(&labels, drop, &mut column).map_err(|_| {
                    execution(
                        "multiple matches for labels: grouping labels must ensure unique matches",
                    )
                })?;
            }
        }
        merger.finish(sink)
    }

    /// Computes all steps of a pair; answers whether the name goes at the end.
    fn combine(
        &self,
        expr: &Expr,
        binary: &Binary,
        left: &Series,
        right: &Series,
        swapped: bool,
        out: &mut Column,
    ) -> Result<bool, QueryError> {
        let filter = binary.op.is_comparison() && !binary.return_bool;
        for step in 0..out.len() {
            match (left.column.get(step), right.column.get(step)) {
                (Point::None, _) | (_, Point::None) => {}
                (Point::Float(left), Point::Float(right)) => {
                    let result = scalar_op(binary.op, left, right);
                    if !filter {
                        out.floats[step] = result;
                    } else if result != 0.0 {
                        out.floats[step] = if swapped { right } else { left };
                    }
                }
                _ => return Err(not_yet(expr, "an operator on histograms")),
            }
        }
        Ok(drops_name(binary) || left.drop_name)
    }
}

/// The one side must not have two samples of a signature at one step.
fn one_per_step(
    one: &[Series],
    members: &[usize],
    grid: Grid,
    side: &str,
    binary: &Binary,
) -> Result<(), QueryError> {
    for step in 0..grid.count {
        let mut present = members
            .iter()
            .filter(|member| one[**member].column.is_present(step));
        if let (Some(first), Some(second)) = (present.next(), present.next()) {
            let rule = match binary.matching.on {
                true => KeyRule::only(&binary.matching.labels),
                false => KeyRule::without(&binary.matching.labels),
            };
            let group = rule.build(&one[*first].labels);
            return Err(execution(format!(
                "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                one[*second].labels, one[*first].labels
            )));
        }
    }
    Ok(())
}

/// One-to-one: of several series of one signature at most one may meet a partner at a step.
fn one_match_per_step(
    many: &[Series],
    members: &[usize],
    _one: &[Series],
    _binary: &Binary,
    grid: Grid,
) -> Result<(), QueryError> {
    for step in 0..grid.count {
        let mut present = members
            .iter()
            .filter(|member| many[**member].column.is_present(step));
        if present.next().is_some() && present.next().is_some() {
            return Err(execution(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            ));
        }
    }
    Ok(())
}

fn result_labels(binary: &Binary, many: &Labels, one: &Labels, delayed: bool) -> Labels {
    let matching = &binary.matching;
    let mut builder: LabelsBuilder = many.to_builder();
    if drops_name(binary) && !delayed {
        builder.remove(METRIC_NAME);
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
