//! Reading a snapshot.

use std::fmt;

use hashbrown::HashMap;

use super::{
    CLOCK, CUT, END, GOES_ON, GONE, GROUP, GROUP_GONE, HEADER_BYTES, MAGIC, NAMED,
    SECTION_BYTES_MAX, SECTION_HEAD_BYTES, SERIES, SIGNALS, TARGETS, VERSION, chained, checksum,
};
use crate::limits::Limits;
use crate::reader::Reader;
use crate::signal::SignalRegistry;
use crate::store::{SeriesReader, Store};
use crate::time::Timestamp;
use crate::wire::{In, WireError};
use crate::writer::{Engine, TargetRecord, Writer, clocks_of};

/// Fills a buffer with the next bytes of a file; false means that there are not so many.
pub type NextBytes<'a> = &'a mut dyn FnMut(&mut [u8]) -> bool;

/// An engine that goes on where a snapshot was taken.
pub struct Restored {
    /// Its writer.
    pub writer: Writer,
    /// Its reader.
    pub reader: Reader,
    /// When the snapshot was taken.
    pub written: Timestamp,
    /// The caller's own bytes, by name.
    pub named: Vec<(String, Vec<u8>)>,
}

/// Why a snapshot is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It does not begin like one.
    Foreign,
    /// Another version of this program wrote it.
    Version(u32),
    /// It ends early.
    Torn {
        /// Sections that are whole.
        sections: u64,
    },
    /// Bytes have changed.
    Checksum {
        /// The section, counted from 1; 0 is the header.
        section: u64,
    },
    /// Its bytes are those that were written, but make no sense.
    Malformed {
        /// The section, counted from 1.
        section: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// All of it is older than what is kept.
    Old {
        /// When it was written, in milliseconds.
        written_ms: i64,
    },
    /// It was written later than now: the clock was set back.
    Future {
        /// When it was written, in milliseconds.
        written_ms: i64,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Foreign => f.write_str("it is not a snapshot of Stillwell"),
            SnapshotError::Version(found) => write!(
                f,
                "it has version {found}; this program reads version {VERSION}"
            ),
            SnapshotError::Torn { sections } => {
                write!(f, "it ends early, after {sections} sections")
            }
            SnapshotError::Checksum { section } => {
                write!(f, "section {section} is damaged: its checksum is wrong")
            }
            SnapshotError::Malformed { section, why } => write!(f, "section {section}: {why}"),
            SnapshotError::Old { written_ms } => write!(
                f,
                "it was written at {written_ms} ms, and all of it is older than the retention"
            ),
            SnapshotError::Future { written_ms } => write!(
                f,
                "it was written at {written_ms} ms, which is later than now: was the clock set back?"
            ),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl Engine {
    /// The engine of which a snapshot was taken, at time `now`. `read` fills a buffer with the next bytes; false means that
    /// there are not so many. A file to which parts were appended is read up to its last whole one ([`super::whole`]).
    pub fn restore(
        limits: Limits,
        now: Timestamp,
        read: &mut dyn FnMut(&mut [u8]) -> bool,
    ) -> Result<Restored, SnapshotError> {
        Engine::restore_files(limits, now, &mut [read])
    }

    /// The same from files that go on from one another, the oldest first. What the first one goes on from is not needed.
    pub fn restore_files(
        limits: Limits,
        now: Timestamp,
        files: &mut [NextBytes<'_>],
    ) -> Result<Restored, SnapshotError> {
        let mut parts = Parts::new(limits, now);
        let (mut before, mut sections) = (None, 0);
        for read in files {
            let file;
            (file, sections) = parts.file(*read, before)?;
            before = Some(file);
        }
        let Some(Read { written_ms, .. }) = before else {
            return Err(SnapshotError::Torn { sections });
        };
        if written_ms < now.minus_ms(limits.retention_ms).ms() {
            return Err(SnapshotError::Old { written_ms });
        }
        let error = |why| SnapshotError::Malformed {
            section: sections,
            why,
        };
        let restored = parts.finish().map_err(error)?;
        Ok(Restored {
            written: Timestamp::from_ms(written_ms),
            ..restored
        })
    }
}

/// What was read of a file: when its last part was written, and its chain.
#[derive(Clone, Copy)]
struct Read {
    written_ms: i64,
    chain: u64,
}

impl Parts {
    /// Reads a file, which goes on from the one before where there is one. Answers how many sections it has, too.
    fn file(
        &mut self,
        read: &mut dyn FnMut(&mut [u8]) -> bool,
        before: Option<Read>,
    ) -> Result<(Read, u64), SnapshotError> {
        let Head { written_ms, sum } = header(read)?;
        let mut here = Read {
            written_ms,
            chain: sum,
        };
        check_written(written_ms, self.now)?;
        if before.is_some() {
            self.next_cut();
            self.series.next_file(&mut self.store);
        }
        let (mut payload, mut sections) = (Vec::new(), 0);
        let (mut is_ended, mut has_parts) = (false, false);
        let mut goes_on = before.is_none();
        while let Some((kind, sum)) = section(read, &mut payload, sections)? {
            let error = |why| SnapshotError::Malformed {
                section: sections + 1,
                why,
            };
            if is_ended != (kind == CUT) {
                return Err(error("a part begins before another ends, or never"));
            }
            is_ended = kind == END;
            match kind {
                END => {
                    self.end(&payload, sections).map_err(error)?;
                    if before.is_some() && !std::mem::replace(&mut has_parts, true) {
                        self.series.end_others(&mut self.store);
                    }
                }
                CUT => {
                    let before_ms = here.written_ms;
                    here.written_ms = In::new(&payload).time().map_err(error)?;
                    if here.written_ms < before_ms {
                        return Err(error("a part is older than the one before"));
                    }
                    check_written(here.written_ms, self.now)?;
                    self.next_cut();
                }
                GOES_ON if sections == 0 => {
                    let chain = In::new(&payload).u().map_err(error)?;
                    goes_on |= before.is_some_and(|before| {
                        before.chain == chain && before.written_ms <= written_ms
                    });
                }
                kind => self.take(kind, &payload).map_err(error)?,
            }
            if !goes_on {
                return Err(error("it does not go on from the file before"));
            }
            here.chain = chained(here.chain, sum);
            sections += 1;
        }
        match is_ended {
            true => Ok((here, sections)),
            false => Err(SnapshotError::Torn { sections }),
        }
    }
}

/// Refuses a part that is later than now.
fn check_written(written_ms: i64, now: Timestamp) -> Result<(), SnapshotError> {
    match written_ms <= now.ms() {
        true => Ok(()),
        false => Err(SnapshotError::Future { written_ms }),
    }
}

/// What a header tells.
pub(super) struct Head {
    pub(super) written_ms: i64,
    pub(super) sum: u64,
}

/// Reads the header.
pub(super) fn header(read: &mut dyn FnMut(&mut [u8]) -> bool) -> Result<Head, SnapshotError> {
    let mut header = [0; HEADER_BYTES];
    if !read(&mut header) {
        return Err(SnapshotError::Foreign);
    }
    let (told, [s0, s1, s2, s3, s4, s5, s6, s7]) = header.split_at(HEADER_BYTES - 8) else {
        return Err(SnapshotError::Foreign);
    };
    let (magic, rest) = told.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(SnapshotError::Foreign);
    }
    let [v0, v1, v2, v3, t0, t1, t2, t3, t4, t5, t6, t7] = rest else {
        return Err(SnapshotError::Foreign);
    };
    let version = u32::from_le_bytes([*v0, *v1, *v2, *v3]);
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let sum = u64::from_le_bytes([*s0, *s1, *s2, *s3, *s4, *s5, *s6, *s7]);
    if checksum(&[told]) != sum {
        return Err(SnapshotError::Checksum { section: 0 });
    }
    let written_ms = i64::from_le_bytes([*t0, *t1, *t2, *t3, *t4, *t5, *t6, *t7]);
    Ok(Head { written_ms, sum })
}

/// Reads a section; answers its kind and checksum, and `None` where not one more byte is there.
pub(super) fn section(
    read: &mut dyn FnMut(&mut [u8]) -> bool,
    payload: &mut Vec<u8>,
    sections: u64,
) -> Result<Option<(u8, u64)>, SnapshotError> {
    /// What a length says is believed this far at a time.
    const STEP_BYTES: usize = 1 << 20;
    let torn = SnapshotError::Torn { sections };
    let mut head = [0; SECTION_HEAD_BYTES];
    let (first, others) = head.split_at_mut(1);
    if !read(first) {
        return Ok(None);
    }
    if !read(others) {
        return Err(torn);
    }
    let [kind, l0, l1, l2, l3, s0, s1, s2, s3, s4, s5, s6, s7] = head;
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    let damaged = SnapshotError::Checksum {
        section: sections + 1,
    };
    if len > SECTION_BYTES_MAX {
        return Err(damaged);
    }
    payload.clear();
    while payload.len() < len as usize {
        let start = payload.len();
        payload.resize((start + STEP_BYTES).min(len as usize), 0);
        if !read(&mut payload[start..]) {
            return Err(torn);
        }
    }
    let told = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    match checksum(&[&[kind], payload]) == told {
        true => Ok(Some((kind, told))),
        false => Err(damaged),
    }
}

/// While a snapshot is read, the memory limit may be exceeded by this part of it: history that a file has beyond the limit is
/// dropped in so large steps.
const TRIM_PART: usize = 16;

/// What has been read so far.
struct Parts {
    limits: Limits,
    now: Timestamp,
    store: Store,
    /// Bytes above which old history is dropped.
    trim_above: usize,
    series: SeriesReader,
    targets: Vec<TargetRecord>,
    /// Whether the present part has them.
    has_targets: bool,
    /// By name; the newest counts.
    groups: HashMap<String, Vec<u8>>,
    signals: Vec<u8>,
    named: Vec<(String, Vec<u8>)>,
}

impl Parts {
    fn new(limits: Limits, now: Timestamp) -> Parts {
        let mut parts = Parts {
            limits,
            now,
            store: Store::new(),
            trim_above: 0,
            series: SeriesReader::default(),
            targets: Vec::new(),
            has_targets: false,
            groups: HashMap::new(),
            signals: Vec::new(),
            named: Vec::new(),
        };
        parts.trim_above_held(0);
        parts
    }

    fn bytes_max(&self) -> usize {
        usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX)
    }

    fn trim_above_held(&mut self, held_bytes: usize) {
        let bytes_max = self.bytes_max();
        self.trim_above = held_bytes
            .max(bytes_max)
            .saturating_add(bytes_max / TRIM_PART);
    }

    /// A file has history that was dropped after it was written. It is dropped again before it takes more memory than may be
    /// held.
    fn trim(&mut self) {
        if self.store.bytes().total() > self.trim_above {
            let cutoff_ms = self.now.minus_ms(self.limits.retention_ms).ms();
            let held_bytes = self.store.trim(self.bytes_max(), cutoff_ms);
            self.trim_above_held(held_bytes);
        }
    }

    fn take(&mut self, kind: u8, payload: &[u8]) -> Result<(), WireError> {
        let mut bytes = In::new(payload);
        match kind {
            // What follows is checked against what comes before.
            TARGETS | CLOCK if self.series.has_begun() => {
                return Err("targets and clocks come before series");
            }
            TARGETS if self.has_targets => return Err("targets are there twice"),
            TARGETS => {
                let before = self.targets.len();
                self.targets = bytes.list(TargetRecord::take)?;
                self.has_targets = true;
                if self.targets.len() < before {
                    return Err("targets are missing that were there before");
                }
                let clocks = clocks_of(self.targets.len());
                self.store.clocks.resize_with(clocks, Default::default);
            }
            GROUP => {
                let name = bytes.text()?.to_owned();
                self.groups.insert(name, payload.to_vec());
            }
            GROUP_GONE => drop(self.groups.remove(bytes.text()?)),
            SIGNALS => self.signals = payload.to_vec(),
            CLOCK => self.store.take_clock(&mut bytes)?,
            SERIES => {
                self.series.batch(&mut self.store, bytes)?;
                self.trim();
            }
            GONE => self.series.gone(&mut self.store, bytes)?,
            NAMED => {
                let name = bytes.text()?.to_owned();
                self.named.retain(|(have, _)| *have != name);
                self.named.push((name, bytes.rest().to_vec()));
            }
            _ => return Err("its kind is unknown"),
        }
        Ok(())
    }

    /// What follows came later than all of what was read.
    fn next_cut(&mut self) {
        self.series.next_cut(&mut self.store);
        self.has_targets = false;
    }

    fn end(&self, payload: &[u8], sections: u64) -> Result<(), WireError> {
        match In::new(payload).u()? == sections {
            true => Ok(()),
            false => Err("sections are missing"),
        }
    }

    fn finish(mut self) -> Result<Restored, WireError> {
        self.series.release_texts(&mut self.store);
        drop(std::mem::take(&mut self.series));
        self.store.order_sealed();
        let (groups, signals) = (self.groups, self.signals);
        let read = |registry: &mut SignalRegistry| {
            for group in groups.values() {
                registry.facts.take_group(&mut In::new(group))?;
            }
            match signals.is_empty() {
                true => Ok(()),
                false => registry.take_signals(&mut In::new(&signals)),
            }
        };
        let (writer, reader) =
            Writer::restored(self.limits, self.store, read, self.targets, self.now)?;
        Ok(Restored {
            writer,
            reader,
            written: self.now,
            named: self.named,
        })
    }
}
