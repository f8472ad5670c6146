//! From a plan to a program, or `None` if some part of the plan is not supported.
//!
//! Ops are numbered by value: the same subexpression twice is computed once, so the parts of a sum of sums cost
//! nothing beside the whole.

use crate::labels::{METRIC_NAME, MatchOp};
use crate::limits::{COMPILED_DEPTH_MAX, COMPILED_OPS_MAX};
use crate::promql::FunctionId;
use crate::promql::incremental::{is_pointwise, scalar_op};
use crate::promql::plan::{
    Aggregate, Binary, Cardinality, Edges, Expr, ExprKind, Selector, ValueType,
};
use crate::scrape::REPORT;

use super::fold::{Folds, Step};
use super::instant::Instant;
use super::links::Links;
use super::members::{Grouping, Source};
use super::program::{Leaf, Op, Program, Reads, Root, Scalar};
use super::range::Function;
use super::vector::Vector;
use super::window::Window;

/// Compiles a query and the parts of it whose emptiness matters.
pub(super) fn compile<'e>(
    plan: &'e Expr,
    parts: impl Iterator<Item = &'e Expr>,
) -> Option<Program> {
    let mut compiler = Compiler::default();
    let root = match plan.value_type() {
        ValueType::Vector => Root::Vector(compiler.vector(plan, 0)?),
        ValueType::Scalar => Root::Scalar(compiler.scalar(plan, 0)?),
        ValueType::String | ValueType::Matrix => return None,
    };
    let parts: Option<Vec<usize>> = parts.map(|part| compiler.vector(part, 0)).collect();
    let Compiler { leaves, ops } = compiler;
    // Without a series there is no page to wait for.
    if leaves.is_empty() {
        return None;
    }
    Some(Program {
        root,
        parts: parts?,
        vectors: ops.iter().map(|_| Vector::default()).collect(),
        scalars: vec![f64::NAN; ops.len()],
        links: ops.iter().map(|_| Links::None).collect(),
        leaves,
        ops,
    })
}

#[derive(Default)]
struct Compiler {
    leaves: Vec<Leaf>,
    ops: Vec<Op>,
}

impl Compiler {
    /// The slot of an op: that of an equal one, if there is one.
    fn emit(&mut self, op: Op) -> Option<usize> {
        if let Some(at) = self.ops.iter().position(|have| *have == op) {
            return Some(at);
        }
        if self.ops.len() == COMPILED_OPS_MAX {
            return None;
        }
        self.ops.push(op);
        Some(self.ops.len() - 1)
    }

    fn leaf(&mut self, source: Source, function: Option<Function>) -> usize {
        let same = |leaf: &Leaf| leaf.source == source && leaf.function == function;
        if let Some(at) = self.leaves.iter().position(same) {
            return at;
        }
        let reads = match function {
            None => Reads::Instant(Instant::default()),
            Some(function) => Reads::Window(Box::new(Window::new(function))),
        };
        self.leaves.push(Leaf {
            source,
            function,
            reads,
            folds: Folds::default(),
        });
        self.leaves.len() - 1
    }

    fn vector(&mut self, expr: &Expr, depth: usize) -> Option<usize> {
        if depth > COMPILED_DEPTH_MAX || expr.value_type() != ValueType::Vector {
            return None;
        }
        let expr = expr.bare();
        if let Some((source, function)) = self.source(expr, None) {
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
            ExprKind::Call { function, args } => self.call(function.id, args, depth),
            _ => None,
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate, depth: usize) -> Option<usize> {
        let step = Step::from_op(aggregate.op)?;
        let grouping = Grouping {
            labels: aggregate.grouping.clone(),
            without: aggregate.without,
        };
        let inner = aggregate.expr.bare();
        if let Some((source, function)) = self.source(inner, Some(&grouping)) {
            // A leaf folds for one aggregation at a time: equal leaves of other ones are read again.
            let leaf = self.leaf(source, function);
            return self.emit(Op::Leaf { leaf, step });
        }
        let input = self.vector(inner, depth + 1)?;
        self.emit(Op::Regroup {
            input,
            step,
            grouping,
        })
    }

    fn call(&mut self, id: FunctionId, args: &[Expr], depth: usize) -> Option<usize> {
        match id {
            FunctionId::Vector => {
                let scalar = self.scalar(args.first()?, depth + 1)?;
                self.emit(Op::VectorOf { scalar })
            }
            FunctionId::HistogramQuantile => {
                let q = self.scalar(args.first()?, depth + 1)?;
                let input = self.vector(args.get(1)?, depth + 1)?;
                self.emit(Op::Quantile { q, input })
            }
            _ if is_pointwise(id) => {
                let input = self.vector(args.first()?, depth + 1)?;
                let mut scalars = [None; 2];
                for (place, arg) in scalars.iter_mut().zip(&args[1..]) {
                    *place = Some(self.scalar(arg, depth + 1)?);
                }
                self.emit(Op::Pointwise {
                    input,
                    function: id,
                    args: scalars,
                })
            }
            _ => None,
        }
    }

    fn binary(&mut self, binary: &Binary, depth: usize) -> Option<usize> {
        let (op, return_bool) = (binary.op, binary.return_bool);
        let is_vector = |side: &Expr| side.value_type() == ValueType::Vector;
        let matching = &binary.matching;
        if op.is_trim() || matching.fill_left.is_some() || matching.fill_right.is_some() {
            return None;
        }
        match (is_vector(&binary.lhs), is_vector(&binary.rhs)) {
            (true, true) => {
                let left = self.vector(&binary.lhs, depth + 1)?;
                let right = self.vector(&binary.rhs, depth + 1)?;
                let matching = matching.clone();
                if op.is_set() {
                    return self.emit(Op::Set {
                        left,
                        right,
                        op,
                        matching,
                    });
                }
                let one_to_one = matching.cardinality == Cardinality::OneToOne;
                if !one_to_one || !matching.include.is_empty() {
                    return None;
                }
                self.emit(Op::Match {
                    left,
                    right,
                    op,
                    return_bool,
                    matching,
                })
            }
            (vector_left, _) => {
                let (vector, scalar) = if vector_left {
                    (&binary.lhs, &binary.rhs)
                } else {
                    (&binary.rhs, &binary.lhs)
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
    }

    fn scalar(&mut self, expr: &Expr, depth: usize) -> Option<Scalar> {
        if depth > COMPILED_DEPTH_MAX {
            return None;
        }
        let slot = |at: usize| Some(Scalar::Slot(at));
        match &expr.bare().kind {
            ExprKind::Number(number) => Some(Scalar::Constant(*number)),
            ExprKind::Negate(inner) => match self.scalar(inner, depth + 1)? {
                Scalar::Constant(number) => Some(Scalar::Constant(-number)),
                scalar => slot(self.emit(Op::NegateScalar { scalar })?),
            },
            ExprKind::Binary(binary) => {
                let op = binary.op;
                if op.is_trim() || op.is_set() {
                    return None;
                }
                let left = self.scalar(&binary.lhs, depth + 1)?;
                let right = self.scalar(&binary.rhs, depth + 1)?;
                match (left, right) {
                    (Scalar::Constant(left), Scalar::Constant(right)) => {
                        Some(Scalar::Constant(scalar_op(op, left, right)))
                    }
                    _ => slot(self.emit(Op::Scalars { op, left, right })?),
                }
            }
            ExprKind::Call { function, args } => match function.id {
                FunctionId::Time => slot(self.emit(Op::Time)?),
                FunctionId::Pi => Some(Scalar::Constant(std::f64::consts::PI)),
                FunctionId::Scalar => {
                    let input = self.vector(args.first()?, depth + 1)?;
                    slot(self.emit(Op::ScalarOf { input })?)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// A plain selector, or a function of its range.
    fn source(
        &mut self,
        expr: &Expr,
        grouping: Option<&Grouping>,
    ) -> Option<(Source, Option<Function>)> {
        let with_source = |selector: &Selector, function: Option<Function>, drops_name: bool| {
            Some((
                Source {
                    matchers: selector.matchers.clone(),
                    metric: plain_metric(selector)?.to_owned(),
                    grouping: grouping.cloned(),
                    drops_name,
                    with_ended: function.is_some(),
                },
                function,
            ))
        };
        let (id, args) = match &expr.kind {
            ExprKind::Selector(selector) => return with_source(selector, None, false),
            ExprKind::Call { function, args } if Function::is_kept(function.id) => {
                (function.id, args)
            }
            _ => return None,
        };
        let (range_at, param_at) = match id {
            FunctionId::QuantileOverTime => (1, Some(0)),
            FunctionId::PredictLinear => (0, Some(1)),
            _ => (0, None),
        };
        let ExprKind::Range {
            selector,
            range,
            edges: Edges::Plain,
        } = &args.get(range_at)?.bare().kind
        else {
            return None;
        };
        let param = match param_at {
            None => 0.0,
            Some(at) => match self.scalar(args.get(at)?, 0)? {
                Scalar::Constant(param) => param,
                Scalar::Slot(_) => return None,
            },
        };
        let range_ms = range.fixed_ms().filter(|range_ms| *range_ms > 0)?;
        let keeps_name = matches!(id, FunctionId::FirstOverTime | FunctionId::LastOverTime);
        let function = Function {
            id,
            range_ms,
            param,
        };
        with_source(selector, Some(function), !keeps_name)
    }
}

/// The metric name of a selector of what pages say now: no `offset`, no `@`, one name.
fn plain_metric(selector: &Selector) -> Option<&str> {
    let names = || {
        let matchers = selector.matchers.iter();
        matchers.filter(|matcher| matcher.name() == METRIC_NAME)
    };
    let one_name = names().count() == 1 && names().all(|name| name.op() == MatchOp::Equal);
    let plain = selector.offset.fixed_ms() == Some(0)
        && selector.at.is_none()
        && selector.edges == Edges::Plain
        && !selector.detect_resets;
    let metric = selector.metric_name()?;
    // Series about scrapes come and go without a page.
    (plain && one_name && !REPORT.contains(&metric)).then_some(metric)
}
