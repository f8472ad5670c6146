//! The small language of durations: what stands in `[..]` and after `offset`. promql-parser has no arithmetic
//! there, and it is a language of its own (numbers only, no vectors), so it has its own precedence parser.
//! Everything that does not ask for `step()` or `range()` is folded here.

use crate::Features;
use crate::plan::{Duration, DurationExpr, DurationKind, DurationOp, DurationPurpose, Span};

use super::cursor::Cursor;
use super::error::SourceError;
use super::lex::TokenKind;

/// More parentheses and signs around a duration than this are refused.
const DEPTH_MAX: usize = 64;
/// Each operator holds the one before it, so a chain of them nests like brackets.
const OPERATORS_MAX: usize = 64;

/// What stands between `[` and `]` or `:`.
pub(crate) fn range(
    cursor: &mut Cursor<'_>,
    features: &Features,
    place: &'static str,
) -> Result<Duration, SourceError> {
    let start = cursor.peek().span.start;
    let mut parser = Parser::new(cursor, features, place);
    let kind = parser.sum(0)?;
    let plain = parser.plain;
    let span = cursor.span_from(start);
    finish(kind, span, DurationPurpose::Range, plain, features)
}

/// What stands behind `offset`: one operand with its signs.
pub(crate) fn offset(
    cursor: &mut Cursor<'_>,
    features: &Features,
) -> Result<Duration, SourceError> {
    let start = cursor.peek().span.start;
    let mut parser = Parser::new(cursor, features, "offset");
    let kind = parser.signed_operand(0)?;
    let plain = parser.plain;
    let span = cursor.span_from(start);
    finish(kind, span, DurationPurpose::Offset, plain, features)
}

fn finish(
    kind: DurationKind,
    span: Span,
    purpose: DurationPurpose,
    plain: bool,
    features: &Features,
) -> Result<Duration, SourceError> {
    if !plain && !features.duration_expressions {
        return Err(SourceError::new(
            span,
            "experimental duration expression is not enabled",
        ));
    }
    let expr = DurationExpr {
        kind,
        span,
        purpose,
    };
    if expr.kind.is_deferred() {
        return Ok(Duration::Deferred(Box::new(expr)));
    }
    let ms = expr
        .resolve_ms(0, 0)
        .map_err(|(span, message)| SourceError::new(span, message))?;
    Ok(Duration::Fixed(ms))
}

struct Parser<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    features: &'c Features,
    /// Nothing but a number with at most one sign.
    plain: bool,
    operators: usize,
    /// Where it stands, for errors.
    place: &'static str,
}

/// What may stand where a duration does.
const EXPECTED: &str = "number, duration, step(), or range()";

impl<'c, 'a> Parser<'c, 'a> {
    fn new(
        cursor: &'c mut Cursor<'a>,
        features: &'c Features,
        place: &'static str,
    ) -> Parser<'c, 'a> {
        Parser {
            cursor,
            features,
            plain: true,
            operators: 0,
            place,
        }
    }

    fn sum(&mut self, depth: usize) -> Result<DurationKind, SourceError> {
        let mut left = self.product(depth)?;
        loop {
            let op = match self.cursor.peek().kind {
                TokenKind::Add => DurationOp::Add,
                TokenKind::Sub => DurationOp::Sub,
                _ => return Ok(left),
            };
            left = self.binary(op, left, |parser| parser.product(depth))?;
        }
    }

    fn product(&mut self, depth: usize) -> Result<DurationKind, SourceError> {
        let mut left = self.unary(depth)?;
        loop {
            let op = match self.cursor.peek().kind {
                TokenKind::Mul => DurationOp::Mul,
                TokenKind::Div => DurationOp::Div,
                TokenKind::Mod => DurationOp::Mod,
                _ => return Ok(left),
            };
            left = self.binary(op, left, |parser| parser.unary(depth))?;
        }
    }

    fn unary(&mut self, depth: usize) -> Result<DurationKind, SourceError> {
        if depth > DEPTH_MAX {
            return Err(self
                .cursor
                .unexpected("in duration expression: it is nested too deeply"));
        }
        if self.cursor.take(&TokenKind::Sub) {
            return Ok(DurationKind::Negate(Box::new(self.unary(depth + 1)?)));
        }
        if self.cursor.take(&TokenKind::Add) {
            return self.unary(depth + 1);
        }
        self.power(depth)
    }

    /// What an offset may be without parentheses; operators behind it work on the selector.
    fn signed_operand(&mut self, depth: usize) -> Result<DurationKind, SourceError> {
        if depth > DEPTH_MAX {
            return Err(self
                .cursor
                .unexpected("in duration expression: it is nested too deeply"));
        }
        if self.cursor.take(&TokenKind::Sub) {
            return Ok(DurationKind::Negate(Box::new(
                self.signed_operand(depth + 1)?,
            )));
        }
        if self.cursor.take(&TokenKind::Add) {
            return self.signed_operand(depth + 1);
        }
        self.operand(depth)
    }

    fn power(&mut self, depth: usize) -> Result<DurationKind, SourceError> {
        let base = self.operand(depth)?;
        if !self.cursor.is(&TokenKind::Pow) {
            return Ok(base);
        }
        self.binary(DurationOp::Pow, base, |parser| parser.unary(depth + 1))
    }

    fn binary(
        &mut self,
        op: DurationOp,
        left: DurationKind,
        right: impl FnOnce(&mut Self) -> Result<DurationKind, SourceError>,
    ) -> Result<DurationKind, SourceError> {
        self.plain = false;
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            return Err(self
                .cursor
                .unexpected("in duration expression: it has too many operators"));
        }
        self.cursor.next();
        let start = self.cursor.peek().span.start;
        let right = right(self)?;
        let span = self.cursor.span_from(start);
        Ok(DurationKind::Binary(
            op,
            Box::new(left),
            Box::new(right),
            span,
        ))
    }

    fn operand(&mut self, depth: usize) -> Result<DurationKind, SourceError> {
        let token = self.cursor.peek();
        match &token.kind {
            TokenKind::Number(value) => {
                self.cursor.next();
                Ok(DurationKind::Seconds(*value))
            }
            TokenKind::Duration(ms) => {
                self.cursor.next();
                Ok(DurationKind::Seconds(*ms as f64 / 1000.0))
            }
            TokenKind::LeftParen => {
                self.plain = false;
                self.cursor.next();
                let inner = self.sum(depth + 1)?;
                self.cursor
                    .expect(&TokenKind::RightParen, ")", "duration expression")?;
                Ok(inner)
            }
            TokenKind::Identifier => self.function(depth),
            _ => Err(self.misplaced()),
        }
    }

    fn misplaced(&self) -> SourceError {
        let expected = match self.place {
            "subquery selector" => "number, duration, step(), range(), or \"]\"",
            _ => EXPECTED,
        };
        let context = format!("in {}, expected {expected}", self.place);
        self.cursor.unexpected(&context)
    }

    fn function(&mut self, depth: usize) -> Result<DurationKind, SourceError> {
        self.plain = false;
        let word = self.cursor.word().unwrap_or("").to_ascii_lowercase();
        let (nullary, op) = match word.as_str() {
            "step" => (Some(DurationKind::Step), None),
            "range" => (Some(DurationKind::Range), None),
            "min" | "min_of" => (None, Some(DurationOp::Min)),
            "max" | "max_of" => (None, Some(DurationOp::Max)),
            _ => return Err(self.misplaced()),
        };
        if !self.features.duration_expressions {
            return Err(self.cursor.unexpected(
                "in duration expression: experimental duration expression is not enabled",
            ));
        }
        self.cursor.next();
        self.cursor
            .expect(&TokenKind::LeftParen, "(", "duration expression")?;
        let kind = match (nullary, op) {
            (Some(kind), _) => kind,
            (None, op) => {
                let left = self.sum(depth + 1)?;
                if !self.cursor.is(&TokenKind::Comma) {
                    return Err(self
                        .cursor
                        .unexpected("in duration expression, expected \",\""));
                }
                self.binary(op.unwrap_or(DurationOp::Min), left, |parser| {
                    parser.sum(depth + 1)
                })?
            }
        };
        self.cursor
            .expect(&TokenKind::RightParen, ")", "duration expression")?;
        Ok(kind)
    }
}
