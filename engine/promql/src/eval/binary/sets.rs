//! `and`, `or`, `unless`: which samples stay depends on whether the other side has one of the same signature.

use crate::QueryError;
use crate::plan::{Binary, BinaryOp};

use super::super::column::{Point, Series};
use super::super::group::{KeyRule, Keys};
use super::super::vector::Merger;
use super::super::{Eval, Grid, Sink};

/// Per signature, at which steps there is a sample.
struct Presence {
    keys: Keys,
    steps: Vec<Vec<bool>>,
}

impl Presence {
    fn of(series: &[Series], rule: KeyRule, grid: Grid) -> Presence {
        let mut presence = Presence {
            keys: Keys::new(rule),
            steps: Vec::new(),
        };
        for series in series {
            let at = presence.keys.find_or_add(&series.labels);
            if at == presence.steps.len() {
                presence.steps.push(vec![false; grid.count]);
            }
            for (step, present) in presence.steps[at].iter_mut().enumerate() {
                *present |= series.column.is_present(step);
            }
        }
        presence
    }

    fn at(&self, series: &Series) -> Option<&[bool]> {
        self.keys
            .find(&series.labels)
            .map(|at| self.steps[at].as_slice())
    }
}

impl Eval<'_> {
    pub(super) fn stream_set(
        &self,
        binary: &Binary,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let matching = &binary.matching;
        let rule = || match matching.on {
            true => KeyRule::only(&matching.labels),
            false => KeyRule::without(&matching.labels),
        };
        let mut left = self.collect(&binary.lhs, grid)?;
        let mut right = self.collect(&binary.rhs, grid)?;
        match binary.op {
            BinaryOp::And | BinaryOp::Unless => {
                let presence = Presence::of(&right, rule(), grid);
                let keep = binary.op == BinaryOp::And;
                for series in &mut left {
                    keep_where(series, presence.at(series), keep);
                }
                emit(self, left, Vec::new(), sink)
            }
            _ => {
                let presence = Presence::of(&left, rule(), grid);
                for series in &mut right {
                    keep_where(series, presence.at(series), false);
                }
                emit(self, left, right, sink)
            }
        }
    }
}

/// Keeps the points at whose step the other side's presence is as wanted.
fn keep_where(series: &mut Series, other: Option<&[bool]>, wanted: bool) {
    for step in 0..series.column.len() {
        if other.is_some_and(|other| other[step]) != wanted {
            series.column.set(step, Point::None);
        }
    }
}

fn emit(
    eval: &Eval<'_>,
    left: Vec<Series>,
    right: Vec<Series>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let mut merger = Merger::new(eval);
    for mut series in left.into_iter().chain(right) {
        if !series.column.is_empty() {
            merger.add(&series.labels, series.drop_name, &mut series.column)?;
        }
    }
    merger.finish(sink)
}
