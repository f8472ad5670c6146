//! Retention, the memory limit, and ids of targets of which nothing is left.
//!
//! Bytes are counted here; between two calls the writer only adds what it admits.

use parking_lot::Mutex;

use super::Writer;
use super::admit::shrink;
use super::in_turn::in_turn;
use super::make_room::shrink_in_steps;
use crate::limits::{RESTART_GRACE_MS_DEFAULT, WRITE_BATCH_SERIES};
use crate::store::{Families, TargetId};
use crate::time::Timestamp;

impl Writer {
    /// Drops samples older than the retention and history above the memory limit. To be called about once a second.
    pub fn maintain(&mut self, now: Timestamp) {
        let cutoff_ms = self.cutoff_ms(now);
        while let Some((stage, at)) = self.next_unclaimed(now) {
            self.remove_target(stage, at);
        }
        self.store.write().drop_before(cutoff_ms);
        self.retain_explicit(&mut 0, usize::MAX, cutoff_ms);
        if let Some(history_bytes_max) = self.count(now) {
            shrink(&mut self.store.write(), history_bytes_max);
        }
    }

    /// [`Writer::maintain`] for a writer that others wait for: what is dropped and looked at is done a batch at a time.
    pub fn maintain_in_steps(writer: &Mutex<Writer>, now: Timestamp) {
        let drop_batch = |writer: &mut Writer| {
            let cutoff_ms = writer.cutoff_ms(now);
            let mut store = writer.store.write();
            store.drop_blocks_before(cutoff_ms, WRITE_BATCH_SERIES)
        };
        while !in_turn(writer, drop_batch) {}
        let mut next = 0;
        while in_turn(writer, |writer| {
            let cutoff_ms = writer.cutoff_ms(now);
            writer.retain_explicit(&mut next, WRITE_BATCH_SERIES, cutoff_ms)
        }) {}
        while let Some((stage, at)) = in_turn(writer, |writer| writer.next_unclaimed(now)) {
            Writer::remove_in_steps(writer, stage, at);
        }
        let too_much = in_turn(writer, |writer| {
            let cutoff_ms = writer.cutoff_ms(now);
            writer.store.write().drop_before(cutoff_ms);
            writer.count(now)
        });
        if let Some(history_bytes_max) = too_much {
            shrink_in_steps(writer, history_bytes_max);
        }
    }

    fn cutoff_ms(&self, now: Timestamp) -> i64 {
        now.minus_ms(self.limits.retention_ms).ms()
    }

    /// Ends series with explicit timestamps that are older than `cutoff_ms`, up to so many from a place of their list on. Whether
    /// there are more.
    fn retain_explicit(&mut self, next: &mut usize, series_max: usize, cutoff_ms: i64) -> bool {
        let mut store = self.store.write();
        let mut looked_at = 0;
        while let Some(&id) = self.explicit_series.get(*next) {
            if looked_at == series_max {
                return true;
            }
            looked_at += 1;
            match store.retain_explicit(id, cutoff_ms) {
                true => *next += 1,
                // They are in no order.
                false => drop(self.explicit_series.swap_remove(*next)),
            }
        }
        false
    }

    /// Counts what is held. The bytes that history may take, where it takes more.
    fn count(&mut self, now: Timestamp) -> Option<usize> {
        let cutoff_ms = self.cutoff_ms(now);
        let registry = self.registry.read();
        let of_signals = registry.window_bytes + registry.facts.bytes();
        drop(registry);
        let mut store = self.store.write();
        store.series.advance_epoch();
        for (index, target) in self.targets.iter_mut().enumerate() {
            if target
                .removed_ms
                .is_some_and(|removed_ms| removed_ms < cutoff_ms)
            {
                target.removed_ms = None;
                self.free_targets.push(TargetId(index as u32));
            }
        }
        let stages: usize = self.targets.iter().map(|target| target.stage_bytes).sum();
        let reserved = self.targets.iter().map(|target| target.reserved_bytes);
        let reserved = self.reserved_bytes + reserved.sum::<usize>();
        let families: usize = store.metadata.values().map(Families::bytes).sum();
        let bytes = store.bytes().total() + store.imminent_growth_bytes();
        let counted = bytes + families + stages + of_signals + reserved;
        self.non_history_bytes = counted - store.slab.bytes();
        let history_bytes_max = self.history_bytes_max();
        store.history_bytes_max = history_bytes_max;
        store.stage_bytes = stages;
        let too_much = store.slab.bytes() > history_bytes_max;
        drop(store);
        let mut registry = self.registry.write();
        registry
            .facts
            .forget_empty_groups(now.ms(), RESTART_GRACE_MS_DEFAULT);
        registry.rescope();
        registry.record_transitions(now.ms());
        too_much.then_some(history_bytes_max)
    }
}
