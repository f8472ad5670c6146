//! Writing a snapshot piece by piece.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;

use super::{
    CLOCK, CUT, END, GROUP, GROUP_GONE, NAMED, SERIES, SIGNALS, TARGETS, checksum, put_header,
    put_section,
};
use crate::signal::{Facts, SignalRegistry};
use crate::store::{Cut, SeriesWriter, Store};
use crate::time::Timestamp;
use crate::wire::{put_i, put_text, put_u};
use crate::writer::Writer;

/// Sections of series have about so many bytes.
const SECTION_BYTES: usize = 256 << 10;

/// A part of a snapshot that is being written.
pub struct Snapshot {
    registry: Arc<RwLock<SignalRegistry>>,
    store: Arc<RwLock<Store>>,
    /// What was written under the locks at its beginning.
    first: Vec<u8>,
    groups: Vec<String>,
    /// Those that were written before and are no more.
    gone: Vec<String>,
    series: SeriesWriter,
    next_clock: usize,
    payload: Vec<u8>,
    written: Written,
    ended: bool,
}

/// What was written of an engine, so that the next part of its snapshot leaves it out.
#[derive(Debug, Default)]
pub struct Written {
    sections: u64,
    cut: Cut,
    /// The checksums of what comes whole, by kind and name.
    whole: HashMap<(u8, String), u64>,
}

impl Written {
    /// Whether a payload differs from what was written; it is noted.
    fn is_new(&mut self, kind: u8, name: &str, payload: &[u8]) -> bool {
        let sum = checksum(&[payload]);
        self.whole.insert((kind, name.to_owned()), sum) != Some(sum)
    }

    /// Appends a section.
    fn put(&mut self, out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
        put_section(out, kind, payload);
        self.sections += 1;
    }
}

impl Writer {
    /// Begins a snapshot of everything as it is now. `named` are bytes of the caller's own, which come back with it.
    pub fn snapshot(&self, now: Timestamp, named: &[(&str, Vec<u8>)]) -> Snapshot {
        let mut first = Vec::new();
        put_header(&mut first, now.ms());
        self.part(Written::default(), first, named)
    }

    /// Begins a part of what came since another one, to be appended to it: `written` is what [`Snapshot::written`] answered
    /// for the part before, of this engine, all of whose bytes are in the file.
    pub fn snapshot_since(
        &self,
        mut written: Written,
        now: Timestamp,
        named: &[(&str, Vec<u8>)],
    ) -> Snapshot {
        let (mut first, mut payload) = (Vec::new(), Vec::new());
        put_i(&mut payload, now.ms());
        written.put(&mut first, CUT, &payload);
        self.part(written, first, named)
    }

    fn part(
        &self,
        mut written: Written,
        mut first: Vec<u8>,
        named: &[(&str, Vec<u8>)],
    ) -> Snapshot {
        let (shared_registry, shared_store) = self.shared();
        let registry = shared_registry.read();
        let store = shared_store.read();
        let series = SeriesWriter::new(&store, std::mem::take(&mut written.cut));
        drop(store);
        let mut payload = Vec::new();
        let mut put = |written: &mut Written, kind, name: &str, payload: &mut Vec<u8>| {
            if written.is_new(kind, name, payload) {
                written.put(&mut first, kind, payload);
            }
            payload.clear();
        };
        self.put_targets(&registry, &mut payload);
        put(&mut written, TARGETS, "", &mut payload);
        registry.put_signals(&mut payload);
        put(&mut written, SIGNALS, "", &mut payload);
        for (name, bytes) in named {
            put_text(&mut payload, name);
            payload.extend_from_slice(bytes);
            put(&mut written, NAMED, name, &mut payload);
        }
        let groups: HashSet<&String> = registry.facts.groups.keys().collect();
        let known = written.whole.keys().filter(|(kind, _)| *kind == GROUP);
        let gone = known.filter(|(_, name)| !groups.contains(name));
        let gone: Vec<String> = gone.map(|(_, name)| name.clone()).collect();
        let groups = groups.into_iter().cloned().collect();
        drop(registry);
        Snapshot {
            registry: Arc::clone(shared_registry),
            store: Arc::clone(shared_store),
            first,
            groups,
            gone,
            series,
            next_clock: 0,
            payload,
            written,
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
        self.written.put(out, kind, &self.payload);
        self.ended = kind == END;
        !self.ended
    }

    /// What was written, after the last bytes.
    pub fn written(self) -> Written {
        Written {
            cut: self.series.into_cut(),
            ..self.written
        }
    }

    /// Writes the payload of the next section.
    fn next_section(&mut self) -> u8 {
        while let Some(name) = self.groups.pop() {
            let registry = self.registry.read();
            if let Some(group) = registry.facts.groups.get(&name) {
                Facts::put_group(&name, group, &mut self.payload);
                drop(registry);
                if self.written.is_new(GROUP, &name, &self.payload) {
                    return GROUP;
                }
                self.payload.clear();
            }
        }
        if let Some(name) = self.gone.pop() {
            put_text(&mut self.payload, &name);
            self.written.whole.remove(&(GROUP, name));
            return GROUP_GONE;
        }
        while self.next_clock < self.series.clocks() {
            let store = self.store.read();
            let number = self.next_clock;
            self.next_clock += 1;
            if self.series.clock(&store, number, &mut self.payload) {
                return CLOCK;
            }
        }
        while self.payload.len() < SECTION_BYTES {
            // The lock is released between batches.
            let more = self.series.batch(&self.store.read(), &mut self.payload);
            if !more {
                break;
            }
        }
        if self.payload.is_empty() {
            put_u(&mut self.payload, self.written.sections);
            return END;
        }
        SERIES
    }
}
