//! Retention, the memory limit, and ids of targets of which nothing is left.
//!
//! Bytes are counted here; between two calls the writer only adds what it admits.

use super::Writer;
use super::admit::shrink;
use crate::limits::RESTART_GRACE_MS_DEFAULT;
use crate::store::TargetId;
use crate::time::Timestamp;

impl Writer {
    /// Drops samples older than the retention and history above the memory limit. To be called about once a second.
    pub fn maintain(&mut self, now: Timestamp) {
        self.drop_unclaimed(now);
        let cutoff_ms = now.minus_ms(self.limits.retention_ms).ms();
        let windows = self.registry.read().window_bytes;
        let mut store = self.store.write();
        store.drop_before(cutoff_ms);
        let explicit_series = &mut self.explicit_series;
        explicit_series.retain(|&id| store.retain_explicit(id, cutoff_ms));
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
        let bytes = store.bytes();
        let counted = bytes.total() + store.imminent_growth_bytes() + stages + windows;
        self.non_history_bytes = counted - store.slab.bytes();
        let history_bytes_max = self.history_bytes_max();
        store.history_bytes_max = history_bytes_max;
        store.stage_bytes = stages;
        if store.slab.bytes() > history_bytes_max {
            shrink(&mut store, history_bytes_max);
        }
        drop(store);
        let mut registry = self.registry.write();
        registry
            .facts
            .forget_empty_groups(now.ms(), RESTART_GRACE_MS_DEFAULT);
        registry.rescope();
        registry.record_transitions(now.ms());
    }
}
