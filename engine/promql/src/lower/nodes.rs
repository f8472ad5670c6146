//! From the nodes of the tree to those of the plan.

use promql_parser::parser::{AggregateExpr as AggregateTree, Expr as Tree};

use super::atoms::Atoms;
use super::check;
use crate::plan::{
    Aggregate, AggregateOp, Binary, Duration, Expr, ExprKind, Matching, Span, Subquery, ValueType,
};
use crate::source::{Atom, AtomKind, Grouping, SourceError};

/// Levels of the plan: brackets, and operators in a row, each of which holds the one before it. Evaluation
/// recurses once per level; this depth fits the 2 MiB of a thread's stack with room to spare.
const DEPTH_MAX: usize = 200;

pub(super) struct Lower<'a> {
    atoms: Atoms<'a>,
    depth: usize,
}

impl<'a> Lower<'a> {
    pub(super) fn new(atoms: &'a [Atom]) -> Lower<'a> {
        Lower {
            atoms: Atoms::new(atoms),
            depth: 0,
        }
    }

    /// The plan of the whole tree.
    pub(super) fn query(mut self, tree: &Tree) -> Result<Expr, SourceError> {
        let expr = self.expr(tree)?;
        match self.atoms.is_at_end() {
            true => Ok(expr),
            false => Err(self.atoms.disagreement()),
        }
    }

    /// The plan of a node, whose atoms are the next.
    fn expr(&mut self, tree: &Tree) -> Result<Expr, SourceError> {
        self.deeper(1, |lower| lower.expr_inside(tree))
    }

    fn deeper(
        &mut self,
        levels: usize,
        inside: impl FnOnce(&mut Self) -> Result<Expr, SourceError>,
    ) -> Result<Expr, SourceError> {
        self.depth += levels;
        if self.depth > DEPTH_MAX {
            let span = self.atoms.span();
            let message =
                format!("the query is nested too deeply; the limit is {DEPTH_MAX} levels");
            return Err(SourceError::new(span, message));
        }
        let expr = inside(self)?;
        self.depth -= levels;
        Ok(expr)
    }

    fn expr_inside(&mut self, tree: &Tree) -> Result<Expr, SourceError> {
        match tree {
            Tree::Binary(_) => return self.binary(tree),
            Tree::Unary(unary) => return self.unary(&unary.expr),
            Tree::Subquery(subquery) => {
                let inner = self.expr(&subquery.expr)?;
                return self.subquery(inner);
            }
            _ => {}
        }
        let start = self.atoms.span().start;
        let negative = self.atoms.folded_signs();
        let mut expr = self.operand(tree)?;
        if let ExprKind::Number(value) = &mut expr.kind {
            if negative {
                *value = -*value;
            }
            expr.span.start = start;
        } else if negative {
            return Err(self.atoms.disagreement());
        }
        Ok(expr)
    }

    fn operand(&mut self, tree: &Tree) -> Result<Expr, SourceError> {
        let atom = self.atoms.next()?;
        let start = atom.span.start;
        let (kind, end) = match (tree, &atom.kind) {
            (Tree::NumberLiteral(_), AtomKind::Number(value)) => {
                (ExprKind::Number(*value), atom.span.end)
            }
            (Tree::StringLiteral(_), AtomKind::String(text)) => {
                (ExprKind::String(text.clone()), atom.span.end)
            }
            (
                Tree::VectorSelector(_),
                AtomKind::Selector {
                    selector,
                    range: None,
                    ..
                },
            ) => (ExprKind::Selector(selector.clone()), atom.span.end),
            (
                Tree::MatrixSelector(_),
                AtomKind::Selector {
                    selector,
                    range: Some(range),
                    edges,
                },
            ) => {
                let kind = ExprKind::Range {
                    selector: selector.clone(),
                    range: range.clone(),
                    edges: *edges,
                };
                (kind, atom.span.end)
            }
            (Tree::Paren(paren), AtomKind::Open) => {
                let inner = self.expr(&paren.expr)?;
                (ExprKind::Paren(Box::new(inner)), self.atoms.close()?)
            }
            (Tree::Call(call), AtomKind::Call(function)) => {
                let mut args = Vec::with_capacity(call.args.args.len());
                for (index, arg) in call.args.args.iter().enumerate() {
                    if index > 0 && !matches!(self.atoms.next()?.kind, AtomKind::Comma) {
                        return Err(self.atoms.disagreement());
                    }
                    args.push(self.expr(arg)?);
                }
                let end = self.atoms.close()?;
                (ExprKind::Call { function, args }, end)
            }
            (Tree::Aggregate(tree), AtomKind::Aggregate(op, grouping)) => {
                let (aggregate, end) = self.aggregate(tree, *op, grouping.as_ref())?;
                (ExprKind::Aggregate(Box::new(aggregate)), end)
            }
            _ => return Err(self.atoms.disagreement()),
        };
        let expr = Expr {
            kind,
            span: Span { start, end },
        };
        check::operand(&expr)?;
        Ok(expr)
    }

    /// An aggregation behind its opening parenthesis; answers where it ends.
    fn aggregate(
        &mut self,
        tree: &AggregateTree,
        op: AggregateOp,
        grouping: Option<&Grouping>,
    ) -> Result<(Aggregate, usize), SourceError> {
        let mut param = None;
        if let Some(param_tree) = &tree.param {
            param = Some(self.expr(param_tree)?);
            if !matches!(self.atoms.next()?.kind, AtomKind::Comma) {
                return Err(self.atoms.disagreement());
            }
        }
        let expr = self.expr(&tree.expr)?;
        let end = self.atoms.close()?;
        let (without, grouping) =
            grouping.map_or((false, Vec::new()), |g| (g.without, g.labels.clone()));
        let aggregate = Aggregate {
            op,
            param,
            expr,
            grouping,
            without,
        };
        Ok((aggregate, end))
    }

    /// Left spines are as long as the text; they are lowered in a loop.
    fn binary(&mut self, tree: &Tree) -> Result<Expr, SourceError> {
        let (mut spine, mut node) = (Vec::new(), tree);
        while let Tree::Binary(binary) = node {
            spine.push(binary);
            node = &binary.lhs;
        }
        let levels = spine.len();
        let mut lhs = self.deeper(levels, |lower| lower.expr(node))?;
        for binary in spine.into_iter().rev() {
            let atom = self.atoms.next()?;
            let AtomKind::Binary(operator) = &atom.kind else {
                return Err(self.atoms.disagreement());
            };
            let rhs = self.expr(&binary.rhs)?;
            let span = Span {
                start: lhs.span.start,
                end: rhs.span.end,
            };
            let is_scalar = |side: &Expr| side.value_type() == ValueType::Scalar;
            // A number meets every element, whatever is said of matching.
            let matching = match is_scalar(&lhs) || is_scalar(&rhs) {
                true => Matching::default(),
                false => operator.matching.clone(),
            };
            let binary = Binary {
                op: operator.op,
                lhs,
                rhs,
                return_bool: operator.return_bool,
                matching,
            };
            lhs = Expr {
                kind: ExprKind::Binary(Box::new(binary)),
                span,
            };
        }
        Ok(lhs)
    }

    fn unary(&mut self, inner: &Tree) -> Result<Expr, SourceError> {
        let start = self.atoms.span().start;
        while matches!(self.atoms.peek(), Some(AtomKind::Sign(false))) {
            self.atoms.next()?;
        }
        if !matches!(self.atoms.next()?.kind, AtomKind::Sign(true)) {
            return Err(self.atoms.disagreement());
        }
        let inner = self.expr(inner)?;
        let span = Span {
            start,
            end: inner.span.end,
        };
        Ok(Expr {
            kind: ExprKind::Negate(Box::new(inner)),
            span,
        })
    }

    fn subquery(&mut self, inner: Expr) -> Result<Expr, SourceError> {
        let atom = self.atoms.next()?;
        let AtomKind::Subquery(subquery) = &atom.kind else {
            return Err(self.atoms.disagreement());
        };
        let span = Span {
            start: inner.span.start,
            end: atom.span.end,
        };
        let subquery = Subquery {
            expr: inner,
            range: subquery.range.clone(),
            step: subquery.step.clone(),
            offset: subquery.offset.clone().unwrap_or(Duration::ZERO),
            at: subquery.at,
        };
        Ok(Expr {
            kind: ExprKind::Subquery(Box::new(subquery)),
            span,
        })
    }
}
