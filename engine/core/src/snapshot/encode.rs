//! Writing a snapshot piece by piece.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;

use super::{
    CLOCK, CUT, END, GOES_ON, GONE, GROUP, GROUP_GONE, NAMED, SERIES, SIGNALS, TARGETS, chained,
    checksum, put_header, put_section,
};
use crate::signal::{Facts, SignalRegistry};
use crate::store::{Cut, SeriesWriter, Store};
use crate::time::Timestamp;
use crate::waits::Durations;
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
    stage: Stage,
    payload: Vec<u8>,
    written: Written,
}

/// What is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    First,
    Groups,
    Clocks,
    Series,
    Gone,
    End,
    Done,
}

/// What was written of an engine, so that the next part of its snapshot leaves it out.
#[derive(Debug, Default)]
pub struct Written {
    /// Of the file.
    sections: u64,
    chain: u64,
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

    /// Begins a file.
    fn put_header(&mut self, out: &mut Vec<u8>, now: Timestamp) {
        self.sections = 0;
        self.chain = put_header(out, now.ms());
    }

    /// Appends a section.
    fn put(&mut self, out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
        self.chain = chained(self.chain, put_section(out, kind, payload));
        self.sections += 1;
    }
}

impl Writer {
    /// Begins a snapshot of everything as it is now. `named` are bytes of the caller's own, which come back with it.
    pub fn snapshot(&self, now: Timestamp, named: &[(&str, Vec<u8>)]) -> Snapshot {
        let (mut written, mut first) = (Written::default(), Vec::new());
        written.put_header(&mut first, now);
        self.part((written, false), first, named)
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
        self.part((written, false), first, named)
    }

    /// The same as the first part of another file, which has in addition what is shown and known now. Once what the files
    /// before have is older than the retention, they are of no use any more.
    pub fn snapshot_in_new_file(
        &self,
        mut written: Written,
        now: Timestamp,
        named: &[(&str, Vec<u8>)],
    ) -> Snapshot {
        let (mut first, mut payload) = (Vec::new(), Vec::new());
        put_u(&mut payload, written.chain);
        written.put_header(&mut first, now);
        written.put(&mut first, GOES_ON, &payload);
        // No payload has this checksum: all of them are written again.
        written.whole.values_mut().for_each(|sum| *sum = !*sum);
        self.part((written, true), first, named)
    }

    fn part(
        &self,
        (mut written, is_start): (Written, bool),
        mut first: Vec<u8>,
        named: &[(&str, Vec<u8>)],
    ) -> Snapshot {
        let (shared_registry, shared_store) = self.shared();
        let registry = shared_registry.read();
        let before = std::mem::take(&mut written.cut);
        let series = SeriesWriter::new(&shared_store.read(), before, is_start);
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
            stage: Stage::First,
            payload,
            written,
        }
    }
}

impl Snapshot {
    /// Measures from now on how long the lock of the store is held each time. `now_ns` is a clock in nanoseconds: of the thread's
    /// CPU time, where waits of commits are measured beside it ([`Writer::time_waits`]).
    pub fn time_holds(&mut self, now_ns: fn() -> u64) -> Arc<Durations> {
        self.series.time_holds(now_ns)
    }

    /// Appends the next bytes to `out`, some hundred kilobytes at most or none at all. The locks are held once, for some 100
    /// us at most, so that commits wait no longer. False: these were the last.
    pub fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let written = match self.stage {
            Stage::First => {
                out.append(&mut self.first);
                self.stage = Stage::Groups;
                None
            }
            Stage::Groups => self.next_group(),
            Stage::Clocks => {
                if !self.series.clock(&self.store, &mut self.payload) {
                    self.stage = Stage::Series;
                }
                Some(CLOCK)
            }
            Stage::Series => {
                let more = self.series.step(&self.store, &mut self.payload);
                if !more {
                    self.stage = Stage::Gone;
                }
                let is_full = self.payload.len() >= SECTION_BYTES || !more;
                is_full.then_some(SERIES)
            }
            Stage::Gone => {
                if !self.series.gone(&mut self.payload) {
                    self.stage = Stage::End;
                }
                Some(GONE)
            }
            Stage::End => {
                put_u(&mut self.payload, self.written.sections);
                self.stage = Stage::Done;
                Some(END)
            }
            Stage::Done => None,
        };
        if let Some(kind) = written.filter(|_| !self.payload.is_empty()) {
            self.written.put(out, kind, &self.payload);
            self.payload.clear();
        }
        self.stage != Stage::Done
    }

    /// What was written, after the last bytes.
    pub fn written(self) -> Written {
        Written {
            cut: self.series.into_cut(),
            ..self.written
        }
    }

    fn next_group(&mut self) -> Option<u8> {
        if let Some(name) = self.groups.pop() {
            let registry = self.registry.read();
            let group = registry.facts.groups.get(&name)?;
            Facts::put_group(&name, group, &mut self.payload);
            drop(registry);
            if !self.written.is_new(GROUP, &name, &self.payload) {
                self.payload.clear();
            }
            return Some(GROUP);
        }
        let Some(name) = self.gone.pop() else {
            self.stage = Stage::Clocks;
            return None;
        };
        put_text(&mut self.payload, &name);
        self.written.whole.remove(&(GROUP, name));
        Some(GROUP_GONE)
    }
}
