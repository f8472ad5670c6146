//! Tokens to atoms. One loop without recursion that knows whether an operand or an operator comes next; it refuses
//! what is too deep or too long before promql-parser sees it (its checks are quadratic in operators and nesting).

mod modifiers;
mod operators;

use std::sync::Arc;

use crate::Features;
use crate::plan::{AggregateOp, Edges, Span};
use crate::plan::{Function, FunctionId};

use super::atom::{Atom, AtomKind, Grouping};
use super::cursor::Cursor;
use super::error::SourceError;
use super::lex::TokenKind;
use super::selector;

/// Open brackets at once. Lowering and evaluation recurse once per level.
pub(crate) const NESTING_MAX: usize = 100;
/// Signs in a row (`- - - x`).
const SIGNS_MAX: usize = 50;
/// Binary operators in one query; promql-parser takes 8 ms for 1,000.
const OPERATORS_MAX: usize = 1_000;
/// Atoms in one query.
const ATOMS_MAX: usize = 20_000;

/// Words that can be no metric name at the start of an operand.
const RESERVED: [&str; 6] = [
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "atan2",
];

pub(crate) fn scan(cursor: &mut Cursor<'_>, features: &Features) -> Result<Vec<Atom>, SourceError> {
    let mut scanner = Scanner {
        cursor,
        features,
        atoms: Vec::new(),
        open: Vec::new(),
        operators: 0,
    };
    scanner.run()?;
    Ok(scanner.atoms)
}

struct Scanner<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    features: &'c Features,
    atoms: Vec<Atom>,
    /// Indices of the opening atoms that are not closed yet.
    open: Vec<usize>,
    operators: usize,
}

impl Scanner<'_, '_> {
    fn run(&mut self) -> Result<(), SourceError> {
        if self.cursor.is(&TokenKind::End) {
            let span = self.cursor.peek().span;
            return Err(SourceError::new(span, "no expression found in input"));
        }
        loop {
            self.operand()?;
            loop {
                if self.atoms.len() > ATOMS_MAX {
                    return Err(self.too_much("the query has too many parts", ATOMS_MAX));
                }
                match self.behind_operand()? {
                    Next::Operand => break,
                    Next::Operator => {}
                    Next::End => return Ok(()),
                }
            }
        }
    }

    fn push(&mut self, kind: AtomKind, start: usize) {
        let span = self.cursor.span_from(start);
        self.atoms.push(Atom { kind, span });
    }

    fn too_much(&self, what: &str, limit: usize) -> SourceError {
        SourceError::new(
            self.cursor.peek().span,
            format!("{what}; the limit is {limit}"),
        )
    }

    /// Signs, opening brackets and then one operand; `()` of a call without arguments counts as one.
    fn operand(&mut self) -> Result<(), SourceError> {
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
                    self.open(AtomKind::Open, start)?;
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
                    if self.cursor.is(&TokenKind::RightParen)
                        && matches!(
                            self.atoms.last(),
                            Some(Atom {
                                kind: AtomKind::Call(_),
                                ..
                            })
                        )
                    {
                        return Ok(());
                    }
                }
                _ => return Err(self.cursor.unexpected("")),
            }
            signs = 0;
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
                self.cursor
                    .expect(&TokenKind::LeftParen, "(", "aggregation")?;
                self.open(AtomKind::Aggregate(op, Some(grouping)), start)?;
                return Ok(false);
            }
            if *follows == TokenKind::LeftParen {
                self.cursor.next();
                self.cursor.next();
                self.open(AtomKind::Aggregate(op, None), start)?;
                return Ok(false);
            }
        }
        if *follows == TokenKind::LeftParen {
            // Keywords are read in any case; as functions they are written in lower case.
            let lower = word.to_ascii_lowercase();
            let name = if matches!(lower.as_str(), "start" | "end" | "step" | "range") {
                &lower
            } else {
                word
            };
            let Some(function) = Function::from_name(name) else {
                let message = format!("unknown function with name {word:?}");
                return Err(SourceError::new(token.span, message));
            };
            let enabled = match function.id {
                FunctionId::StartTimestamp => self.features.start_timestamps,
                _ => self.features.experimental_functions || !function.experimental,
            };
            if !enabled {
                let message = format!("function {word:?} is not enabled");
                return Err(SourceError::new(token.span, message));
            }
            self.cursor.next();
            self.cursor.next();
            self.open(AtomKind::Call(function), start)?;
            return Ok(false);
        }
        if RESERVED
            .iter()
            .any(|reserved| word.eq_ignore_ascii_case(reserved))
        {
            return Err(SourceError::new(
                token.span,
                format!("unexpected <{}>", word.to_ascii_lowercase()),
            ));
        }
        self.selector()?;
        Ok(true)
    }

    /// `by (..)` or `without (..)` between an aggregation's name and its parenthesis.
    fn leading_grouping(&mut self) -> Result<Option<Grouping>, SourceError> {
        let next = self.cursor.ahead(1);
        let word = self.cursor.word_of(next);
        let keyword = next.kind == TokenKind::Identifier
            && (word.eq_ignore_ascii_case("by") || word.eq_ignore_ascii_case("without"));
        if !keyword {
            return Ok(None);
        }
        self.cursor.next();
        self.grouping()
    }

    /// `by (..)` or `without (..)` at the cursor, if there is one.
    fn grouping(&mut self) -> Result<Option<Grouping>, SourceError> {
        let without = self.cursor.is_keyword("without");
        if !without && !self.cursor.is_keyword("by") {
            return Ok(None);
        }
        self.cursor.next();
        let labels = selector::grouping_labels(self.cursor)?;
        Ok(Some(Grouping { without, labels }))
    }

    fn open(&mut self, kind: AtomKind, start: usize) -> Result<(), SourceError> {
        if self.open.len() >= NESTING_MAX {
            return Err(self.too_much("the query is nested too deeply", NESTING_MAX));
        }
        self.open.push(self.atoms.len());
        self.push(kind, start);
        Ok(())
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

    fn behind_operand(&mut self) -> Result<Next, SourceError> {
        let token = self.cursor.peek();
        match &token.kind {
            TokenKind::End => {
                if let Some(open) = self.open.last() {
                    let span = self.atoms[*open].span;
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
                let inside = self.open.last().map(|open| &self.atoms[*open].kind);
                if !matches!(inside, Some(AtomKind::Call(_) | AtomKind::Aggregate(..))) {
                    return Err(self.cursor.unexpected(""));
                }
                self.cursor.next();
                self.push(AtomKind::Comma, token.span.start);
                if self.cursor.is(&TokenKind::RightParen) {
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
                    return Err(self.cursor.unexpected(""));
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

    fn close(&mut self) -> Result<(), SourceError> {
        let Some(open) = self.open.pop() else {
            return Err(self.cursor.unexpected(""));
        };
        let start = self.cursor.next().span.start;
        if matches!(self.atoms[open].kind, AtomKind::Aggregate(_, None)) {
            let trailing = self.grouping()?;
            if let AtomKind::Aggregate(_, grouping) = &mut self.atoms[open].kind {
                *grouping = trailing;
            }
        }
        self.push(AtomKind::Close, start);
        Ok(())
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.cursor.is_keyword(keyword);
        if found {
            self.cursor.next();
        }
        found
    }
}

/// What the scanner waits for.
enum Next {
    Operand,
    Operator,
    End,
}
