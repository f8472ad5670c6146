//! What a page says of its target, and what signals make of it.
//!
//! It comes after the store has the page: signals are evaluated over what readers see too. The room is locked before
//! the store, as everywhere.

use hashbrown::HashSet;

use super::Writer;
use crate::exposition::{Placed, Staged};
use crate::promql::QueryError;
use crate::signal::{ChangeKind, Policy, Room, SignalId, watch};
use crate::store::{SeriesId, Store};
use crate::time::Timestamp;

impl Writer {
    /// A query whose answer is kept up to date, and told only when it is true.
    pub fn watch(&mut self, query: &str, policy: Policy) -> Result<SignalId, QueryError> {
        watch(&self.room, &self.store, query, policy)
    }

    /// What the page says of its target, and what signals make of it.
    pub(super) fn observe(
        &mut self,
        staged: &mut Staged<'_>,
        placed: &[Placed],
        at: Timestamp,
        counters_fell: bool,
    ) {
        let target = staged.target();
        let mut room = self.stopwatch.waiting(|| self.room.write());
        let room = &mut *room;
        room.at(at.ms());
        if !placed.is_empty() || !staged.page().gone.is_empty() {
            let store = self.store.read();
            // A line that moved, or a page that was taken as a whole, gives up a series and has it again.
            let gone: HashSet<SeriesId> = staged.page().gone.iter().copied().collect();
            let stays = |placed: &Placed| match placed {
                Placed::Series(id) if gone.contains(id) => Some(*id),
                _ => None,
            };
            let stay: HashSet<SeriesId> = placed.iter().filter_map(stays).collect();
            for &id in gone.difference(&stay) {
                room.facts
                    .series_went(target, id, store.metric_name(id).unwrap_or(""));
            }
            for (sample, placed) in staged.new_samples().zip(placed) {
                if let (Some(labels), Placed::Series(id) | Placed::Own(id)) =
                    (sample.labels, placed)
                    && !stay.contains(id)
                {
                    room.facts.series_came(target, *id, labels, &room.names);
                }
            }
            room.facts.settle_names(target);
        }
        if let Some(sieve) = staged.sieve() {
            for name in sieve.new_names() {
                room.facts.name_skipped(target, name, &room.names);
            }
            for labels in &staged.page().looked_at {
                room.facts.series_looked_at(target, labels, &room.names);
            }
            let version = sieve.version();
            room.facts.needs.page_taken(target, version, at.ms());
            staged.set_tells_start(room.facts.tells_start(target));
        }
        let value = |id: SeriesId| f64::from_bits(self.store.read().series.row(id).bits);
        let change = room.facts.good_page(target, at.ms(), value, counters_fell);
        if let Some(kind) = change {
            room.changed(target, &kind, at.ms());
            if kind == ChangeKind::Restarted {
                learn_again(room, &self.store.read(), staged, placed);
            }
        }
        room.rescope();
        room.evaluate(&self.store, target, at);
    }
}

/// What is constant for a process is learned anew from the page of the one that answers now. Rare, so it may look at
/// every series of the page.
fn learn_again(room: &mut Room, store: &Store, staged: &mut Staged<'_>, placed: &[Placed]) {
    let target = staged.target();
    room.facts.forget_process(target);
    if let Some(needed) = staged.needed_labels() {
        for labels in &needed {
            room.facts.learn_again(target, labels, &room.names);
        }
        return;
    }
    let gone: HashSet<SeriesId> = staged.page().gone.iter().copied().collect();
    let new = placed.iter().filter_map(|placed| match placed {
        Placed::Series(id) | Placed::Own(id) => Some(*id),
        Placed::Duplicate | Placed::Conflict | Placed::Dropped => None,
    });
    let stayed = staged.series().filter(|id| !gone.contains(id));
    for id in stayed.chain(new) {
        let has_label = |label: &str| {
            let name = store.series.symbols.find(label);
            name.is_some_and(|name| store.series.label(id, name).is_some())
        };
        let metric = store.metric_name(id).unwrap_or("");
        if room.facts.is_worth_learning_again(metric, has_label) {
            let labels = store.series.labels(id);
            room.facts.learn_again(target, &labels, &room.names);
        }
    }
}
