//! Snapshots: what an engine holds, as bytes, so that a restart of this program loses nothing older than the last one.
//!
//! Kept: the history of every series (also of recording rules and remote write), the scrapes and the process of every
//! target, what groups have ever shown, and of every signal what was measured before and its grace (rules S1b, S4b, S6 in
//! `signal/RULES.md`). Not kept: templates of pages, help texts, exemplars; the first pages bring them again.
//!
//! ```text
//!  file     | header | part | part that was appended | ... |
//!  header   | "STLWSNAP" | version u32 | written at, milliseconds i64 | checksum u64 |
//!  part     | section ... | section of kind 255 |
//!  section  | kind u8 | bytes of the payload u32 | checksum u64 | payload |
//!
//!  kind 1   targets, by number         kind 6   a name and bytes of whoever embeds the engine
//!       2   one group of targets            7   an appended part begins: written at, milliseconds i
//!       3   signals                         8   the name of a group that is forgotten
//!       4   scrapes of one clock            9   the file goes on from another: the chain of that one u
//!      10   some series
//!                                          11   series that are no more
//!                                         255   the part ends: how many sections come before this one, in the whole file
//!
//!  files    | file | ... | file of kind 9 | ... | file of kind 9 |
//!              oldest                             newest, to which parts are appended
//! ```
//!
//! The first part of the first file is everything; each that is appended has what came since the part before: history is
//! written once, so that an hour of it costs what changed in it and not what is held. Of clocks and series it has what is
//! new; targets, signals, groups and named bytes come whole where they differ from what was written before, and the newest
//! counts.
//!
//! What retention drops stays in a file, so from time to time the caller begins another one
//! ([`Writer::snapshot_in_new_file`](crate::Writer::snapshot_in_new_file)): its first part has, beside what came since, what
//! is shown and known now, and none of the history. So it can be read after the files before, and without them once what
//! they hold is older than the retention. That it goes on from a file is known by the chain: XXH64 of all checksums of that file, one after
//! the other, each with the sum so far.
//!
//! Numbers in headers are little-endian; the checksum of a section is XXH64 of its kind and payload, that of the header of
//! what comes before it. Payloads are described where they are written: `store/persist`, `signal/persist`,
//! `signal/facts/persist`, `writer/persist`; their numbers in `wire`. A file whose first part has no
//! end is torn; one whose last part has none is used up to the part before ([`whole`]). Files of another version are refused: of
//! a version before, a start after an update lacks the windows of one retention.
//!
//! Each call of [`Snapshot::next`] holds the locks once, and as briefly as any reader: for the copying of some rows and blocks
//! ([`crate::limits::READ_BATCH_BYTES`]), which are encoded after that. A snapshot of any size takes little memory. Whoever writes it
//! rests between calls where commits must not wait: a thread that has just slept is not interrupted while it holds a lock. Reading takes
//! bytes that nobody vouches for: every number is checked, nothing is allocated that is not there, and an error changes
//! nothing. Whatever files hold, reading drops again what has no place below the memory limit. Fuzz target: `snapshot`.

mod decode;
mod encode;
mod whole;

use std::hash::Hasher;

use twox_hash::XxHash64;

pub use decode::{NextBytes, Restored, SnapshotError};
pub use encode::{Snapshot, Written};
pub use whole::{Whole, whole};

const MAGIC: &[u8; 8] = b"STLWSNAP";
const VERSION: u32 = 5;
const HEADER_BYTES: usize = 28;
const SECTION_HEAD_BYTES: usize = 13;
/// A section of more bytes is no section.
const SECTION_BYTES_MAX: u32 = 256 << 20;

const TARGETS: u8 = 1;
const GROUP: u8 = 2;
const SIGNALS: u8 = 3;
const CLOCK: u8 = 4;
const NAMED: u8 = 6;
const CUT: u8 = 7;
const GROUP_GONE: u8 = 8;
const GOES_ON: u8 = 9;
const SERIES: u8 = 10;
const GONE: u8 = 11;
const END: u8 = 255;

fn checksum(parts: &[&[u8]]) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

/// The chain of a file after one more checksum.
fn chained(chain: u64, sum: u64) -> u64 {
    checksum(&[&chain.to_le_bytes(), &sum.to_le_bytes()])
}

/// Frames a payload as a section; answers its checksum. For programs that make snapshots of their own, such as fuzz targets.
pub fn put_section(out: &mut Vec<u8>, kind: u8, payload: &[u8]) -> u64 {
    let sum = checksum(&[&[kind], payload]);
    out.push(kind);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(payload);
    sum
}

/// The header of a file that is begun at this time; answers its checksum.
pub fn put_header(out: &mut Vec<u8>, written_ms: i64) -> u64 {
    let start = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&written_ms.to_le_bytes());
    let sum = checksum(&[&out[start..]]);
    out.extend_from_slice(&sum.to_le_bytes());
    sum
}
