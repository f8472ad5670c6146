//! Passes a committed page on to the signals: what it shows about its target, then the evaluation of the signals that
//! read it.
//!
//! It runs after the store has the page, because signals are evaluated over what readers see. Lock order: the signals
//! before the store, as everywhere.

use hashbrown::HashSet;

use super::Writer;
use crate::exposition::{Placement, Staged};
use crate::promql::QueryError;
use crate::signal::{Policy, SignalId, watch};
use crate::store::SeriesId;
use crate::time::Timestamp;

impl Writer {
    /// Registers a signal: a query whose result is kept up to date with every page and judged by `policy` before it is
    /// reported.
    pub fn watch(&mut self, query: &str, policy: Policy) -> Result<SignalId, QueryError> {
        watch(&self.room, &self.store, query, policy)
    }

    /// Records what the page shows about its target and evaluates the signals that read the target.
    pub(super) fn observe(
        &mut self,
        staged: &mut Staged<'_>,
        placements: &[Placement],
        at: Timestamp,
        counter_dropped: bool,
    ) {
        let target = staged.target();
        let mut room = self.stopwatch.waiting(|| self.room.write());
        let room = &mut *room;
        if !placements.is_empty() || !staged.page().removed.is_empty() {
            let store = self.store.read();
            // A moved line, or a page compared as if it were the first, removes a series and adds it again.
            let removed: HashSet<SeriesId> = staged.page().removed.iter().copied().collect();
            let stays = |placements: &Placement| match placements {
                Placement::Series(id) if removed.contains(id) => Some(*id),
                _ => None,
            };
            let stay: HashSet<SeriesId> = placements.iter().filter_map(stays).collect();
            for &id in removed.difference(&stay) {
                room.facts
                    .series_went(target, id, store.metric_name(id).unwrap_or(""));
            }
            for (sample, placements) in staged.new_samples().zip(placements) {
                if let (Some(labels), Placement::Series(id) | Placement::Own(id)) =
                    (sample.labels, placements)
                    && !stay.contains(id)
                {
                    room.facts.series_came(target, *id, labels, &room.names);
                }
            }
            room.facts.settle_names(target);
        }
        if let Some(retain_filter) = staged.retain_filter() {
            for name in retain_filter.new_names() {
                room.facts.name_skipped(target, name, &room.names);
            }
            for labels in &staged.page().learned {
                room.facts.learn_labels(target, labels, &room.names);
            }
            let version = retain_filter.version();
            room.facts.needs.page_taken(target, version, at.ms());
            staged.set_reports_start_time(room.facts.reports_start_time(target));
        }
        let value = |id: SeriesId| f64::from_bits(self.store.read().series.row(id).bits);
        let change = room
            .facts
            .good_page(target, at.ms(), value, counter_dropped);
        if let Some(kind) = change {
            room.changed(target, &kind, at.ms());
        }
        room.rescope();
        room.evaluate(&self.store, target, at);
    }
}
