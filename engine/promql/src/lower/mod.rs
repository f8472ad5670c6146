//! Builds the plan from promql-parser's tree and the scanned atoms.
//!
//! The tree gives the structure; a cursor over the atoms moves along with it and supplies every value and position.
//! Both come from one text by one grammar, so they always agree; if they did not, the result would be an internal
//! error.

mod check;
mod invariant;
mod resets;

use promql_parser::parser::{AggregateExpr as AggregateTree, Expr as Tree};

use super::Features;
use super::plan::{
    Aggregate, AggregateOp, Binary, Duration, Expr, ExprKind, Matching, Span, Subquery, ValueType,
};
use super::source::{self, Atom, AtomKind, Grouping, SourceError};

/// Reads, checks and lowers a query.
pub(crate) fn parse(text: &str, features: &Features) -> Result<Expr, SourceError> {
    let (atoms, tree) = source::read(text, features)?;
    let mut lower = Lower {
        atoms: &atoms,
        at: 0,
        depth: 0,
    };
    let mut expr = lower.expr(&tree)?;
    if lower.at != atoms.len() {
        return Err(lower.adrift());
    }
    resets::mark(&mut expr);
    Ok(invariant::mark(expr))
}

/// Levels of the plan: brackets, and operators in a row, each of which holds the one before it. Evaluation
/// recurses once per level; this depth fits the 2 MiB of a thread's stack with room to spare.
const DEPTH_MAX: usize = 200;

struct Lower<'a> {
    atoms: &'a [Atom],
    at: usize,
    depth: usize,
}

impl<'a> Lower<'a> {
    fn peek(&self) -> Option<&'a AtomKind> {
        self.atoms.get(self.at).map(|atom| &atom.kind)
    }

    fn next(&mut self) -> Result<&'a Atom, SourceError> {
        let atom = self.atoms.get(self.at).ok_or_else(|| self.adrift())?;
        self.at += 1;
        Ok(atom)
    }

    fn adrift(&self) -> SourceError {
        let span = self
            .atoms
            .get(self.at)
            .map_or(Span::default(), |atom| atom.span);
        SourceError::new(span, "the query was read in two ways; please report this")
    }

    /// Takes a closing parenthesis; answers where it ends.
    fn close(&mut self) -> Result<usize, SourceError> {
        match self.next()? {
            Atom {
                kind: AtomKind::Close,
                span,
            } => Ok(span.end),
            _ => Err(self.adrift()),
        }
    }

    /// Signs that left no node in the tree: pluses, and minuses before numbers, which it folds.
    fn folded_signs(&mut self) -> bool {
        let mut negative = false;
        while let Some(AtomKind::Sign(minus)) = self.peek() {
            negative ^= minus;
            self.at += 1;
        }
        negative
    }

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
            let span = self
                .atoms
                .get(self.at)
                .map_or(Span::default(), |atom| atom.span);
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
        let sign_at = self.at;
        let negative = self.folded_signs();
        let start = self.atoms.get(sign_at).map_or(0, |atom| atom.span.start);
        let mut expr = self.operand(tree)?;
        if let ExprKind::Number(value) = &mut expr.kind {
            if negative {
                *value = -*value;
            }
            expr.span.start = start;
        } else if negative {
            return Err(self.adrift());
        }
        Ok(expr)
    }

    fn operand(&mut self, tree: &Tree) -> Result<Expr, SourceError> {
        let atom = self.next()?;
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
                (ExprKind::Paren(Box::new(inner)), self.close()?)
            }
            (Tree::Call(call), AtomKind::Call(function)) => {
                let mut args = Vec::with_capacity(call.args.args.len());
                for (index, arg) in call.args.args.iter().enumerate() {
                    if index > 0 && !matches!(self.next()?.kind, AtomKind::Comma) {
                        return Err(self.adrift());
                    }
                    args.push(self.expr(arg)?);
                }
                let end = self.close()?;
                (ExprKind::Call { function, args }, end)
            }
            (Tree::Aggregate(tree), AtomKind::Aggregate(op, grouping)) => {
                let (aggregate, end) = self.aggregate(tree, *op, grouping.as_ref())?;
                (ExprKind::Aggregate(Box::new(aggregate)), end)
            }
            _ => return Err(self.adrift()),
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
            if !matches!(self.next()?.kind, AtomKind::Comma) {
                return Err(self.adrift());
            }
        }
        let expr = self.expr(&tree.expr)?;
        let end = self.close()?;
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
            let atom = self.next()?;
            let AtomKind::Binary(operator) = &atom.kind else {
                return Err(self.adrift());
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
        let start = self.atoms.get(self.at).map_or(0, |atom| atom.span.start);
        while matches!(self.peek(), Some(AtomKind::Sign(false))) {
            self.at += 1;
        }
        if !matches!(self.next()?.kind, AtomKind::Sign(true)) {
            return Err(self.adrift());
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
        let atom = self.next()?;
        let AtomKind::Subquery(subquery) = &atom.kind else {
            return Err(self.adrift());
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
