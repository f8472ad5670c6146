//! Durations, and what a duration expression amounts to, once the query's step and range are known.

use stillwell_model::arithmetic::go_math;

use super::types::Span;

/// A length of time: known, or known once the query's step and range are.
#[derive(Clone, Debug, PartialEq)]
pub enum Duration {
    /// Milliseconds.
    Fixed(i64),
    /// Depends on `step()` or `range()`.
    Deferred(Box<DurationExpr>),
}

impl Duration {
    /// No time.
    pub const ZERO: Duration = Duration::Fixed(0);

    /// Milliseconds, where known without running the query.
    pub fn fixed_ms(&self) -> Option<i64> {
        match self {
            Duration::Fixed(ms) => Some(*ms),
            Duration::Deferred(_) => None,
        }
    }
}

/// A duration expression.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationKind,
    /// Where it was written.
    pub span: Span,
    /// What it is for, which decides the values it may have.
    pub purpose: DurationPurpose,
}

/// What a duration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationPurpose {
    /// A range or a subquery's step: above 0.
    Range,
    /// An offset: any sign.
    Offset,
}

/// The parts of a duration expression; numbers are seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// A number or a duration.
    Seconds(f64),
    /// `step()`.
    Step,
    /// `range()`.
    Range,
    /// `-x`.
    Negate(Box<DurationKind>),
    /// An operator; the position of the right side is for messages.
    Binary(DurationOp, Box<DurationKind>, Box<DurationKind>, Span),
}

/// Operators of duration expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min_of(a, b)`
    Min,
    /// `max_of(a, b)`
    Max,
}

/// Go's time.Duration is 64 bits of nanoseconds; more is out of range.
const SECONDS_MAX: f64 = (i64::MAX / 1_000_000_000) as f64;

impl DurationKind {
    /// Whether it asks for `step()` or `range()`.
    pub(crate) fn is_deferred(&self) -> bool {
        match self {
            DurationKind::Seconds(_) => false,
            DurationKind::Step | DurationKind::Range => true,
            DurationKind::Negate(inner) => inner.is_deferred(),
            DurationKind::Binary(_, left, right, _) => left.is_deferred() || right.is_deferred(),
        }
    }

    fn seconds(&self, step_ms: i64, range_ms: i64) -> Result<f64, (Span, String)> {
        Ok(match self {
            DurationKind::Seconds(seconds) => *seconds,
            DurationKind::Step => step_ms as f64 / 1000.0,
            DurationKind::Range => range_ms as f64 / 1000.0,
            DurationKind::Negate(inner) => -inner.seconds(step_ms, range_ms)?,
            DurationKind::Binary(op, left, right, right_span) => {
                let left = left.seconds(step_ms, range_ms)?;
                let right = right.seconds(step_ms, range_ms)?;
                match op {
                    DurationOp::Add => left + right,
                    DurationOp::Sub => left - right,
                    DurationOp::Mul => left * right,
                    DurationOp::Div if right == 0.0 => {
                        return Err((*right_span, "division by zero".to_owned()));
                    }
                    DurationOp::Mod if right == 0.0 => {
                        return Err((*right_span, "modulo by zero".to_owned()));
                    }
                    DurationOp::Div => left / right,
                    DurationOp::Mod => left % right,
                    DurationOp::Pow => go_math::pow(left, right),
                    DurationOp::Min => left.min(right),
                    DurationOp::Max => left.max(right),
                }
            }
        })
    }
}

impl DurationExpr {
    /// Milliseconds, or what is wrong and where.
    pub(crate) fn resolve_ms(&self, step_ms: i64, range_ms: i64) -> Result<i64, (Span, String)> {
        let seconds = self.kind.seconds(step_ms, range_ms)?;
        if self.purpose == DurationPurpose::Range && seconds <= 0.0 {
            return Err((self.span, "duration must be greater than 0".to_owned()));
        }
        if seconds.is_nan() || seconds.abs() > SECONDS_MAX {
            return Err((self.span, "duration out of range".to_owned()));
        }
        Ok((seconds * 1000.0).round() as i64)
    }
}

impl Duration {
    /// Makes a deferred duration a known one.
    pub(crate) fn resolve(&mut self, step_ms: i64, range_ms: i64) -> Result<(), (Span, String)> {
        if let Duration::Deferred(expr) = self {
            *self = Duration::Fixed(expr.resolve_ms(step_ms, range_ms)?);
        }
        Ok(())
    }
}
