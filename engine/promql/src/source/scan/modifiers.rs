//! What stands behind an operand: ranges and subqueries in brackets, `offset`, `@`, `anchored`, `smoothed`.

use crate::plan::{Duration, Edges, Span};
use crate::source::atom::{Atom, AtomKind, SubqueryAtom};
use crate::source::error::SourceError;
use crate::source::lex::TokenKind;
use crate::source::{duration, selector};

use super::scanner::Scanner;

impl Scanner<'_, '_> {
    pub(super) fn brackets(&mut self) -> Result<(), SourceError> {
        let start = self.cursor.next().span.start;
        let range = duration::range(self.cursor, self.features, "subquery or range selector")?;
        if self.cursor.take(&TokenKind::Colon) {
            let step = match self.cursor.is(&TokenKind::RightBracket) {
                true => None,
                false => Some(duration::range(
                    self.cursor,
                    self.features,
                    "subquery selector",
                )?),
            };
            self.cursor
                .expect(&TokenKind::RightBracket, "]", "subquery selector")?;
            let subquery = SubqueryAtom {
                range,
                step,
                offset: None,
                at: None,
            };
            self.push(AtomKind::Subquery(Box::new(subquery)), start);
            return Ok(());
        }
        if !self.cursor.is(&TokenKind::RightBracket) {
            return Err(self
                .cursor
                .unexpected("in subquery or range, expected \":\" or \"]\""));
        }
        self.cursor.next();
        let end = self.cursor.end();
        let Some(Atom {
            kind:
                AtomKind::Selector {
                    selector,
                    range: slot,
                    ..
                },
            span,
        }) = self.atoms.last_mut()
        else {
            let span = Span { start, end };
            return Err(SourceError::new(
                span,
                "ranges only allowed for vector selectors",
            ));
        };
        let refusal = if slot.is_some() {
            "ranges only allowed for vector selectors"
        } else if selector.edges != Edges::Plain {
            "no anchored or smoothed modifiers allowed before range"
        } else if selector.offset != Duration::ZERO {
            "no offset modifiers allowed before range"
        } else if selector.at.is_some() {
            "no @ modifiers allowed before range"
        } else {
            *slot = Some(range);
            span.end = end;
            return Ok(());
        };
        Err(SourceError::new(Span { start, end }, refusal))
    }

    /// Where the operand begins that ends here.
    fn operand_start(&self) -> usize {
        let mut depth = 0_usize;
        for atom in self.atoms.iter().rev() {
            match atom.kind {
                AtomKind::Close => depth += 1,
                AtomKind::Open | AtomKind::Call(_) | AtomKind::Aggregate(..) => {
                    depth -= usize::from(depth > 0)
                }
                _ => {}
            }
            if depth == 0 && !matches!(atom.kind, AtomKind::Subquery(_)) {
                return atom.span.start;
            }
        }
        0
    }

    fn operand_until(&self, end: usize) -> Span {
        Span {
            start: self.operand_start(),
            end,
        }
    }

    pub(super) fn offset_modifier(&mut self, span: Span) -> Result<(), SourceError> {
        const TWICE: &str = "offset may not be set multiple times";
        let offset = duration::offset(self.cursor, self.features)?;
        let end = self.cursor.end();
        match self.atoms.last_mut() {
            Some(Atom {
                kind: AtomKind::Selector { selector, .. },
                span,
            }) => {
                if selector.offset != Duration::ZERO {
                    return Err(SourceError::new(*span, TWICE));
                }
                selector.offset = offset;
                span.end = end;
            }
            Some(Atom {
                kind: AtomKind::Subquery(subquery),
                span,
            }) => {
                if subquery.offset.is_some() {
                    return Err(SourceError::new(*span, TWICE));
                }
                subquery.offset = Some(offset);
                span.end = end;
            }
            _ => {
                return Err(SourceError::new(
                    self.operand_until(span.end),
                    "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
                ));
            }
        }
        Ok(())
    }

    pub(super) fn at_modifier(&mut self, span: Span) -> Result<(), SourceError> {
        let at = selector::at(self.cursor)?;
        let end = self.cursor.end();
        let (slot, span) = match self.atoms.last_mut() {
            Some(Atom {
                kind: AtomKind::Selector { selector, .. },
                span,
            }) => (&mut selector.at, span),
            Some(Atom {
                kind: AtomKind::Subquery(subquery),
                span,
            }) => (&mut subquery.at, span),
            _ => {
                return Err(SourceError::new(
                    self.operand_until(span.end),
                    "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
                ));
            }
        };
        if slot.is_some() {
            return Err(SourceError::new(
                *span,
                "@ <timestamp> may not be set multiple times",
            ));
        }
        *slot = Some(at);
        span.end = end;
        Ok(())
    }

    pub(super) fn edges(&mut self, wanted: Edges) -> Result<(), SourceError> {
        let token = self.cursor.next();
        let word = self.cursor.word_of(token).to_ascii_lowercase();
        if !self.features.extended_range_selectors {
            return Err(SourceError::new(
                self.operand_until(token.span.end),
                format!("{word} modifier is experimental and not enabled"),
            ));
        }
        let end = self.cursor.end();
        let Some(Atom {
            kind:
                AtomKind::Selector {
                    selector,
                    range,
                    edges,
                },
            span,
        }) = self.atoms.last_mut()
        else {
            let message = format!("{word} modifier not implemented for subqueries and expressions");
            return Err(SourceError::new(token.span, message));
        };
        if *edges != Edges::Plain || selector.edges != Edges::Plain {
            let message = "anchored and smoothed modifiers cannot be used together or twice";
            return Err(SourceError::new(token.span, message));
        }
        if range.is_some() {
            *edges = wanted;
        } else if wanted == Edges::Smoothed {
            selector.edges = wanted;
        } else {
            return Err(SourceError::new(
                token.span,
                "anchored modifier can only be used with range selectors",
            ));
        }
        span.end = end;
        Ok(())
    }
}
