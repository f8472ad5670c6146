//! Expressions that yield vectors.

use std::sync::Arc;

use crate::promql::FunctionId;
use crate::promql::plan::{Aggregate, AggregateOp, Binary, Expr, ExprKind, ValueType};

use super::super::fold::Step;
use super::super::halt::Unsupported;
use super::super::members::{Grouping, Source};
use super::super::op::Op;
use super::super::rank::is_ranked;
use super::{Compiled, Compiler};

impl Compiler {
    /// The outermost expression: only here does `sort` change the order.
    pub(super) fn root(&mut self, expr: &Expr) -> Compiled<usize> {
        let ExprKind::Call { function, args } = &expr.bare().kind else {
            return self.vector(expr, 0);
        };
        let descending = function.id == FunctionId::SortDesc;
        if !descending && function.id != FunctionId::Sort {
            return self.vector(expr, 0);
        }
        let input = self.vector(&args[0], 1)?;
        self.emit(Op::Sort { input, descending })
    }

    pub(super) fn vector(&mut self, expr: &Expr, depth: usize) -> Compiled<usize> {
        self.check_depth(depth)?;
        if expr.value_type() != ValueType::Vector {
            return Err(Unsupported::NoVector);
        }
        let expr = expr.bare();
        if let Some((source, function)) = self.source(expr, None)? {
            let leaf = self.leaf(source, function);
            return self.emit(Op::Leaf {
                leaf,
                step: Step::Take,
            });
        }
        match &expr.kind {
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, depth),
            ExprKind::Binary(binary) => self.binary(binary, depth),
            ExprKind::Negate(inner) => {
                let input = self.vector(inner, depth + 1)?;
                self.emit(Op::Negate { input })
            }
            ExprKind::Call { .. } => self.call(expr, depth),
            _ => Err(Unsupported::NoVector),
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate, depth: usize) -> Compiled<usize> {
        let op = aggregate.op;
        let grouping = Grouping {
            labels: aggregate.grouping.clone(),
            without: aggregate.without,
        };
        let (true, Some(param)) = (is_ranked(op), &aggregate.param) else {
            let step = Step::from_op(op).ok_or_else(|| Unsupported::Aggregation(op.as_str()))?;
            return self.folded(&aggregate.expr, step, grouping, depth);
        };
        if self.in_subquery && op != AggregateOp::Quantile {
            return Err(Unsupported::InSubquery(op.as_str()));
        }
        let input = self.vector(&aggregate.expr, depth + 1)?;
        let param = self.scalar(param, depth + 1)?;
        self.emit(Op::Rank {
            input,
            op,
            param,
            grouping,
        })
    }

    /// The elements of a vector, folded by group.
    fn folded(
        &mut self,
        expr: &Expr,
        step: Step,
        grouping: Grouping,
        depth: usize,
    ) -> Compiled<usize> {
        let source = self.source(expr.bare(), Some(&grouping))?;
        // Series of several metrics may become equal without their names, which is an error and no sum.
        let is_plain = |source: &Source| source.metric.is_some() || !source.drops_name;
        if let Some((source, function)) = source.filter(|(source, _)| is_plain(source)) {
            // A leaf folds for one aggregation at a time: equal leaves of other ones are read again.
            let leaf = self.leaf(source, function);
            return self.emit(Op::Leaf { leaf, step });
        }
        let input = self.vector(expr.bare(), depth + 1)?;
        self.emit(Op::Regroup {
            input,
            step,
            grouping,
        })
    }

    /// Whether a vector has elements: one element, or none.
    pub(super) fn any(&mut self, expr: &Expr, depth: usize) -> Compiled<usize> {
        let group = Step::Aggregate(AggregateOp::Group);
        self.folded(expr, group, Grouping::default(), depth)
    }

    fn binary(&mut self, binary: &Binary, depth: usize) -> Compiled<usize> {
        let (op, return_bool) = (binary.op, binary.return_bool);
        let is_vector = |side: &Expr| side.value_type() == ValueType::Vector;
        let matching = &binary.matching;
        if op.is_trim() {
            return Err(Unsupported::Operator(op.as_str()));
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return Err(Unsupported::Fill);
        }
        if is_vector(&binary.lhs) && is_vector(&binary.rhs) {
            let left = self.vector(&binary.lhs, depth + 1)?;
            let right = self.vector(&binary.rhs, depth + 1)?;
            let matching = matching.clone();
            return self.emit(match op.is_set() {
                true => Op::Set {
                    left,
                    right,
                    op,
                    matching,
                },
                false => Op::Match {
                    left,
                    right,
                    op,
                    return_bool,
                    matching,
                },
            });
        }
        let vector_left = is_vector(&binary.lhs);
        let (vector, scalar) = match vector_left {
            true => (&binary.lhs, &binary.rhs),
            false => (&binary.rhs, &binary.lhs),
        };
        let input = self.vector(vector, depth + 1)?;
        let scalar = self.scalar(scalar, depth + 1)?;
        self.emit(Op::WithScalar {
            input,
            op,
            scalar,
            vector_left,
            return_bool,
        })
    }
}

/// Arguments that are texts.
pub(super) fn texts(args: &[Expr]) -> Compiled<Vec<Arc<str>>> {
    let text = |arg: &Expr| match &arg.bare().kind {
        ExprKind::String(text) => Ok(text.clone()),
        _ => Err(Unsupported::NoVector),
    };
    args.iter().map(text).collect()
}
