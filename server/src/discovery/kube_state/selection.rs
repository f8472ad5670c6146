//! What one watch is to tell of, and of what of it a page is in the store.
//!
//! A page tells of what was selected when it was written. Whoever selects more since is told nothing of this watch before a page
//! that was written for them is stored: what the pages before had of it is a part.

use std::collections::BTreeSet;
use std::sync::Arc;

use stillwell_engine::labels::{MatchOp, Matcher};

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
    /// One for each selector, and those of before that know sooner what some selector has of them.
    parts: Vec<Part>,
    /// Something, or nothing, was selected: a page of that may be on its way.
    was_selected: bool,
}

/// What some conditions select.
#[derive(Debug)]
struct Part {
    selector: Vec<Matcher>,
    told_after: usize,
}

impl Part {
    /// Whether it has all that these conditions select.
    fn has(&self, selector: &[Matcher]) -> bool {
        covers(&self.selector, selector)
    }
}

impl Selected {
    /// Selects these from now on. `tell` tells the watch, and then answers how many pages are stored: one more may be on its way that
    /// was written before.
    pub(super) fn select(
        &mut self,
        selectors: &[Vec<Matcher>],
        but: &BTreeSet<String>,
        tell: impl FnOnce(&Selection) -> usize,
    ) -> bool {
        let is_first = !std::mem::replace(&mut self.was_selected, true);
        if *self.now.selectors == *selectors && *self.now.but == *but {
            return false;
        }
        let next = Selection {
            selectors: selectors.into(),
            but: Arc::new(but.clone()),
        };
        let stored = tell(&next);
        // Of namespaces that another watch has told of so far nothing is known.
        let lost: BTreeSet<&String> = self.now.but.difference(but).collect();
        let is_known = |selector: &[Matcher]| match namespaces_of(selector) {
            Some(names) => !names.iter().any(|name| lost.contains(name)),
            None => lost.is_empty(),
        };
        let told_after = |selector: &Vec<Matcher>| {
            let before = self.parts.iter().filter(|part| part.has(selector));
            let known = before.map(|part| part.told_after).min();
            match known.filter(|_| is_known(selector)) {
                Some(told_after) => told_after,
                None if is_first => 1,
                None => stored + 2,
            }
        };
        let mut parts: Vec<Part> = selectors
            .iter()
            .map(|selector| Part {
                selector: selector.clone(),
                told_after: told_after(selector),
            })
            .collect();
        // Whoever makes more be selected takes nothing from those who had a part of it.
        for part in std::mem::take(&mut self.parts) {
            let mut having = parts.iter().filter(|one| one.has(&part.selector));
            let is_had = having.clone().next().is_some() && is_known(&part.selector);
            if is_had && having.all(|one| one.told_after > part.told_after.max(stored)) {
                parts.push(part);
            }
        }
        (self.parts, self.now) = (parts, next);
        true
    }

    /// Selectors of before that a selector of now has, and of which is told sooner.
    pub(super) fn told_sooner(&self) -> impl Iterator<Item = &Vec<Matcher>> {
        let of_before = self.parts.iter().skip(self.now.selectors.len());
        of_before.map(|part| &part.selector)
    }

    /// After so many stored pages all of it is told.
    pub(super) fn all_told_after(&self) -> usize {
        let all = self.parts.iter().map(|part| part.told_after);
        all.max().unwrap_or_default()
    }

    /// Whether all that a selector means here is told when so many pages are stored.
    pub(super) fn is_told(&self, selector: &[Matcher], stored: usize) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| part.told_after <= stored && part.has(selector))
    }
}

/// Whether all that some conditions select is selected by these, too.
fn covers(these: &[Matcher], selector: &[Matcher]) -> bool {
    these.iter().all(|matcher| selector.contains(matcher))
}

/// The namespaces in which a selector selects; `None` where it does not say.
pub(super) fn namespaces_of(selector: &[Matcher]) -> Option<Vec<String>> {
    let mut of = selector.iter().filter(|one| one.name() == "namespace");
    of.find_map(|one| match one.op() {
        MatchOp::Equal => Some(vec![one.value().to_owned()]),
        MatchOp::Regex => one.literal_values().map(<[String]>::to_vec),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(value: &str) -> Vec<Matcher> {
        vec![Matcher::equal("deployment", value)]
    }

    /// In this namespace.
    fn of(namespace: &str) -> Vec<Matcher> {
        vec![Matcher::equal("namespace", namespace)]
    }

    /// Somebody asked for more of a namespace that was watched, and was told what others had asked for.
    #[test]
    fn what_is_selected_is_told_when_a_page_that_was_written_for_it_is_stored() {
        let none = BTreeSet::new();
        let mut selected = Selected::default();
        assert!(!selected.is_told(&named("a"), 9));
        assert!(selected.select(&[named("a")], &none, |_| 0));
        assert!(!selected.select(&[named("a")], &none, |_| 5));
        assert!(!selected.is_told(&named("a"), 0) && selected.is_told(&named("a"), 1));
        assert!(selected.select(&[named("a"), Vec::new()], &none, |_| 5));
        for (stored, all) in [(5, false), (6, false), (7, true)] {
            assert!(selected.is_told(&named("a"), stored));
            assert_eq!(selected.is_told(&[], stored), all, "{stored}");
            assert_eq!(selected.is_told(&named("b"), stored), all, "{stored}");
        }
        assert_eq!(selected.all_told_after(), 7);
        let mut of_nothing = Selected::default();
        assert!(!of_nothing.select(&[], &none, |_| 0));
        assert!(of_nothing.select(&[named("a")], &none, |_| 0));
        assert_eq!(of_nothing.all_told_after(), 2);
    }

    /// One request more than there is room for made everybody's numbers of the kind unknown for two pages, and so did its end.
    #[test]
    fn what_was_told_is_told_where_all_of_its_kind_is_selected_and_where_it_is_not_any_more() {
        let none = BTreeSet::new();
        let mut selected = Selected::default();
        let mut select = |selectors: &[Vec<Matcher>], stored: usize, told: &[(&str, usize)]| {
            selected.select(selectors, &none, |_| stored);
            for (name, after) in told {
                for at in [stored, stored + 1, stored + 2] {
                    let is_told = selected.is_told(&named(name), at);
                    assert_eq!(is_told, at >= *after, "{name} {selectors:?} {stored} {at}");
                }
            }
            selected.told_sooner().count()
        };
        let [a, b, c] = ["a", "b", "c"].map(named);
        let all = [Vec::new()];
        select(&[a.clone(), b.clone()], 0, &[("a", 1), ("b", 1)]);
        let [for_ever, never] = [0, usize::MAX];
        let told = [("a", for_ever), ("b", for_ever), ("c", 7)];
        assert_eq!(select(&all, 5, &told), 2);
        let told = [("a", for_ever), ("b", never), ("c", 7)];
        assert_eq!(select(&[a.clone(), c.clone()], 5, &told), 0);
        let told = [("a", for_ever), ("b", 8), ("c", 7)];
        assert_eq!(select(&all, 6, &told), 2);
        let told = [("a", for_ever), ("b", for_ever), ("c", for_ever)];
        assert_eq!(select(&[a, b, c, Vec::new()], 9, &told), 0);
    }

    /// A signal of one namespace ended, and those of all others were unknown for two pages.
    #[test]
    fn what_another_watch_told_of_is_told_again_when_a_page_has_it_and_nothing_else_waits_for_that()
    {
        let both: BTreeSet<String> = ["x".to_owned(), "y".to_owned()].into();
        let one: BTreeSet<String> = ["x".to_owned()].into();
        let mut selected = Selected::default();
        let selectors = [Vec::new(), of("y"), of("z")];
        selected.select(&selectors, &one, |_| 0);
        selected.select(&selectors, &both, |_| 3);
        assert!(selectors.iter().all(|one| selected.is_told(one, 3)));
        selected.select(&selectors, &one, |_| 3);
        for (selector, told_after) in selectors.iter().zip([5, 5, 1]) {
            for stored in 3..=5 {
                let is_told = selected.is_told(selector, stored);
                assert_eq!(is_told, stored >= told_after, "{selector:?} {stored}");
            }
        }
    }
}
