//! Tokens to atoms. One loop without recursion that knows whether an operand or an operator comes next; it refuses
//! what is too deep or too long before promql-parser sees it (its checks are quadratic in operators and nesting).

mod modifiers;
mod operators;

use std::sync::Arc;

use crate::Features;
use crate::plan::{AggregateOp, Edges, Span};
use crate::plan::{Function, FunctionId};

use super::atom::{Atom, AtomKind, Grouping};
use super::cursor::{Cursor, KEYWORDS};
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

/// Why a text is no query.
pub(crate) struct Failed {
    pub(crate) error: SourceError,
    /// It is wrong at the end of the tokens, and nothing before is.
    pub(crate) is_at_end: bool,
    /// The unknown function in whose arguments it is wrong.
    pub(crate) call: Option<Span>,
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

pub(crate) fn scan(cursor: &mut Cursor<'_>, features: &Features) -> Result<Vec<Atom>, Failed> {
    let mut scanner = Scanner {
        cursor,
        features,
        atoms: Vec::new(),
        open: Vec::new(),
        operators: 0,
        refused: None,
    };
    let ran = scanner.run();
    // Calls are refused as they close, so that is before whatever is wrong behind them.
    let (error, is_at_end) = match (scanner.refused, ran) {
        (Some(refused), _) => (refused, false),
        (None, Ok(())) => return Ok(scanner.atoms),
        (None, Err(error)) => (error, scanner.cursor.is(&TokenKind::End)),
    };
    let mut open = scanner.open.iter().rev();
    let call = open.find_map(|open| Some(open.refused.as_ref()?.span));
    Err(Failed {
        error,
        is_at_end,
        call,
    })
}

/// A bracket that is not closed yet.
struct Opened {
    /// Its atom.
    atom: usize,
    commas: usize,
    /// Why what it belongs to is refused once it is closed.
    refused: Option<SourceError>,
}

struct Scanner<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    features: &'c Features,
    atoms: Vec<Atom>,
    open: Vec<Opened>,
    operators: usize,
    /// The first call or aggregation that there cannot be.
    refused: Option<SourceError>,
}

impl Scanner<'_, '_> {
    fn run(&mut self) -> Result<(), SourceError> {
        if self.cursor.is(&TokenKind::End) {
            let span = Span::default();
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

    /// What is at the cursor is not expected; inside of an aggregation that is said.
    fn unexpected(&self) -> SourceError {
        let is_aggregate =
            |open: &Opened| matches!(self.atoms[open.atom].kind, AtomKind::Aggregate(..));
        let inside = self.open.iter().any(is_aggregate);
        self.cursor
            .unexpected(if inside { "in aggregation" } else { "" })
    }

    /// Whether what was opened last is a call or an aggregation, and has no argument yet.
    fn may_be_empty(&self) -> bool {
        self.open.last().is_some_and(|open| {
            let kind = &self.atoms[open.atom].kind;
            let is_call = matches!(kind, AtomKind::Call(_) | AtomKind::Aggregate(..));
            open.atom + 1 == self.atoms.len() && (is_call || open.refused.is_some())
        })
    }

    /// Whether an expression may begin here, or the text cannot be read on.
    fn begins_operand(&self) -> bool {
        use TokenKind as T;
        match self.cursor.peek().kind {
            T::Add | T::Sub | T::LeftParen | T::Number(_) | T::Duration(_) => true,
            T::String(_) | T::LeftBrace | T::End => true,
            T::Identifier => !self.cursor.word().is_some_and(is_reserved),
            _ => false,
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

    fn open(
        &mut self,
        kind: AtomKind,
        start: usize,
        refused: Option<SourceError>,
    ) -> Result<(), SourceError> {
        if self.open.len() >= NESTING_MAX {
            return Err(self.too_much("the query is nested too deeply", NESTING_MAX));
        }
        self.open.push(Opened {
            atom: self.atoms.len(),
            commas: 0,
            refused,
        });
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

    fn close(&mut self) -> Result<(), SourceError> {
        let Some(open) = self.open.pop() else {
            return Err(self.unexpected());
        };
        let is_empty = open.atom + 1 == self.atoms.len();
        let start = self.cursor.next().span.start;
        if matches!(self.atoms[open.atom].kind, AtomKind::Aggregate(_, None)) {
            let trailing = self.grouping()?;
            if let AtomKind::Aggregate(_, grouping) = &mut self.atoms[open.atom].kind {
                *grouping = trailing;
            }
        }
        self.push(AtomKind::Close, start);
        let given = if is_empty { 0 } else { open.commas + 1 };
        let refused = open.refused.or_else(|| self.misfit(open.atom, given));
        self.refused = self.refused.take().or(refused);
        Ok(())
    }

    /// Why an aggregation with so many arguments is none.
    fn misfit(&self, at: usize, given: usize) -> Option<SourceError> {
        let atom = &self.atoms[at];
        let AtomKind::Aggregate(op, _) = &atom.kind else {
            return None;
        };
        let is_experimental = matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio);
        let wanted = 1 + usize::from(op.has_param());
        let why = if is_experimental && !self.features.experimental_functions {
            let name = op.as_str();
            format!(
                "{name}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
            )
        } else if given == 0 {
            "no arguments for aggregate expression provided".to_owned()
        } else if given != wanted {
            format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {given}"
            )
        } else {
            return None;
        };
        Some(SourceError::new(atom.span, why))
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
