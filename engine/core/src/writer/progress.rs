//! A commit between two of its holds of the store: how far it has come, and what it knows by then.

use std::collections::BTreeSet;

use super::outcome::Committed;
use super::own_times::OwnTimes;
use crate::exposition::{Placement, Staged};
use crate::signal::{CounterMoves, Gatherer, LeftOut, PageFacts, ProcessFacts, RememberedLabels};
use crate::store::{ClockId, GrowingIdSet, IdSet, SeriesId, TargetId};

/// From so many new samples on it is gathered what they tell, instead of telling it line by line.
const GATHERED_SAMPLES_MIN: usize = 64;
/// The state of one commit.
pub(super) struct Progress {
    pub(super) clock: ClockId,
    pub(super) at_ms: i64,
    pub(super) target: TargetId,
    pub(super) times: OwnTimes,
    /// The target's pages do not report when their one process started, so it is looked how counters move (rule S6a).
    pub(super) watches_counters: bool,
    pub(super) counters: CounterMoves,
    /// Its process may be another because nothing answered for long.
    pub(super) is_back: bool,
    /// Whether a counter of the page is above 0, once that was looked at.
    pub(super) has_counted: Option<bool>,
    /// Metrics of which series have moved between the page's clock and that of explicit timestamps, while their lines stayed.
    pub(super) moved: BTreeSet<Box<str>>,
    /// Metrics of which lines of this page have no series of their own.
    pub(super) left_out: LeftOut,
    /// Those whose series another replica of a collector has.
    pub(super) replicated: LeftOut,
    /// How many series had ended in the whole store when the commit began.
    pub(super) endings: u64,
    pub(super) committed: Committed,
    /// A series that another target has left has a sample that is not older than this page.
    pub(super) is_late: bool,
    /// Where the new samples went, in page order.
    pub(super) placements: Vec<Placement>,
    /// The series of removed lines.
    pub(super) leaving: IdSet,
    /// The series that new lines have taken.
    pub(super) claimed: GrowingIdSet,
    /// The series with timestamps on this page, once they were asked for.
    pub(super) stating: Option<IdSet>,
    /// The series that are removed and added again, once all new lines have a place.
    pub(super) staying: Option<IdSet>,
    /// The metrics of series that have left the page, and of how many one after the other.
    pub(super) left: Vec<(Box<str>, u32)>,
    /// Labels whose values signals remember, where what the page tells is gathered.
    pub(super) remembered: Option<RememberedLabels>,
    /// What was gathered of the series that have appeared.
    pub(super) page_facts: Option<PageFacts>,
    /// What was gathered of another process than that of the page before.
    pub(super) process_facts: Option<ProcessFacts>,
    pub(super) next: Next,
}

/// The place in each list from which on it is yet to be applied.
#[derive(Default)]
pub(super) struct Next {
    /// New lines for which series were added, by their samples.
    pub(super) added: usize,
    /// The other new lines.
    pub(super) lines: usize,
    pub(super) removed: usize,
    pub(super) changes: usize,
    pub(super) explicit: usize,
    pub(super) histograms: usize,
    pub(super) exemplars: usize,
    pub(super) metadata: usize,
}

impl Progress {
    pub(super) fn new(
        staged: &Staged<'_>,
        times: OwnTimes,
        committed: Committed,
        mut placements: Vec<Placement>,
    ) -> Progress {
        placements.clear();
        let target = staged.target();
        Progress {
            clock: ClockId::page_of(target),
            at_ms: times.at_ms,
            target,
            times,
            watches_counters: false,
            counters: CounterMoves::default(),
            is_back: false,
            has_counted: None,
            moved: BTreeSet::new(),
            left_out: LeftOut::default(),
            replicated: LeftOut::default(),
            endings: 0,
            committed,
            is_late: false,
            placements,
            leaving: IdSet::new(&staged.page().removed),
            claimed: GrowingIdSet::default(),
            stating: None,
            staying: None,
            left: Vec::new(),
            remembered: None,
            page_facts: None,
            process_facts: None,
            next: Next {
                lines: staged.added_samples().1,
                ..Next::default()
            },
        }
    }

    /// Whether what the page's new samples tell is gathered.
    pub(super) fn is_gathered(staged: &Staged<'_>) -> bool {
        staged.new_series() >= GATHERED_SAMPLES_MIN
    }

    fn is_placed(&self, staged: &Staged<'_>) -> bool {
        self.next.added == staged.added_samples().0.len() && self.next.lines >= staged.new_lines()
    }

    /// Finds out, once all new lines have a place, which series are removed and added again: a moved line, or a page compared as
    /// if it were the first. Needs no lock.
    pub(super) fn find_staying(&mut self, staged: &Staged<'_>) {
        if self.staying.is_some() || !self.is_placed(staged) {
            return;
        }
        let stays = |placement: &Placement| match placement {
            Placement::Series(id) if self.leaving.contains(*id) => Some(*id),
            _ => None,
        };
        let staying: Vec<SeriesId> = match staged.page().removed.is_empty() {
            true => Vec::new(),
            false => self.placements.iter().filter_map(stays).collect(),
        };
        self.staying = Some(IdSet::new(&staying));
    }

    /// Whether a series was on the page before and is not on this one.
    pub(super) fn has_left(&self, id: SeriesId) -> bool {
        let stays = |staying: &IdSet| staying.contains(id);
        self.leaving.contains(id) && !self.staying.as_ref().is_some_and(stays)
    }

    /// Gathers what the series that have appeared tell, where that is so many: some 0.1 us for each, and needs no lock.
    pub(super) fn gather(&mut self, staged: &Staged<'_>) {
        let Some(remembered) = &self.remembered else {
            return;
        };
        let mut gatherer = Gatherer::new(remembered, staged.stage.spec());
        let stays = |id| matches!(&self.staying, Some(staying) if staying.contains(id));
        for (sample, at) in staged.new_samples().zip(&self.placements) {
            if let (Some(labels), Placement::Series(id) | Placement::Own(id)) = (sample.labels, at)
                && !stays(*id)
            {
                gatherer.store(*id, labels);
            }
        }
        for labels in &staged.page().learned {
            gatherer.look_at(labels);
        }
        self.page_facts = Some(gatherer.finish());
    }
}
