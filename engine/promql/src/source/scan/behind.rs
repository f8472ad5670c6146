//! What stands behind an operand: an operator, a modifier, a comma, or the end of a bracket or of the query.

use crate::plan::{Edges, Span};
use crate::source::atom::AtomKind;
use crate::source::error::SourceError;
use crate::source::lex::TokenKind;

use super::scanner::{Next, Scanner};

/// Binary operators in one query; promql-parser takes 8 ms for 1,000.
const OPERATORS_MAX: usize = 1_000;

impl Scanner<'_, '_> {
    /// Reads on to the next operand, or says why none may follow.
    pub(super) fn behind_operand(&mut self) -> Result<Next, SourceError> {
        let token = self.cursor.peek();
        match &token.kind {
            TokenKind::End => {
                if let Some(open) = self.open.last() {
                    let span = self.atoms[open.atom].span;
                    let at = Span {
                        start: span.end.saturating_sub(1),
                        end: span.end,
                    };
                    return Err(SourceError::new(at, "unclosed left parenthesis"));
                }
                return Ok(Next::End);
            }
            TokenKind::RightParen => self.close()?,
            TokenKind::Comma => {
                let Some(inside) = self.open.last_mut() else {
                    return Err(self.unexpected());
                };
                let kind = &self.atoms[inside.atom].kind;
                let is_call = matches!(kind, AtomKind::Call(_) | AtomKind::Aggregate(..));
                if !is_call && inside.refused.is_none() {
                    return Err(self.unexpected());
                }
                inside.commas += 1;
                self.cursor.next();
                self.push(AtomKind::Comma, token.span.start);
                if !self.begins_operand() {
                    let message = "trailing commas not allowed in function call args";
                    return Err(SourceError::new(token.span, message));
                }
                return Ok(Next::Operand);
            }
            TokenKind::LeftBracket => self.brackets()?,
            TokenKind::At => {
                self.cursor.next();
                self.at_modifier(token.span)?;
            }
            TokenKind::Identifier if self.cursor.is_keyword("offset") => {
                self.cursor.next();
                self.offset_modifier(token.span)?;
            }
            TokenKind::Identifier if self.cursor.is_keyword("anchored") => {
                self.edges(Edges::Anchored)?
            }
            TokenKind::Identifier if self.cursor.is_keyword("smoothed") => {
                self.edges(Edges::Smoothed)?
            }
            _ => {
                let Some(op) = self.binary_operator() else {
                    return Err(self.unexpected());
                };
                self.operators += 1;
                if self.operators > OPERATORS_MAX {
                    return Err(self.too_much("the query has too many operators", OPERATORS_MAX));
                }
                self.cursor.next();
                self.binary(op, token.span.start)?;
                return Ok(Next::Operand);
            }
        }
        Ok(Next::Operator)
    }
}
