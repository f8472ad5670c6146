//! The loop: operand, what stands behind it, operand.

use crate::Features;
use crate::plan::Span;
use crate::source::atom::{Atom, AtomKind};
use crate::source::cursor::Cursor;
use crate::source::error::SourceError;
use crate::source::lex::TokenKind;

/// Atoms in one query.
const ATOMS_MAX: usize = 20_000;

/// Why a text is no query.
pub(in crate::source) struct Failed {
    pub(in crate::source) error: SourceError,
    /// It is wrong at the end of the tokens, and nothing before is.
    pub(in crate::source) is_at_end: bool,
    /// The unknown function in whose arguments it is wrong.
    pub(in crate::source) call: Option<Span>,
}

/// The atoms of a query, in the order of its text.
pub(in crate::source) fn scan(
    cursor: &mut Cursor<'_>,
    features: &Features,
) -> Result<Vec<Atom>, Failed> {
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

pub(super) struct Scanner<'c, 'a> {
    pub(super) cursor: &'c mut Cursor<'a>,
    pub(super) features: &'c Features,
    pub(super) atoms: Vec<Atom>,
    pub(super) open: Vec<Opened>,
    pub(super) operators: usize,
    /// The first call or aggregation that there cannot be.
    pub(super) refused: Option<SourceError>,
}

/// A bracket that is not closed yet.
pub(super) struct Opened {
    /// Its atom.
    pub(super) atom: usize,
    pub(super) commas: usize,
    /// Why what it belongs to is refused once it is closed.
    pub(super) refused: Option<SourceError>,
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

    pub(super) fn push(&mut self, kind: AtomKind, start: usize) {
        let span = self.cursor.span_from(start);
        self.atoms.push(Atom { kind, span });
    }

    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.cursor.is_keyword(keyword);
        if found {
            self.cursor.next();
        }
        found
    }

    /// What is at the cursor is not expected; inside of an aggregation that is said.
    pub(super) fn unexpected(&self) -> SourceError {
        let is_aggregate =
            |open: &Opened| matches!(self.atoms[open.atom].kind, AtomKind::Aggregate(..));
        let inside = self.open.iter().any(is_aggregate);
        self.cursor
            .unexpected(if inside { "in aggregation" } else { "" })
    }

    pub(super) fn too_much(&self, what: &str, limit: usize) -> SourceError {
        SourceError::new(
            self.cursor.peek().span,
            format!("{what}; the limit is {limit}"),
        )
    }
}

/// What the scanner waits for.
pub(super) enum Next {
    Operand,
    Operator,
    End,
}
