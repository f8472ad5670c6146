//! The targets of one reading: those of the caller, and all where a number is told whole (S9c).
//!
//! A number without a label that the caller pins is that of all targets that the pins it carries leave, so it is told only where
//! it may be told to somebody who pins nothing else, too: nobody asked for a part of it. The same holds of an empty result that
//! would have no such label.

use std::borrow::Cow;
use std::iter;

use crate::labels::Labels;

use super::assessment::{Assessment, Pins};
use super::candidates::Candidates;
use super::lacking::may_lack;
use super::policy::Policy;
use super::query::SignalQuery;
use super::scope::Scope;
use super::signal::Signal;

/// Groups of an answer from which on targets are sorted by the label that tells the groups apart.
const SORTED_GROUPS_MIN: usize = 8;

/// The targets of one reading.
pub(super) struct Scopes<'a> {
    /// Those that count for the caller.
    pub(super) whole: Cow<'a, Scope>,
    /// Those among which the scopes of groups are.
    pub(super) candidates: Candidates<'a>,
    /// Where something is told without a label that the caller pins: those that count for who pins only what it carries.
    pub(super) all: Option<All<'a>>,
}

/// The targets that count for who pins only labels that the result has.
pub(super) struct All<'a> {
    pins: Vec<(String, String)>,
    pub(super) scope: Cow<'a, Scope>,
    /// Of who pins nothing.
    pub(super) candidates: Candidates<'a>,
}

impl<'a> Scopes<'a> {
    /// The scopes by which the whole answer is judged, with the pins of each.
    pub(super) fn of_whole<'s>(
        &'s self,
        assessment: Assessment<'s>,
    ) -> impl Iterator<Item = (Assessment<'s>, &'s Scope)> {
        let all = self.all.iter();
        let all = all.map(move |all| (assessment.pinned(&all.pins), &*all.scope));
        iter::once((assessment, &*self.whole)).chain(all)
    }

    /// The same of a part of the query.
    pub(super) fn of_part<'s>(
        &'s self,
        assessment: Assessment<'s>,
        part: &'a SignalQuery,
        policy: &'s Policy,
    ) -> impl Iterator<Item = (Assessment<'s>, Scope)> {
        let own = self.candidates.scope(assessment.pins, part, policy);
        let all = self.all.iter().map(move |all| {
            let scope = all.candidates.scope(&all.pins, part, policy);
            (assessment.pinned(&all.pins), scope)
        });
        iter::once((assessment, own)).chain(all)
    }
}

impl Signal {
    /// The targets that count for a caller, and those among which its groups' are.
    pub(super) fn scopes<'a>(
        &'a self,
        assessment: Assessment<'a>,
        groups: &[&'a (Labels, f64)],
    ) -> Scopes<'a> {
        let own = Candidates::later(assessment, &self.scope);
        let (whole, mut candidates) = if assessment.pins.is_empty() {
            (Cow::Borrowed(&self.scope), own)
        } else {
            let narrowed = own.scope(assessment.pins, &self.query, &self.policy);
            let candidates = Candidates::of(assessment, &narrowed);
            (Cow::Owned(narrowed), candidates)
        };
        let carries = |label: &str| match groups.is_empty() {
            true => self.empty_carries(label),
            // Where a part would be told whole, what is missing of it is missing here.
            false => {
                groups.iter().all(|(labels, _)| labels.get(label).is_some())
                    && !may_lack(self.query.query.plan(), label)
            }
        };
        let lacks = assessment.pins.iter().any(|(label, _)| !carries(label));
        let mut all = lacks.then(|| {
            let carried = assessment.pins.iter().filter(|(label, _)| carries(label));
            self.all(assessment, carried.cloned().collect())
        });
        if let [first, .., last] = groups
            && groups.len() >= SORTED_GROUPS_MIN
        {
            let differs = |(label, value): &(&str, &str)| last.0.get(label) != Some(*value);
            if let Some((label, _)) = first.0.iter().find(differs) {
                let of_all = all.as_mut().map(|all| &mut all.candidates);
                for one in [Some(&mut candidates), of_all].into_iter().flatten() {
                    one.sort_by(label, &self.query);
                }
            }
        }
        Scopes {
            whole,
            candidates,
            all,
        }
    }

    /// The targets that count for who pins these labels, of which the result has each.
    fn all<'a>(&'a self, assessment: Assessment<'a>, pins: Vec<(String, String)>) -> All<'a> {
        let candidates = Candidates::later(assessment.pinned(&[]), &self.scope);
        let scope = match pins.is_empty() {
            true => Cow::Borrowed(&self.scope),
            false => Cow::Owned(candidates.scope(&pins, &self.query, &self.policy)),
        };
        All {
            pins,
            scope,
            candidates,
        }
    }

    /// What the caller pins of an element that stands for an empty result.
    pub(super) fn pinned_of_empty(&self, pins: Pins<'_>) -> Labels {
        let pinned = pins.iter().filter(|(label, _)| self.empty_carries(label));
        Labels::from_pairs(pinned.map(|(label, value)| (label.as_str(), value.as_str())))
    }

    /// Whether an element that stands for an empty result would have a label that the caller pins.
    fn empty_carries(&self, label: &str) -> bool {
        let grouping = &self.query.grouping;
        grouping.iter().any(|one| one == label || one == "*")
    }
}

/// Whether a caller pins a label that a group does not have.
pub(super) fn lacks_pinned(labels: &Labels, pins: Pins<'_>) -> bool {
    pins.iter().any(|(label, _)| labels.get(label).is_none())
}
