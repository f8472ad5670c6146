//! Builds the plan from promql-parser's tree and the scanned atoms.
//!
//! The tree gives the structure; a cursor over the atoms moves along with it and supplies every value and position.
//! Both come from one text by one grammar, so they always agree; if they did not, the result would be an internal
//! error.

mod atoms;
mod check;
mod invariant;
mod nodes;
mod resets;

use super::Features;
use super::plan::Expr;
use super::source::{self, SourceError};
use nodes::Lower;

/// Reads, checks and lowers a query.
pub(crate) fn parse(text: &str, features: &Features) -> Result<Expr, SourceError> {
    let (atoms, tree) = source::read(text, features)?;
    let mut expr = Lower::new(&atoms).query(&tree)?;
    resets::mark(&mut expr);
    Ok(invariant::mark(expr))
}
