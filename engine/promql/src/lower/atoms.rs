//! The atoms of a query, which are taken one by one along with the nodes of the tree.

use crate::plan::Span;
use crate::source::{Atom, AtomKind, SourceError};

pub(super) struct Atoms<'a> {
    atoms: &'a [Atom],
    at: usize,
}

impl<'a> Atoms<'a> {
    pub(super) fn new(atoms: &'a [Atom]) -> Atoms<'a> {
        Atoms { atoms, at: 0 }
    }

    /// Whether all are taken.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.atoms.len()
    }

    /// The kind of the next atom; `None` at the end.
    pub(super) fn peek(&self) -> Option<&'a AtomKind> {
        self.atoms.get(self.at).map(|atom| &atom.kind)
    }

    /// Takes the next atom. Error: there is none.
    pub(super) fn next(&mut self) -> Result<&'a Atom, SourceError> {
        let atom = self.atoms.get(self.at).ok_or_else(|| self.disagreement())?;
        self.at += 1;
        Ok(atom)
    }

    /// Where the next atom stands; at the beginning, where there is none.
    pub(super) fn span(&self) -> Span {
        let next = self.atoms.get(self.at);
        next.map_or(Span::default(), |atom| atom.span)
    }

    /// The error where atoms and tree do not agree.
    pub(super) fn disagreement(&self) -> SourceError {
        SourceError::new(
            self.span(),
            "the query was read in two ways; please report this",
        )
    }

    /// Takes a closing parenthesis; answers where it ends.
    pub(super) fn close(&mut self) -> Result<usize, SourceError> {
        match self.next()? {
            Atom {
                kind: AtomKind::Close,
                span,
            } => Ok(span.end),
            _ => Err(self.disagreement()),
        }
    }

    /// Signs that left no node in the tree: pluses, and minuses before numbers, which it folds.
    pub(super) fn folded_signs(&mut self) -> bool {
        let mut negative = false;
        while let Some(AtomKind::Sign(minus)) = self.peek() {
            negative ^= minus;
            self.at += 1;
        }
        negative
    }
}
