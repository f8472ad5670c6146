//! Blocks of one size, in segments that never move: which places are free, and which segments are emptied so that their memory
//! can be given back.

use super::super::codec::Encoded;
use super::block::{Block, Header};
use crate::ids::{ClockId, SeriesId};

/// Blocks of one allocation.
pub(in crate::store) const SEGMENT_BLOCKS: usize = 256;

/// Segments of one size that are selected for emptying at once: 4 to 16 MB.
const EVACUATED_AT_ONCE: usize = 256;

/// Blocks of one size, in segments that never move.
pub(super) struct SizeClass<const N: usize> {
    segments: Vec<Segment<N>>,
    free: Vec<u32>,
    /// Segments whose memory was given back; their indices are reused first.
    vacant: Vec<u32>,
    /// Blocks in use.
    used: usize,
    /// Segments that are to be emptied, and those of them whose blocks are being moved.
    evacuating: Vec<u32>,
    emptying: Vec<u32>,
}

struct Segment<const N: usize> {
    /// Empty while the segment is vacant.
    blocks: Box<[Block<N>]>,
    used: usize,
    /// Its blocks are being moved into others: places given up in it are not on the free list.
    is_evacuated: bool,
}

impl<const N: usize> SizeClass<N> {
    pub(super) fn new() -> SizeClass<N> {
        SizeClass {
            segments: Vec::new(),
            free: Vec::new(),
            vacant: Vec::new(),
            used: 0,
            evacuating: Vec::new(),
            emptying: Vec::new(),
        }
    }

    fn grow(&mut self) {
        let block = || Block {
            header: Header::new(ClockId::NONE, SeriesId(0), 0),
            data: [0; N],
        };
        let segment = Segment {
            blocks: (0..SEGMENT_BLOCKS).map(|_| block()).collect(),
            used: 0,
            is_evacuated: false,
        };
        let at = match self.vacant.pop() {
            Some(at) => {
                self.segments[at as usize] = segment;
                at
            }
            None => {
                self.segments.push(segment);
                self.segments.len() as u32 - 1
            }
        };
        let first = at * SEGMENT_BLOCKS as u32;
        self.free
            .extend((first..first + SEGMENT_BLOCKS as u32).rev());
    }

    pub(super) fn block(&self, at: u32) -> &Block<N> {
        &self.segments[at as usize / SEGMENT_BLOCKS].blocks[at as usize % SEGMENT_BLOCKS]
    }

    /// The header of a block that may have been released.
    pub(super) fn find(&self, at: u32) -> Option<&Header> {
        let segment = self.segments.get(at as usize / SEGMENT_BLOCKS)?;
        let block = segment.blocks.get(at as usize % SEGMENT_BLOCKS)?;
        Some(&block.header)
    }

    fn block_mut(&mut self, at: u32) -> &mut Block<N> {
        &mut self.segments[at as usize / SEGMENT_BLOCKS].blocks[at as usize % SEGMENT_BLOCKS]
    }

    pub(super) fn release(&mut self, at: u32) {
        self.block_mut(at).header.clock = ClockId::NONE;
        let segment = &mut self.segments[at as usize / SEGMENT_BLOCKS];
        segment.used -= 1;
        self.used -= 1;
        if !segment.is_evacuated {
            self.free.push(at);
        }
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used * size_of::<Block<N>>()
    }

    /// Gives back the memory of segments without a block in use.
    pub(super) fn release_empty(&mut self) {
        let emptied: Vec<bool> = self
            .segments
            .iter()
            .map(|segment| segment.used == 0 && !segment.blocks.is_empty() && !segment.is_evacuated)
            .collect();
        if !emptied.contains(&true) {
            return;
        }
        self.free
            .retain(|at| !emptied[*at as usize / SEGMENT_BLOCKS]);
        self.free.shrink_to_fit();
        for (at, _) in emptied.iter().enumerate().filter(|(_, emptied)| **emptied) {
            self.segments[at].blocks = Box::default();
            self.vacant.push(at as u32);
        }
    }

    /// Takes up to so many segments, the least used ones, whose blocks fit into the others, and lists the blocks in use in them.
    pub(super) fn evacuate(&mut self, segments_max: usize) -> Vec<u32> {
        if self.evacuating.is_empty() {
            self.select_least_used();
        }
        let from = self.evacuating.len().saturating_sub(segments_max);
        self.emptying.extend(self.evacuating.drain(from..));
        let places = self.emptying.iter().flat_map(|at| {
            let first = at * SEGMENT_BLOCKS as u32;
            first..first + SEGMENT_BLOCKS as u32
        });
        places
            .filter(|place| self.block(*place).header.clock != ClockId::NONE)
            .collect()
    }

    /// Selects the segments that are emptied next, and removes their places from the free list. Looks at all segments and
    /// places, so it selects more than are emptied at once: of a gigabyte of history that takes some milliseconds.
    fn select_least_used(&mut self) {
        let held = self.segments.len() - self.vacant.len();
        let spare = held - self.used.div_ceil(SEGMENT_BLOCKS);
        if spare == 0 {
            return;
        }
        let mut least: Vec<u32> = (0..self.segments.len() as u32)
            .filter(|at| !self.segments[*at as usize].blocks.is_empty())
            .collect();
        let count = spare.min(EVACUATED_AT_ONCE);
        least.select_nth_unstable_by_key(count - 1, |at| self.segments[*at as usize].used);
        least.truncate(count);
        for at in &least {
            self.segments[*at as usize].is_evacuated = true;
        }
        let segments = &self.segments;
        self.free
            .retain(|place| !segments[*place as usize / SEGMENT_BLOCKS].is_evacuated);
        self.evacuating = least;
    }

    /// Gives back the memory of the segments whose blocks were moved.
    ///
    /// One with a block that was not moved stays: without its memory a series would have lost history, and whoever reads that
    /// block would panic, for every query from then on. Nobody leaves one behind; if somebody did, its free places are lost until its
    /// blocks are dropped, and nothing else is.
    pub(super) fn vacate(&mut self) {
        for at in self.emptying.drain(..) {
            let segment = &mut self.segments[at as usize];
            segment.is_evacuated = false;
            debug_assert_eq!(segment.used, 0, "its blocks were moved");
            if segment.used == 0 {
                segment.blocks = Box::default();
                self.vacant.push(at);
            }
        }
    }

    pub(super) fn is_emptying(&self) -> bool {
        !self.emptying.is_empty()
    }

    /// Gives back what the free list does not need.
    pub(super) fn shrink(&mut self) {
        self.free.shrink_to_fit();
    }

    /// Gives up emptying the segments that are still full: their places can be taken again.
    pub(super) fn stop_evacuating(&mut self) {
        for at in self.evacuating.drain(..) {
            self.segments[at as usize].is_evacuated = false;
            let first = at * SEGMENT_BLOCKS as u32;
            let places = first..first + SEGMENT_BLOCKS as u32;
            let blocks = &self.segments[at as usize].blocks;
            let is_free = |place: &u32| {
                let block = &blocks[*place as usize % SEGMENT_BLOCKS];
                block.header.clock == ClockId::NONE
            };
            self.free.extend(places.filter(is_free));
        }
    }

    /// Bytes that the next `allocate` adds.
    pub(super) fn growth_bytes(&self) -> usize {
        if self.free.is_empty() && self.evacuating.is_empty() {
            SEGMENT_BLOCKS * size_of::<Block<N>>()
        } else {
            0
        }
    }

    pub(super) fn allocate(&mut self, header: Header) -> u32 {
        if self.free.is_empty() {
            self.stop_evacuating();
        }
        if self.free.is_empty() {
            self.grow();
        }
        let at = self
            .free
            .pop()
            .unwrap_or_else(|| unreachable!("`grow` adds free blocks"));
        self.segments[at as usize / SEGMENT_BLOCKS].used += 1;
        self.used += 1;
        self.block_mut(at).header = header;
        at
    }

    pub(super) fn ops(&self, at: u32) -> Encoded<'_> {
        let block = self.block(at);
        Encoded {
            heads: &block.data[..usize::from(block.header.heads)],
            bodies: &block.data,
        }
    }

    pub(super) fn parts_mut(&mut self, at: u32) -> (&mut Header, &mut [u8]) {
        let block = self.block_mut(at);
        (&mut block.header, &mut block.data)
    }

    pub(super) fn bytes(&self) -> usize {
        let segments = self.segments.len() - self.vacant.len();
        segments * SEGMENT_BLOCKS * size_of::<Block<N>>() + self.free.capacity() * 4
    }
}
