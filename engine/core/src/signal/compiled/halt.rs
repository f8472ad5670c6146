//! Why a query cannot be compiled, a program cannot be bound, or a bound one cannot be run to its end. Ordinary evaluation
//! answers in each case, so nothing is ever approximated.

use std::fmt;

use crate::limits::SUBQUERY_VALUES_MAX;

/// What in a query no program has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsupported {
    /// A function.
    Function(&'static str),
    /// An aggregation.
    Aggregation(&'static str),
    /// An operator.
    Operator(&'static str),
    /// `fill` of unmatched elements.
    Fill,
    /// `@` with a time.
    FixedTime,
    /// `anchored` or `smoothed`.
    Edges,
    /// A duration that is no constant.
    Duration,
    /// A parameter of a range function that is no constant.
    Parameter(&'static str),
    /// A subquery inside another one.
    Nested,
    /// A subquery of more steps than may be computed with a page, whatever it selects.
    Steps,
    /// An aggregation or `@` in a subquery.
    InSubquery(&'static str),
    /// Counter resets of native histograms.
    Histograms,
    /// It yields a text or a matrix.
    NoVector,
    /// It reads no series.
    NoSeries,
    /// More operations than a program may have, or deeper nesting.
    TooLarge {
        /// Those that it may have.
        ops_max: usize,
        depth_max: usize,
    },
    /// What evaluation refuses.
    Refused(String),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsupported::Function(name) => write!(f, "the function {name} is not compiled"),
            Unsupported::Aggregation(name) => write!(f, "the aggregation {name} is not compiled"),
            Unsupported::Operator(name) => write!(f, "the operator {name} is not compiled"),
            Unsupported::Fill => f.write_str("fill, fill_left and fill_right are not compiled"),
            Unsupported::FixedTime => f.write_str(
                "`@` with a time reads the same samples for ever, so there is nothing to bring up to date",
            ),
            Unsupported::Edges => f.write_str("anchored and smoothed ranges are not compiled"),
            Unsupported::Duration => f.write_str("durations that are computed are not compiled"),
            Unsupported::Parameter(name) => {
                write!(f, "{name} is compiled with constant parameters only")
            }
            Unsupported::Nested => {
                f.write_str("subqueries inside of subqueries are not compiled")
            }
            Unsupported::Steps => write!(
                f,
                "a subquery of more than {SUBQUERY_VALUES_MAX} steps is not compiled"
            ),
            Unsupported::InSubquery(name) => {
                write!(f, "{name} inside of a subquery is not compiled")
            }
            Unsupported::Histograms => {
                f.write_str("counter resets of native histograms are not compiled")
            }
            Unsupported::NoVector => f.write_str("it yields no vector"),
            Unsupported::NoSeries => f.write_str("it reads no series"),
            Unsupported::TooLarge { ops_max, depth_max } => write!(
                f,
                "it has more than {ops_max} operations, or is nested deeper than {depth_max}"
            ),
            Unsupported::Refused(why) => write!(f, "evaluation refuses it: {why}"),
        }
    }
}

/// Why a program cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// Until series appear or disappear.
    ByStructure(&'static str),
    /// For some time: the samples that block it leave the window.
    ForNow(&'static str),
}

/// There is no memory for its windows at present.
pub(super) const OUT_OF_MEMORY: Blocked =
    Blocked::ForNow("its windows would exceed the memory that windows may hold");

impl Blocked {
    pub(super) fn why(self) -> &'static str {
        match self {
            Blocked::ByStructure(why) | Blocked::ForNow(why) => why,
        }
    }
}

/// Why a bound program stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// What is kept no longer matches the store: the program has to be bound again.
    Unbound,
    /// Elements collide, or a parameter is refused: what that means is said by ordinary evaluation.
    Undecided,
    /// A page of one of its targets is being committed.
    Committing,
    /// More steps of a subquery have to be computed than one page may take; the pages that follow go on.
    Unfinished,
}
