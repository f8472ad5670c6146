//! Operands: numbers, texts, selectors, and the beginnings of calls and aggregations.

use std::sync::Arc;

use crate::plan::{AggregateOp, Edges, Function, FunctionId};
use crate::source::atom::AtomKind;
use crate::source::cursor::KEYWORDS;
use crate::source::error::SourceError;
use crate::source::lex::TokenKind;
use crate::source::selector;

use super::scanner::Scanner;

/// Signs in a row (`- - - x`).
const SIGNS_MAX: usize = 50;

/// Words that can be no metric name at the start of an operand.
const RESERVED: [&str; 6] = [
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "atan2",
];

impl Scanner<'_, '_> {
    /// Signs, opening brackets and then one operand; `()` of a call without arguments counts as one.
    pub(super) fn operand(&mut self) -> Result<(), SourceError> {
        let mut signs = 0;
        loop {
            let token = self.cursor.peek();
            let start = token.span.start;
            match &token.kind {
                TokenKind::Add | TokenKind::Sub => {
                    signs += 1;
                    if signs > SIGNS_MAX {
                        return Err(self.too_much("too many signs in a row", SIGNS_MAX));
                    }
                    self.cursor.next();
                    self.push(AtomKind::Sign(token.kind == TokenKind::Sub), start);
                    continue;
                }
                TokenKind::LeftParen => {
                    self.cursor.next();
                    self.open(AtomKind::Open, start, None)?;
                }
                TokenKind::Number(value) => {
                    self.cursor.next();
                    self.push(AtomKind::Number(*value), start);
                    return Ok(());
                }
                TokenKind::Duration(ms) => {
                    self.cursor.next();
                    self.push(AtomKind::Number(*ms as f64 / 1000.0), start);
                    return Ok(());
                }
                TokenKind::String(text) => {
                    self.cursor.next();
                    self.push(AtomKind::String(Arc::from(text.as_str())), start);
                    return Ok(());
                }
                TokenKind::LeftBrace => return self.selector(),
                TokenKind::Identifier => {
                    if self.word()? {
                        return Ok(());
                    }
                    if self.cursor.is(&TokenKind::RightParen) && self.may_be_empty() {
                        return Ok(());
                    }
                }
                _ => return Err(self.unexpected()),
            }
            signs = 0;
        }
    }

    /// Whether an expression may begin here, or the text cannot be read on.
    pub(super) fn begins_operand(&self) -> bool {
        use TokenKind as T;
        match self.cursor.peek().kind {
            T::Add | T::Sub | T::LeftParen | T::Number(_) | T::Duration(_) => true,
            T::String(_) | T::LeftBrace | T::End => true,
            T::Identifier => !self.cursor.word().is_some_and(is_reserved),
            _ => false,
        }
    }

    /// A call, an aggregation or a selector; true where the operand is complete.
    fn word(&mut self) -> Result<bool, SourceError> {
        let token = self.cursor.peek();
        let word = self.cursor.word_of(token);
        let start = token.span.start;
        let follows = &self.cursor.ahead(1).kind;
        if let Some(op) = AggregateOp::from_name(word) {
            if let Some(grouping) = self.leading_grouping()? {
                if !self.cursor.take(&TokenKind::LeftParen) {
                    return Err(self.cursor.unexpected("in aggregation"));
                }
                self.open(AtomKind::Aggregate(op, Some(grouping)), start, None)?;
                return Ok(false);
            }
            if *follows == TokenKind::LeftParen {
                self.cursor.next();
                self.cursor.next();
                self.open(AtomKind::Aggregate(op, None), start, None)?;
                return Ok(false);
            }
        }
        if *follows == TokenKind::LeftParen && !is_no_function(word) {
            // Keywords are read in any case; as functions they are written in lower case.
            let lower = word.to_ascii_lowercase();
            let name = if matches!(lower.as_str(), "start" | "end" | "step" | "range") {
                &lower
            } else {
                word
            };
            let known = Function::from_name(name);
            let is_enabled = |function: &&Function| match function.id {
                FunctionId::StartTimestamp => self.features.start_timestamps,
                _ => self.features.experimental_functions || !function.experimental,
            };
            let refused = match known {
                Some(function) if is_enabled(&function) => None,
                Some(_) => Some(format!("function {word:?} is not enabled")),
                None => Some(format!("unknown function with name {word:?}")),
            };
            let refused = refused.map(|why| SourceError::new(token.span, why));
            self.cursor.next();
            self.cursor.next();
            match known {
                Some(function) => self.open(AtomKind::Call(function), start, refused)?,
                // It is refused as soon as it is closed.
                None => self.open(AtomKind::Open, start, refused)?,
            }
            return Ok(false);
        }
        if is_reserved(word) {
            return Err(self.unexpected());
        }
        self.selector()?;
        Ok(true)
    }

    fn selector(&mut self) -> Result<(), SourceError> {
        let start = self.cursor.peek().span.start;
        let selector = Box::new(selector::selector(self.cursor)?);
        let kind = AtomKind::Selector {
            selector,
            range: None,
            edges: Edges::Plain,
        };
        self.push(kind, start);
        Ok(())
    }
}

fn is_reserved(word: &str) -> bool {
    let same = |reserved: &&str| word.eq_ignore_ascii_case(reserved);
    RESERVED.iter().any(same)
}

/// Keywords that are no functions, whatever follows.
fn is_no_function(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let is_function = matches!(lower.as_str(), "start" | "end" | "step" | "range");
    let is_operator = matches!(lower.as_str(), "and" | "or" | "unless" | "atan2" | "fill");
    is_operator || (KEYWORDS.contains(&lower.as_str()) && !is_function)
}
