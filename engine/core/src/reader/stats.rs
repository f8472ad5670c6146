//! What the engine holds: how much, and of which families.

use std::collections::BTreeMap;

use super::Reader;
use crate::limits::READ_BATCH_FAMILIES;
use crate::metadata::FamilyMetadata;
use crate::store::{Bytes, TargetId};

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
        let mut targets: Vec<TargetId> = self.store.read().metadata.keys().copied().collect();
        targets.sort_unstable();
        let mut families: BTreeMap<String, Vec<FamilyMetadata>> = BTreeMap::new();
        for (family, metadata) in targets
            .into_iter()
            .flat_map(|one| self.target_metadata(one))
        {
            let variants = families.entry(family).or_default();
            if !variants.contains(&metadata) {
                variants.push(metadata);
            }
        }
        families
    }

    /// Type and help of the families of one target, sorted by family. Commits get in after every [`READ_BATCH_FAMILIES`].
    pub fn target_metadata(&self, target: TargetId) -> Vec<(String, FamilyMetadata)> {
        let mut all: Vec<(String, FamilyMetadata)> = Vec::new();
        loop {
            let before = all.len();
            let store = self.store.read();
            if let Some(families) = store.metadata.get(&target) {
                let next = families.after(all.last().map(|(family, _)| family.as_str()));
                let next = next.take(READ_BATCH_FAMILIES);
                let next: Vec<_> = next
                    .map(|(family, of)| (family.to_owned(), of.clone()))
                    .collect();
                all.extend(next);
            }
            drop(store);
            if all.len() - before < READ_BATCH_FAMILIES {
                return all;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use crate::labels::Labels;
    use crate::scrape::TargetSpec;
    use crate::{Engine, Format, Limits, ScrapeFacts, Timestamp};

    use super::*;

    /// All families of 500 targets were copied within one hold of the lock, for which 5% of commits waited 10 ms and more.
    #[test]
    fn families_are_all_there_although_they_are_copied_in_batches() {
        let (mut writer, reader) = Engine::new(Limits::default());
        let count = 2 * READ_BATCH_FAMILIES + 1;
        for (instance, families, help) in [
            ("a", count, "same"),
            ("b", count, "same"),
            ("c", 1, "other"),
        ] {
            let spec = TargetSpec {
                labels: Labels::from_pairs([("instance", instance)]),
                interval_ms: 1_000,
                ..TargetSpec::default()
            };
            let (target, mut stage) = writer.add_target(spec);
            let mut page = String::new();
            for at in 0..families {
                write!(
                    page,
                    "# HELP f{at:04} {help}\n# TYPE f{at:04} gauge\nf{at:04} 1\n"
                )
                .expect("a String takes all");
            }
            let staged = stage
                .parse(page.as_bytes(), Format::Text)
                .expect("it parses");
            let at = Timestamp::from_ms(1_000);
            writer
                .commit(staged, at, ScrapeFacts::default())
                .expect("it is taken");
            assert_eq!(reader.target_metadata(target).len(), families);
        }
        let all = reader.metadata();
        assert_eq!(all.len(), count);
        assert_eq!(all["f0000"].len(), 2);
        assert!(all.iter().skip(1).all(|(_, variants)| variants.len() == 1));
    }
}
