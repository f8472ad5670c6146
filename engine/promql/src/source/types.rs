//! The checks that Prometheus makes once a text is read (`checkAST` in promql/parser/parse.go): types, arguments, matching. With
//! its words, its places and its order, for the first error is the one that is told.
//!
//! promql-parser makes most of them as well, without places; so they are made here first, on the atoms, by a walk that finds
//! out which operator binds what and builds no tree. Linear in the atoms.

use crate::plan::{AggregateOp, BinaryOp, Cardinality, Function, FunctionId, Span, ValueType};

use super::atom::{Atom, AtomKind, BinaryAtom};
use super::error::SourceError;
use super::selector::fits_everything;

/// Levels of the walk; deeper ones are refused by who builds the plan.
const DEPTH_MAX: usize = 1_000;

/// The first error, if there is any.
pub(super) fn check(atoms: &[Atom]) -> Result<(), SourceError> {
    let mut checker = Checker {
        atoms,
        at: 0,
        depth: 0,
        errors: Vec::new(),
    };
    checker.expression(0);
    match checker.errors.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct Checker<'a> {
    atoms: &'a [Atom],
    at: usize,
    depth: usize,
    errors: Vec<SourceError>,
}

/// What is known of a part.
#[derive(Clone, Copy)]
struct Part {
    kind: ValueType,
    span: Span,
    /// Whether it is a selector, and whether that has a name.
    selector: Option<bool>,
}

/// An argument, and the errors found in it.
type Argument = (Part, Vec<SourceError>);

/// How tightly an operator binds, from 1, and whether to the right.
fn binding(op: BinaryOp) -> (u8, bool) {
    match op {
        BinaryOp::Or => (1, false),
        BinaryOp::And | BinaryOp::Unless => (2, false),
        BinaryOp::Add | BinaryOp::Sub => (4, false),
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => (5, false),
        BinaryOp::Pow => (6, true),
        _ => (3, false), // comparisons
    }
}

/// As tightly as a sign binds: more than a product, less than a power.
const SIGN: u8 = 6;

impl<'a> Checker<'a> {
    fn fail(&mut self, span: Span, message: String) {
        self.errors.push(SourceError::new(span, message));
    }

    fn peek(&self) -> Option<&'a Atom> {
        self.atoms.get(self.at)
    }

    fn next(&mut self) -> Option<&'a Atom> {
        let atom = self.atoms.get(self.at)?;
        self.at += 1;
        Some(atom)
    }

    /// Everything from here on that binds at least so tightly. `None`: the walk gives up.
    fn expression(&mut self, least: u8) -> Option<Part> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let mut left = self.signed()?;
        while let Some(Atom {
            kind: AtomKind::Binary(binary),
            span,
        }) = self.peek()
        {
            let (binds, is_right) = binding(binary.op);
            if binds < least {
                break;
            }
            self.at += 1;
            let right = self.expression(if is_right { binds } else { binds + 1 })?;
            left = self.binary(binary, *span, left, right);
        }
        self.depth -= 1;
        Some(left)
    }

    fn signed(&mut self) -> Option<Part> {
        let Some(Atom {
            kind: AtomKind::Sign(_),
            span,
        }) = self.peek()
        else {
            return self.operand();
        };
        self.at += 1;
        let mut part = self.expression(SIGN)?;
        part.span.start = span.start;
        part.selector = None;
        if !matches!(part.kind, ValueType::Scalar | ValueType::Vector) {
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                part.kind.documented()
            );
            self.fail(part.span, message);
        }
        Some(part)
    }

    fn operand(&mut self) -> Option<Part> {
        let atom = self.next()?;
        let part = |kind| Part {
            kind,
            span: atom.span,
            selector: None,
        };
        let mut part = match &atom.kind {
            AtomKind::Number(_) => part(ValueType::Scalar),
            AtomKind::String(_) => part(ValueType::String),
            AtomKind::Selector {
                selector, range, ..
            } => {
                if fits_everything(selector) {
                    let message = "vector selector must contain at least one non-empty matcher";
                    self.fail(atom.span, message.to_owned());
                }
                match range {
                    Some(_) => part(ValueType::Matrix),
                    None => Part {
                        selector: Some(selector.named),
                        ..part(ValueType::Vector)
                    },
                }
            }
            AtomKind::Open => {
                let inner = self.expression(0)?;
                let span = self.closed(atom)?;
                Part {
                    kind: inner.kind,
                    span,
                    selector: None,
                }
            }
            AtomKind::Call(function) => self.call(function, atom)?,
            AtomKind::Aggregate(op, _) => self.aggregate(*op, atom)?,
            _ => return None,
        };
        while let Some(Atom {
            kind: AtomKind::Subquery(_),
            span,
        }) = self.peek()
        {
            self.at += 1;
            let whole = Span {
                start: part.span.start,
                end: span.end,
            };
            if part.kind != ValueType::Vector {
                let got = match part.kind {
                    ValueType::Scalar => "scalar",
                    ValueType::String => "string",
                    ValueType::Vector => "vector",
                    ValueType::Matrix => "matrix",
                };
                let message =
                    format!("subquery is only allowed on instant vector, got {got} instead");
                self.fail(whole, message);
            }
            part = Part {
                kind: ValueType::Matrix,
                span: whole,
                selector: None,
            };
        }
        Some(part)
    }

    /// From an opening atom to the closing one, which is taken.
    fn closed(&mut self, open: &Atom) -> Option<Span> {
        let close = self.next()?;
        let is_close = matches!(close.kind, AtomKind::Close);
        is_close.then_some(Span {
            start: open.span.start,
            end: close.span.end,
        })
    }

    /// Parts between commas, each with the errors found in it, up to the closing parenthesis.
    fn arguments(&mut self, open: &Atom) -> Option<(Vec<Argument>, Span)> {
        let mut all = Vec::new();
        let before = std::mem::take(&mut self.errors);
        while !matches!(self.peek()?.kind, AtomKind::Close) {
            if !all.is_empty() && !matches!(self.next()?.kind, AtomKind::Comma) {
                return None;
            }
            let part = self.expression(0)?;
            all.push((part, std::mem::take(&mut self.errors)));
        }
        self.errors = before;
        let span = self.closed(open)?;
        Some((all, span))
    }

    fn call(&mut self, function: &'static Function, open: &Atom) -> Option<Part> {
        let (args, span) = self.arguments(open)?;
        let (name, wanted, got) = (function.name, function.args.len(), args.len());
        let least = wanted.saturating_sub(usize::from(function.variadic != 0));
        let most = usize::try_from(function.variadic).map(|more| least + more);
        match most {
            Ok(_) if function.variadic == 0 && got != wanted => self.fail(
                span,
                format!("expected {wanted} argument(s) in call to {name:?}, got {got}"),
            ),
            _ if got < least => self.fail(
                span,
                format!("expected at least {least} argument(s) in call to {name:?}, got {got}"),
            ),
            Ok(most) if function.variadic > 0 && got > most => self.fail(
                span,
                format!("expected at most {most} argument(s) in call to {name:?}, got {got}"),
            ),
            _ => {}
        }
        let is_info = function.id == FunctionId::Info;
        if let Some((data, _)) = args.get(1).filter(|_| is_info) {
            self.data_of_info(span, data);
        }
        for (at, (part, mut errors)) in args.into_iter().enumerate() {
            let Some(wanted) = function.args.get(at).or(match function.variadic {
                0 => None,
                _ => function.args.last(),
            }) else {
                break;
            };
            if is_info && at == 1 && part.selector.is_some() {
                errors.clear(); // of these labels all may be optional
            }
            self.errors.append(&mut errors);
            self.expect(*wanted, &format!("call to function {name:?}"), &part);
        }
        Some(Part {
            kind: function.returns,
            span,
            selector: None,
        })
    }

    fn data_of_info(&mut self, call: Span, data: &Part) {
        if data.kind != ValueType::Vector {
            let message = format!(
                "expected type instant vector in call to function \"info\", got {}",
                data.kind.documented()
            );
            self.fail(call, message);
        }
        match data.selector {
            Some(true) => {
                let message = "expected label selectors only, got vector selector instead";
                self.fail(data.span, message.to_owned());
            }
            Some(false) => {}
            None => self.fail(data.span, "expected label selectors only".to_owned()),
        }
    }

    fn aggregate(&mut self, op: AggregateOp, open: &Atom) -> Option<Part> {
        let (mut args, span) = self.arguments(open)?;
        let (part, mut errors) = args.pop()?;
        self.errors.append(&mut errors);
        self.expect(ValueType::Vector, "aggregation expression", &part);
        if let Some((param, mut errors)) = args.pop() {
            self.errors.append(&mut errors);
            let wanted = match op {
                AggregateOp::CountValues => ValueType::String,
                _ => ValueType::Scalar,
            };
            self.expect(wanted, "aggregation parameter", &param);
        }
        Some(Part {
            kind: ValueType::Vector,
            span,
            selector: None,
        })
    }

    fn expect(&mut self, wanted: ValueType, context: &str, got: &Part) {
        if got.kind != wanted {
            let message = format!(
                "expected type {} in {context}, got {}",
                wanted.documented(),
                got.kind.documented()
            );
            self.fail(got.span, message);
        }
    }

    fn binary(&mut self, operator: &BinaryAtom, at: Span, left: Part, right: Part) -> Part {
        let (op, matching) = (operator.op, &operator.matching);
        let span = Span {
            start: left.span.start,
            end: right.span.end,
        };
        let is = |kind: ValueType| (left.kind == kind, right.kind == kind);
        let (scalars, vectors) = (is(ValueType::Scalar), is(ValueType::Vector));
        if operator.return_bool && !op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            self.fail(at, message.to_owned());
        }
        if op.is_comparison() && !operator.return_bool && scalars == (true, true) {
            let message = "comparisons between scalars must use BOOL modifier";
            self.fail(at, message.to_owned());
        }
        let twice = |label: &&std::sync::Arc<str>| matching.include.contains(label);
        if let Some(label) = matching.labels.iter().find(twice).filter(|_| matching.on) {
            let message = format!("label {label:?} must not occur in ON and GROUP clause at once");
            self.fail(at, message);
        }
        for (side, fits) in [
            (left, scalars.0 || vectors.0),
            (right, scalars.1 || vectors.1),
        ] {
            if !fits {
                let message = "binary expression must contain only scalar and instant vector types";
                self.fail(side.span, message.to_owned());
            }
        }
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if vectors != (true, true) {
            if !matching.labels.is_empty() {
                let message = "vector matching only allowed between instant vectors";
                self.fail(span, message.to_owned());
            }
            if fills {
                let message = "filling in missing series only allowed between instant vectors";
                self.fail(span, message.to_owned());
            }
        } else if op.is_set() {
            if matching.cardinality != Cardinality::ManyToMany {
                self.fail(
                    span,
                    format!("no grouping allowed for {:?} operation", op.as_str()),
                );
            }
            if fills {
                let message = "filling in missing series not allowed for set operators";
                self.fail(span, message.to_owned());
            }
        }
        if op.is_set() && (scalars.0 || scalars.1) {
            let message = format!(
                "set operator {:?} not allowed in binary scalar expression",
                op.as_str()
            );
            self.fail(span, message);
        }
        Part {
            kind: match scalars {
                (true, true) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            span,
            selector: None,
        }
    }
}
