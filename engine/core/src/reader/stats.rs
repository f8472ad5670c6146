//! What the engine holds: how much, and of which families.

use std::collections::BTreeMap;

use super::Reader;
use crate::metadata::FamilyMetadata;
use crate::store::{Bytes, Families};

/// How much the engine holds, and what was dropped for the memory limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Series, including absent ones that still have history.
    pub series: usize,
    /// Bytes by part.
    pub bytes: Bytes,
    /// Bytes of the targets' templates.
    pub template_bytes: usize,
    /// The memory limit.
    pub memory_bytes_max: u64,
    /// Bytes of the windows of compiled signals.
    pub window_bytes: usize,
    /// Signals that a program evaluates.
    pub signals_compiled: usize,
    /// Signals that are evaluated from their plans.
    pub signals_ordinary: usize,
    /// Blocks of history dropped for the memory limit.
    pub blocks_dropped_for_memory: u64,
    /// The newest time of which history was dropped for the memory limit, in milliseconds.
    pub history_dropped_until_ms: Option<i64>,
    /// Time of the oldest scrape held, in milliseconds.
    pub oldest_ms: Option<i64>,
}

impl Reader {
    /// How much the engine holds.
    pub fn stats(&self) -> Stats {
        let registry = self.registry.read();
        let window_bytes = registry.window_bytes;
        let (mut signals_compiled, mut signals_ordinary) = (0, 0);
        for signal in registry.signals.iter().flatten() {
            match signal.why_from_plan() {
                None => signals_compiled += 1,
                Some(_) => signals_ordinary += 1,
            }
        }
        drop(registry);
        let store = self.store.read();
        Stats {
            window_bytes,
            signals_compiled,
            signals_ordinary,
            series: store.series.len(),
            bytes: store.bytes(),
            template_bytes: store.stage_bytes,
            memory_bytes_max: self.memory_bytes_max,
            blocks_dropped_for_memory: store.dropped.blocks_for_memory,
            history_dropped_until_ms: store.dropped.history_until_ms,
            oldest_ms: store.oldest_ms(),
        }
    }

    /// Type and help text by family, with each variant that some target exposes, sorted by family.
    pub fn metadata(&self) -> BTreeMap<String, Vec<FamilyMetadata>> {
        let store = self.store.read();
        let mut families: BTreeMap<String, Vec<FamilyMetadata>> = BTreeMap::new();
        for (family, metadata) in store.metadata.values().flat_map(Families::iter) {
            let variants = families.entry(family.to_string()).or_default();
            if !variants.contains(metadata) {
                variants.push(metadata.clone());
            }
        }
        families
    }

    /// Type and help of the families of one target, sorted by family.
    pub fn target_metadata(&self, target: crate::TargetId) -> Vec<(String, FamilyMetadata)> {
        let store = self.store.read();
        let families = store
            .metadata
            .get(&target)
            .into_iter()
            .flat_map(Families::iter);
        families
            .map(|(family, metadata)| (family.to_string(), metadata.clone()))
            .collect()
    }
}
