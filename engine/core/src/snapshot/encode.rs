//! Writing a snapshot piece by piece.

use std::sync::Arc;

use parking_lot::RwLock;

use super::{CLOCK, END, GROUP, NAMED, SERIES, SIGNALS, TARGETS, put_header, put_section};
use crate::signal::{Facts, SignalRegistry};
use crate::store::{SeriesWriter, Store};
use crate::time::Timestamp;
use crate::wire::{put_text, put_u};
use crate::writer::Writer;

/// Sections of series have about so many bytes.
const SECTION_BYTES: usize = 256 << 10;

/// A snapshot that is being written.
pub struct Snapshot {
    registry: Arc<RwLock<SignalRegistry>>,
    store: Arc<RwLock<Store>>,
    /// What was written under the locks at its beginning.
    first: Vec<u8>,
    sections: u64,
    groups: Vec<String>,
    series: SeriesWriter,
    next_clock: usize,
    payload: Vec<u8>,
    ended: bool,
}

impl Writer {
    /// Begins a snapshot of everything as it is now. `named` are bytes of the caller's own, which come back with it.
    pub fn snapshot(&self, now: Timestamp, named: &[(&str, Vec<u8>)]) -> Snapshot {
        let (shared_registry, shared_store) = self.shared();
        let registry = shared_registry.read();
        let store = shared_store.read();
        let series = SeriesWriter::new(&store);
        drop(store);
        let mut first = Vec::new();
        put_header(&mut first, now.ms());
        let mut payload = Vec::new();
        self.put_targets(&registry, &mut payload);
        put_section(&mut first, TARGETS, &payload);
        payload.clear();
        registry.put_signals(&mut payload);
        put_section(&mut first, SIGNALS, &payload);
        for (name, bytes) in named {
            payload.clear();
            put_text(&mut payload, name);
            payload.extend_from_slice(bytes);
            put_section(&mut first, NAMED, &payload);
        }
        let groups = registry.facts.groups.keys().cloned().collect();
        drop(registry);
        Snapshot {
            registry: Arc::clone(shared_registry),
            store: Arc::clone(shared_store),
            first,
            sections: 2 + named.len() as u64,
            groups,
            series,
            next_clock: 0,
            payload,
            ended: false,
        }
    }
}

impl Snapshot {
    /// Appends the next bytes to `out`, some hundred kilobytes at a time. False: these were the last.
    pub fn next(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.first.is_empty() {
            out.append(&mut self.first);
            return true;
        }
        if self.ended {
            return false;
        }
        self.payload.clear();
        let kind = self.next_section();
        put_section(out, kind, &self.payload);
        self.sections += 1;
        self.ended = kind == END;
        !self.ended
    }

    /// Writes the payload of the next section.
    fn next_section(&mut self) -> u8 {
        while let Some(name) = self.groups.pop() {
            let registry = self.registry.read();
            if let Some(group) = registry.facts.groups.get(&name) {
                Facts::put_group(&name, group, &mut self.payload);
                return GROUP;
            }
        }
        if self.next_clock < self.series.clocks() {
            let store = self.store.read();
            self.series
                .clock(&store, self.next_clock, &mut self.payload);
            self.next_clock += 1;
            return CLOCK;
        }
        while self.payload.len() < SECTION_BYTES {
            // The lock is released between batches.
            let more = self.series.batch(&self.store.read(), &mut self.payload);
            if !more {
                break;
            }
        }
        if self.payload.is_empty() {
            put_u(&mut self.payload, self.sections);
            return END;
        }
        SERIES
    }
}
