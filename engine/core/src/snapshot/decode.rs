//! Reading a snapshot.

use std::fmt;

use super::{
    CLOCK, END, GROUP, HEADER_BYTES, MAGIC, NAMED, SECTION_BYTES_MAX, SECTION_HEAD_BYTES, SERIES,
    SIGNALS, TARGETS, VERSION, checksum,
};
use crate::limits::Limits;
use crate::reader::Reader;
use crate::signal::SignalRegistry;
use crate::store::{SeriesReader, Store};
use crate::time::Timestamp;
use crate::wire::{In, WireError};
use crate::writer::{Engine, TargetRecord, Writer, clocks_of};

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
                "it has version {found}; this program reads version {VERSION} only"
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
    /// there are not so many.
    pub fn restore(
        limits: Limits,
        now: Timestamp,
        read: &mut dyn FnMut(&mut [u8]) -> bool,
    ) -> Result<Restored, SnapshotError> {
        let written_ms = header(read)?;
        if written_ms > now.ms() {
            return Err(SnapshotError::Future { written_ms });
        }
        if written_ms < now.minus_ms(limits.retention_ms).ms() {
            return Err(SnapshotError::Old { written_ms });
        }
        let mut parts = Parts::default();
        let (mut payload, mut sections) = (Vec::new(), 0);
        loop {
            let kind = section(read, &mut payload, sections)?;
            let taken = match kind {
                END => parts.end(&payload, sections),
                kind => parts.take(kind, &payload),
            };
            let error = |why| SnapshotError::Malformed {
                section: sections + 1,
                why,
            };
            taken.map_err(error)?;
            if kind == END {
                let restored = parts.finish(limits, now).map_err(error)?;
                return Ok(Restored {
                    written: Timestamp::from_ms(written_ms),
                    ..restored
                });
            }
            sections += 1;
        }
    }
}

/// Reads the header; answers when the snapshot was written.
fn header(read: &mut dyn FnMut(&mut [u8]) -> bool) -> Result<i64, SnapshotError> {
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
    if checksum(&[told]) != u64::from_le_bytes([*s0, *s1, *s2, *s3, *s4, *s5, *s6, *s7]) {
        return Err(SnapshotError::Checksum { section: 0 });
    }
    Ok(i64::from_le_bytes([*t0, *t1, *t2, *t3, *t4, *t5, *t6, *t7]))
}

/// Reads a section; answers its kind.
fn section(
    read: &mut dyn FnMut(&mut [u8]) -> bool,
    payload: &mut Vec<u8>,
    sections: u64,
) -> Result<u8, SnapshotError> {
    /// What a length says is believed this far at a time.
    const STEP_BYTES: usize = 1 << 20;
    let torn = SnapshotError::Torn { sections };
    let mut head = [0; SECTION_HEAD_BYTES];
    if !read(&mut head) {
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
        true => Ok(kind),
        false => Err(damaged),
    }
}

/// What has been read so far.
struct Parts {
    store: Store,
    series: SeriesReader,
    targets: Vec<TargetRecord>,
    groups: Vec<Vec<u8>>,
    signals: Vec<u8>,
    named: Vec<(String, Vec<u8>)>,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts {
            store: Store::new(),
            series: SeriesReader::default(),
            targets: Vec::new(),
            groups: Vec::new(),
            signals: Vec::new(),
            named: Vec::new(),
        }
    }
}

impl Parts {
    fn take(&mut self, kind: u8, payload: &[u8]) -> Result<(), WireError> {
        let mut bytes = In::new(payload);
        match kind {
            // What follows is checked against what comes before.
            TARGETS | CLOCK if self.store.series.len() > 0 => {
                return Err("targets and clocks come before series");
            }
            TARGETS if !self.targets.is_empty() => return Err("targets are there twice"),
            TARGETS => {
                self.targets = bytes.list(TargetRecord::take)?;
                let clocks = clocks_of(self.targets.len());
                self.store.clocks.resize_with(clocks, Default::default);
            }
            GROUP => self.groups.push(payload.to_vec()),
            SIGNALS => self.signals = payload.to_vec(),
            CLOCK => self.store.take_clock(&mut bytes)?,
            SERIES => self.series.batch(&mut self.store, bytes)?,
            NAMED => {
                let name = bytes.text()?.to_owned();
                self.named.push((name, bytes.rest().to_vec()));
            }
            _ => return Err("its kind is unknown"),
        }
        Ok(())
    }

    fn end(&self, payload: &[u8], sections: u64) -> Result<(), WireError> {
        match In::new(payload).u()? == sections {
            true => Ok(()),
            false => Err("sections are missing"),
        }
    }

    fn finish(mut self, limits: Limits, now: Timestamp) -> Result<Restored, WireError> {
        self.store.order_sealed();
        let (groups, signals) = (self.groups, self.signals);
        let read = |registry: &mut SignalRegistry| {
            for group in &groups {
                registry.facts.take_group(&mut In::new(group))?;
            }
            match signals.is_empty() {
                true => Ok(()),
                false => registry.take_signals(&mut In::new(&signals)),
            }
        };
        let (writer, reader) = Writer::restored(limits, self.store, read, self.targets, now)?;
        Ok(Restored {
            writer,
            reader,
            written: now,
            named: self.named,
        })
    }
}
