//! Brackets of calls, aggregations and grouping, and whether what stands in them is as many arguments as there may be.

use crate::plan::AggregateOp;
use crate::source::atom::{AtomKind, Grouping};
use crate::source::error::SourceError;
use crate::source::lex::TokenKind;
use crate::source::selector;

use super::scanner::{Opened, Scanner};

/// Open brackets at once. Lowering and evaluation recurse once per level.
const NESTING_MAX: usize = 100;

impl Scanner<'_, '_> {
    pub(super) fn open(
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

    pub(super) fn close(&mut self) -> Result<(), SourceError> {
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

    /// Whether what was opened last is a call or an aggregation, and has no argument yet.
    pub(super) fn may_be_empty(&self) -> bool {
        self.open.last().is_some_and(|open| {
            let kind = &self.atoms[open.atom].kind;
            let is_call = matches!(kind, AtomKind::Call(_) | AtomKind::Aggregate(..));
            open.atom + 1 == self.atoms.len() && (is_call || open.refused.is_some())
        })
    }

    /// `by (..)` or `without (..)` between an aggregation's name and its parenthesis.
    pub(super) fn leading_grouping(&mut self) -> Result<Option<Grouping>, SourceError> {
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
}
