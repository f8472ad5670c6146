//! Atoms to a text for promql-parser. Every literal, selector and modifier is replaced by a plain stand-in: what
//! the crate reads is only the shape of the query and the types of its parts, and nothing in it can be misread,
//! overflow or panic there. Lowering walks the crate's tree and the atoms side by side and takes every value from
//! the atoms.

use std::fmt::Write as _;

use crate::plan::{AggregateOp, BinaryOp};

use super::atom::{Atom, AtomKind};

pub(crate) fn skeleton(atoms: &[Atom]) -> String {
    let mut text = String::with_capacity(atoms.len() * 4);
    for atom in atoms {
        match &atom.kind {
            AtomKind::Number(_) => text.push('1'),
            AtomKind::String(_) => text.push_str("\"s\""),
            AtomKind::Selector {
                selector, range, ..
            } => {
                // Without a name it must look so: `info` asks for that.
                text.push_str(if selector.named { "m" } else { "{a=\"b\"}" });
                if range.is_some() {
                    text.push_str("[1s]");
                }
            }
            AtomKind::Subquery(_) => text.push_str("[1s:1s]"),
            AtomKind::Binary(binary) => {
                // The trim operators bind like comparisons, which with `bool` may stand between scalars.
                let op = match binary.op {
                    BinaryOp::TrimUpper => "<",
                    BinaryOp::TrimLower => ">",
                    op => op.as_str(),
                };
                let comparison = binary.op.is_comparison() || matches!(op, "<" | ">");
                let bool_modifier = if comparison { " bool" } else { "" };
                let _ = write!(text, " {op}{bool_modifier} ");
            }
            AtomKind::Sign(true) => text.push('-'),
            AtomKind::Sign(false) => text.push('+'),
            AtomKind::Open => text.push('('),
            AtomKind::Call(function) => {
                let _ = write!(text, "{}(", stand_in(function.name));
            }
            AtomKind::Aggregate(op, _) => {
                let op = match op {
                    // The crate checks the parameter's type of these two as we want it for the two below.
                    AggregateOp::Limitk | AggregateOp::LimitRatio => "topk",
                    op => op.as_str(),
                };
                let _ = write!(text, "{op}(");
            }
            AtomKind::Comma => text.push_str(", "),
            AtomKind::Close => text.push(')'),
        }
    }
    text
}

/// Functions that the crate's lexer takes for keywords, or types too strictly, pass as others of the same type.
fn stand_in(name: &'static str) -> &'static str {
    match name {
        "start" | "end" | "step" | "range" => "time",
        name => name,
    }
}
