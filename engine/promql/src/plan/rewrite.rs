//! Expressions made from others, for signals: the parts of a sum, each counted as 0 where it is empty; the samples that are
//! no finite number; subqueries with a step.

use std::convert::Infallible;

use super::duration::Duration;
use super::expr::{
    Aggregate, Binary, Cardinality, Edges, Expr, ExprKind, Matching, Selector, Subquery,
};
use super::function::FunctionId;
use super::operators::{AggregateOp, BinaryOp};

impl Expr {
    /// The expression with what `replace` yields in the place of the nodes for which it yields something. It is called for
    /// parents first; below a node that is replaced it is not called.
    pub(crate) fn replaced(&self, replace: &dyn Fn(&Expr) -> Option<Expr>) -> Expr {
        if let Some(instead) = replace(self) {
            return instead;
        }
        let Ok(replaced) = self.map_inner::<Infallible>(&mut |inner| Ok(inner.replaced(replace)));
        replaced
    }

    /// The expression with what `map` makes of each expression right below it. The first error ends it.
    pub(crate) fn map_inner<E>(
        &self,
        map: &mut dyn FnMut(&Expr) -> Result<Expr, E>,
    ) -> Result<Expr, E> {
        let kind = match &self.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Selector(_)
            | ExprKind::Range { .. } => self.kind.clone(),
            ExprKind::Subquery(subquery) => ExprKind::Subquery(Box::new(Subquery {
                expr: map(&subquery.expr)?,
                ..(**subquery).clone()
            })),
            ExprKind::Call { function, args } => ExprKind::Call {
                function,
                args: args.iter().map(map).collect::<Result<_, E>>()?,
            },
            ExprKind::Aggregate(aggregate) => ExprKind::Aggregate(Box::new(Aggregate {
                param: aggregate.param.as_ref().map(&mut *map).transpose()?,
                expr: map(&aggregate.expr)?,
                ..(**aggregate).clone()
            })),
            ExprKind::Binary(binary) => ExprKind::Binary(Box::new(Binary {
                lhs: map(&binary.lhs)?,
                rhs: map(&binary.rhs)?,
                ..(**binary).clone()
            })),
            ExprKind::Negate(inner) => ExprKind::Negate(Box::new(map(inner)?)),
            ExprKind::Paren(inner) => ExprKind::Paren(Box::new(map(inner)?)),
            ExprKind::StepInvariant(inner) => ExprKind::StepInvariant(Box::new(map(inner)?)),
        };
        Ok(Expr {
            kind,
            span: self.span,
        })
    }

    /// The expression, of which each subquery has a step.
    pub(crate) fn with_subquery_step(&self, step_ms: i64) -> Expr {
        let Ok(mut expr) =
            self.map_inner::<Infallible>(&mut |inner| Ok(inner.with_subquery_step(step_ms)));
        if let ExprKind::Subquery(subquery) = &mut expr.kind {
            subquery.step.get_or_insert(Duration::Fixed(step_ms));
        }
        expr
    }

    /// `expr or vector(0)`, at the place of the expression.
    pub(crate) fn or_zero(&self) -> Expr {
        let at_same_place = |kind: ExprKind| Expr {
            kind,
            span: self.span,
        };
        let zero = at_same_place(ExprKind::Call {
            function: FunctionId::Vector
                .function()
                .expect("every function has a row, which a test checks"),
            args: vec![at_same_place(ExprKind::Number(0.0))],
        });
        at_same_place(ExprKind::Binary(Box::new(Binary {
            op: BinaryOp::Or,
            lhs: self.clone(),
            rhs: zero,
            return_bool: false,
            matching: Matching {
                cardinality: Cardinality::ManyToMany,
                ..Matching::default()
            },
        })))
    }

    /// The series of a selector whose newest sample is NaN or infinite: `selector * 0 != 0`, which compares with numbers
    /// alone. Where no single name is selected it is `sum(selector) * 0 != 0`, for series that differ by name alone cannot
    /// be multiplied.
    pub(crate) fn not_finite(&self, selector: &Selector) -> Expr {
        let at_same_place = |kind: ExprKind| Expr {
            kind,
            span: self.span,
        };
        let binary = |op: BinaryOp, lhs: Expr| {
            at_same_place(ExprKind::Binary(Box::new(Binary {
                op,
                lhs,
                rhs: at_same_place(ExprKind::Number(0.0)),
                return_bool: false,
                matching: Matching::default(),
            })))
        };
        let mut read = at_same_place(ExprKind::Selector(Box::new(Selector {
            edges: Edges::Plain,
            detect_resets: false,
            ..selector.clone()
        })));
        if selector.metric_name().is_none() {
            read = at_same_place(ExprKind::Aggregate(Box::new(Aggregate {
                op: AggregateOp::Sum,
                param: None,
                expr: read,
                grouping: Vec::new(),
                without: false,
            })));
        }
        binary(BinaryOp::Neq, binary(BinaryOp::Mul, read))
    }
}
