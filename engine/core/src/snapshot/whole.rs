//! Which parts of a file are whole: what a machine that stopped while a part was appended leaves behind is not one of them.

use super::decode::{SnapshotError, header, section};
use super::{END, GOES_ON, HEADER_BYTES, SECTION_HEAD_BYTES, chained};
use crate::wire::In;

/// The parts of a file that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Bytes of the header and of the parts that are whole, one after the other.
    pub bytes: u64,
    /// How many parts these are.
    pub parts: u64,
    /// Why what follows is left out; `None` where nothing follows.
    pub rest: Option<SnapshotError>,
    /// When it was begun, in milliseconds.
    pub begun_ms: i64,
    /// By which a file that goes on from the last of these parts knows it.
    pub chain: u64,
    /// The chain of the file from which this one goes on.
    pub goes_on_from: Option<u64>,
}

/// Reads a file to its end and compares all checksums. `read` is that of [`crate::Engine::restore`]. Error: not even the
/// first part is whole.
pub fn whole(read: &mut dyn FnMut(&mut [u8]) -> bool) -> Result<Whole, SnapshotError> {
    let head = header(read)?;
    let (mut payload, mut sections, mut at) = (Vec::new(), 0, HEADER_BYTES as u64);
    let mut chain = head.sum;
    let mut found = Whole {
        bytes: 0,
        parts: 0,
        rest: None,
        begun_ms: head.written_ms,
        chain,
        goes_on_from: None,
    };
    loop {
        let rest = match section(read, &mut payload, sections) {
            Ok(Some((kind, sum))) => {
                if (kind, sections) == (GOES_ON, 0) {
                    found.goes_on_from = In::new(&payload).u().ok();
                }
                sections += 1;
                chain = chained(chain, sum);
                at += (SECTION_HEAD_BYTES + payload.len()) as u64;
                if kind == END {
                    (found.bytes, found.parts, found.chain) = (at, found.parts + 1, chain);
                }
                continue;
            }
            Ok(None) if found.bytes == at => None,
            Ok(None) => Some(SnapshotError::Torn { sections }),
            Err(error) => Some(error),
        };
        return match rest {
            Some(error) if found.parts == 0 => Err(error),
            rest => Ok(Whole { rest, ..found }),
        };
    }
}
