//! The series that a feed's reader never wants: where it keeps a few families of a large store, the others are not even copied.
//!
//! One bit a series. An id may come to name another series, so a chunk of ids is forgotten when a series of it was removed.

use crate::ids::SeriesId;
use crate::store::{REMOVALS_CHUNK, Series};

const WORDS: usize = REMOVALS_CHUNK as usize / 64;

/// Series by id.
#[derive(Default)]
pub(super) struct PassedOver {
    chunks: Vec<Chunk>,
}

#[derive(Clone, Copy, Default)]
struct Chunk {
    /// [`Series::removals_near`] when its bits were set.
    removals: u32,
    bits: [u64; WORDS],
}

fn place(id: SeriesId) -> (usize, usize, u64) {
    let (chunk, at) = (id.0 / REMOVALS_CHUNK, id.0 % REMOVALS_CHUNK);
    (chunk as usize, at as usize / 64, 1 << (at % 64))
}

impl PassedOver {
    /// Whether the series that has this id now is one.
    pub(super) fn contains(&self, series: &Series, id: SeriesId) -> bool {
        let (chunk, word, bit) = place(id);
        self.chunks.get(chunk).is_some_and(|chunk| {
            chunk.bits[word] & bit != 0 && chunk.removals == series.removals_near(id)
        })
    }

    /// Adds the series that had this id when `removals` of [`Series::removals_near`] were counted.
    pub(super) fn add(&mut self, id: SeriesId, removals: u32) {
        let (chunk, word, bit) = place(id);
        if chunk >= self.chunks.len() {
            self.chunks.resize(chunk + 1, Chunk::default());
        }
        let chunk = &mut self.chunks[chunk];
        if chunk.removals != removals {
            *chunk = Chunk {
                removals,
                ..Chunk::default()
            };
        }
        chunk.bits[word] |= bit;
    }
}
