//! What one watch is to tell of, and of what of it a page is in the store.
//!
//! A page tells of what was selected when it was written. Whoever selects more since is told nothing of this watch before a page
//! that was written for them is stored: what the pages before had of it is a part.

use std::collections::BTreeSet;
use std::sync::Arc;

use stillwell_engine::labels::Matcher;

/// What a page tells of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Selection {
    /// Objects that all conditions of one of these fit, ...
    pub(super) selectors: Arc<[Vec<Matcher>]>,
    /// ... but for those of namespaces of which another watch tells.
    pub(super) but: Arc<BTreeSet<String>>,
}

/// A selection, with the number of pages after which each part of it is told.
#[derive(Debug, Default)]
pub(super) struct Selected {
    now: Selection,
    /// By place of the selector.
    told_after: Vec<usize>,
    /// Something, or nothing, was selected: a page of that may be on its way.
    was_selected: bool,
}

impl Selected {
    /// Selects these from now on, when so many pages are stored. One more may be on its way that was written before.
    pub(super) fn select(
        &mut self,
        selectors: &[Vec<Matcher>],
        but: &BTreeSet<String>,
        stored: usize,
    ) -> bool {
        let is_first = !std::mem::replace(&mut self.was_selected, true);
        if *self.now.selectors == *selectors && *self.now.but == *but {
            return false;
        }
        // Of namespaces that another watch has told of so far nothing is known.
        let tells_no_less = self.now.but.is_subset(but);
        let told_after = |selector: &Vec<Matcher>| {
            let mut before = self.now.selectors.iter().zip(&self.told_after);
            let known = before.find(|(one, _)| tells_no_less && *one == selector);
            match known {
                Some((_, told_after)) => *told_after,
                None if is_first => 1,
                None => stored + 2,
            }
        };
        self.told_after = selectors.iter().map(told_after).collect();
        self.now = Selection {
            selectors: selectors.into(),
            but: Arc::new(but.clone()),
        };
        true
    }

    /// What is selected.
    pub(super) fn now(&self) -> &Selection {
        &self.now
    }

    /// After so many stored pages all of it is told.
    pub(super) fn all_told_after(&self) -> usize {
        self.told_after.iter().copied().max().unwrap_or_default()
    }

    /// Whether all that a selector means here is told when so many pages are stored.
    pub(super) fn is_told(&self, selector: &[Matcher], stored: usize) -> bool {
        let mut all = self.now.selectors.iter().zip(&self.told_after);
        all.any(|(one, told_after)| {
            *told_after <= stored && one.iter().all(|matcher| selector.contains(matcher))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(value: &str) -> Vec<Matcher> {
        vec![Matcher::equal("deployment", value)]
    }

    /// Somebody asked for more of a namespace that was watched, and was told what others had asked for.
    #[test]
    fn what_is_selected_is_told_when_a_page_that_was_written_for_it_is_stored() {
        let none = BTreeSet::new();
        let mut selected = Selected::default();
        assert!(!selected.is_told(&named("a"), 9));
        assert!(selected.select(&[named("a")], &none, 0));
        assert!(!selected.select(&[named("a")], &none, 5));
        assert!(!selected.is_told(&named("a"), 0) && selected.is_told(&named("a"), 1));
        assert!(selected.select(&[named("a"), Vec::new()], &none, 5));
        for (stored, all) in [(5, false), (6, false), (7, true)] {
            assert!(selected.is_told(&named("a"), stored));
            assert_eq!(selected.is_told(&[], stored), all, "{stored}");
            assert_eq!(selected.is_told(&named("b"), stored), all, "{stored}");
        }
        assert_eq!(selected.all_told_after(), 7);
        let mut of_nothing = Selected::default();
        assert!(!of_nothing.select(&[], &none, 0));
        assert!(of_nothing.select(&[named("a")], &none, 0));
        assert_eq!(of_nothing.all_told_after(), 2);
    }

    #[test]
    fn what_another_watch_told_of_is_told_again_when_a_page_has_it() {
        let both: BTreeSet<String> = ["x".to_owned(), "y".to_owned()].into();
        let one: BTreeSet<String> = ["x".to_owned()].into();
        let mut selected = Selected::default();
        selected.select(&[Vec::new()], &one, 0);
        selected.select(&[Vec::new()], &both, 3);
        assert!(selected.is_told(&[], 3));
        selected.select(&[Vec::new()], &one, 3);
        assert!(!selected.is_told(&[], 4) && selected.is_told(&[], 5));
    }
}
