//! Snapshots: what an engine holds, as bytes, so that a restart of this program loses nothing older than the last one.
//!
//! Kept: the history of every series (also of recording rules and remote write), the scrapes and the process of every
//! target, what groups have ever shown, and of every signal what was measured before and its grace (rules S1b, S4b, S6 in
//! `signal/RULES.md`). Not kept: templates of pages, help texts, exemplars; the first pages bring them again.
//!
//! ```text
//!  header   | "STLWSNAP" | version u32 | written at, milliseconds i64 | checksum u64 |
//!  part     | section ... | section of kind 255 |                       the first; then those that were appended:
//!  part     | section of kind 7 | section ... | section of kind 255 |    any number of them
//!  section  | kind u8 | bytes of the payload u32 | checksum u64 | payload |
//!
//!  kind 1   targets, by number         kind 5   some series
//!       2   one group of targets            6   a name and bytes of whoever embeds the engine
//!       3   signals                         7   an appended part begins: written at, milliseconds i
//!       4   one clock                       8   the name of a group that is forgotten
//!                                         255   the part ends: how many sections come before this one, in the whole file
//! ```
//!
//! The first part is everything; each that is appended has what came since the part before: history is written once, so
//! that an hour of it costs what changed in it and not what is held. Of clocks and series it has what is new; targets,
//! signals, groups and named bytes come whole where they differ from what was written before, and the newest counts. What
//! retention and the memory limit have dropped stays in the file, so the caller has to begin anew
//! ([`Writer::snapshot`](crate::Writer::snapshot)) from time to time. The server does when the file is twice as large as its
//! first part and as the history in memory. Whatever a file holds, reading drops again what has no place below the limit.
//!
//! Numbers in headers are little-endian; the checksum of a section is XXH64 of its kind and payload, that of the header of
//! what comes before it. Payloads are described where they are written: `store/persist`, `signal/persist`,
//! `signal/facts/persist`, `writer/persist`; their numbers in `wire`. A file whose first part has no
//! end is torn; one whose last part has none is used up to the part before ([`whole`]). A version is read by
//! the program that writes it: what is lost by an upgrade is what a start without a snapshot loses.
//!
//! Writing holds the locks as briefly as any reader ([`crate::limits::READ_BATCH_SERIES`]), and the bytes come in pieces,
//! so that a snapshot of any size takes little memory. Reading takes bytes that nobody vouches for: every number is checked,
//! nothing is allocated that is not there, and an error changes nothing. Fuzz target: `snapshot`.

mod decode;
mod encode;
mod whole;

use std::hash::Hasher;

use twox_hash::XxHash64;

pub use decode::{Restored, SnapshotError};
pub use encode::{Snapshot, Written};
pub use whole::{Whole, whole};

const MAGIC: &[u8; 8] = b"STLWSNAP";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 28;
const SECTION_HEAD_BYTES: usize = 13;
/// A section of more bytes is no section.
const SECTION_BYTES_MAX: u32 = 256 << 20;

const TARGETS: u8 = 1;
const GROUP: u8 = 2;
const SIGNALS: u8 = 3;
const CLOCK: u8 = 4;
const SERIES: u8 = 5;
const NAMED: u8 = 6;
const CUT: u8 = 7;
const GROUP_GONE: u8 = 8;
const END: u8 = 255;

fn checksum(parts: &[&[u8]]) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

/// Frames a payload as a section. For programs that make snapshots of their own, such as fuzz targets.
pub fn put_section(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&checksum(&[&[kind], payload]).to_le_bytes());
    out.extend_from_slice(payload);
}

/// The header of a snapshot that is written at this time.
pub fn put_header(out: &mut Vec<u8>, written_ms: i64) {
    let start = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&written_ms.to_le_bytes());
    let sum = checksum(&[&out[start..]]);
    out.extend_from_slice(&sum.to_le_bytes());
}
