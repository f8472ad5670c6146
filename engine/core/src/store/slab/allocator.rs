//! The blocks of all sizes.

use super::super::codec::{self, CodecState, Encoded, Run};
use super::block::{BlockId, Header, LARGE_DATA, MEDIUM_DATA, SEALED, SMALL_DATA, Size};
use super::size_class::{SEGMENT_BLOCKS, SizeClass};
use crate::ids::{ClockId, SeriesId};

/// Bytes held at most beside blocks in use after compaction: part of one segment of each size.
pub(in crate::store) const PARTIAL_SEGMENTS_BYTES: usize = SEGMENT_BLOCKS * (64 + 128 + 256);

/// All blocks.
pub(crate) struct Slab {
    small: SizeClass<SMALL_DATA>,
    medium: SizeClass<MEDIUM_DATA>,
    large: SizeClass<LARGE_DATA>,
}

/// Runs `$body` with `$class` being the class of blocks of a size.
macro_rules! of_size {
    ($slab:expr, $size:expr, $class:ident => $body:expr) => {
        match $size {
            Size::Small => {
                let $class = &$slab.small;
                $body
            }
            Size::Medium => {
                let $class = &$slab.medium;
                $body
            }
            Size::Large => {
                let $class = &$slab.large;
                $body
            }
        }
    };
    (mut $slab:expr, $size:expr, $class:ident => $body:expr) => {
        match $size {
            Size::Small => {
                let $class = &mut $slab.small;
                $body
            }
            Size::Medium => {
                let $class = &mut $slab.medium;
                $body
            }
            Size::Large => {
                let $class = &mut $slab.large;
                $body
            }
        }
    };
}

impl Slab {
    pub(crate) fn new() -> Slab {
        Slab {
            small: SizeClass::new(),
            medium: SizeClass::new(),
            large: SizeClass::new(),
        }
    }

    /// Bytes that the next `allocate` of this size would add; 0 while a block is free.
    pub(crate) fn growth_bytes(&self, size: Size) -> usize {
        of_size!(self, size, class => class.growth_bytes())
    }

    /// A size of which a block is free: the wanted one if possible, else the largest.
    pub(crate) fn free_size(&self, wanted: Size) -> Option<Size> {
        [wanted, Size::Large, Size::Medium, Size::Small]
            .into_iter()
            .find(|&size| self.growth_bytes(size) == 0)
    }

    /// An empty block.
    pub(crate) fn allocate(
        &mut self,
        size: Size,
        clock: ClockId,
        owner: SeriesId,
        first_tick: i64,
    ) -> BlockId {
        let header = Header::new(clock, owner, first_tick);
        let place = of_size!(mut self, size, class => class.allocate(header));
        BlockId::new(size, place)
    }

    /// Frees a block.
    pub(crate) fn release(&mut self, id: BlockId) {
        of_size!(mut self, id.size(), class => class.release(id.place()));
    }

    /// A block's header.
    pub(crate) fn header(&self, id: BlockId) -> &Header {
        of_size!(self, id.size(), class => &class.block(id.place()).header)
    }

    /// The same of an id that may name a block no more.
    pub(crate) fn find(&self, id: BlockId) -> Option<&Header> {
        of_size!(self, id.size(), class => class.find(id.place()))
    }

    /// What was appended to a block.
    pub(crate) fn ops(&self, id: BlockId) -> Encoded<'_> {
        of_size!(self, id.size(), class => class.ops(id.place()))
    }

    /// The same, with the bodies alone: what has to be copied of it.
    pub(crate) fn ops_alone(&self, id: BlockId) -> Encoded<'_> {
        let ops = self.ops(id);
        let bodies = usize::from(self.header(id).bodies);
        Encoded {
            bodies: &ops.bodies[ops.bodies.len() - bodies..],
            ..ops
        }
    }

    /// Links a sealed block and the block after it.
    pub(crate) fn link(&mut self, before: BlockId, after: BlockId) {
        debug_assert!(self.header(before).sealed(), "an open block is the newest");
        self.parts_mut(before).0.link = after;
        self.parts_mut(after).0.set_previous(before);
    }

    /// Appends a run. False: it does not fit, and nothing has changed.
    pub(crate) fn append(&mut self, id: BlockId, run: Run) -> bool {
        let (header, data) = self.parts_mut(id);
        let state = CodecState {
            bits: header.last_bits,
            gap: i64::from(header.last_gap),
        };
        let mut op = [0; codec::OP_BYTES_MAX];
        let len = codec::encode(state, run, &mut op);
        let (heads, bodies) = (usize::from(header.heads), usize::from(header.bodies));
        if heads + bodies + len > data.len() {
            return false;
        }
        data[heads] = op[0];
        let end = data.len() - bodies;
        data[end - (len - 1)..end].copy_from_slice(&op[1..len]);
        header.heads += 1;
        header.bodies += len as u8 - 1;
        header.last_bits = run.bits;
        let gap = u16::try_from(run.gap).ok().filter(|gap| *gap != SEALED);
        header.last_gap = gap.unwrap_or(0);
        true
    }

    /// Closes the block for further runs.
    pub(crate) fn seal(&mut self, id: BlockId) {
        let header = self.parts_mut(id).0;
        let previous = header.previous();
        header.last_gap = SEALED;
        header.link = BlockId::NONE;
        header.set_previous(previous);
    }

    fn parts_mut(&mut self, id: BlockId) -> (&mut Header, &mut [u8]) {
        of_size!(mut self, id.size(), class => class.parts_mut(id.place()))
    }

    /// Bytes of blocks in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.small.used_bytes() + self.medium.used_bytes() + self.large.used_bytes()
    }

    /// Gives back the memory of segments without a block in use.
    pub(crate) fn release_empty(&mut self) {
        self.small.release_empty();
        self.medium.release_empty();
        self.large.release_empty();
    }

    /// Blocks in segments that can be emptied, up to so many of each size. Until [`Slab::vacate`], no block is allocated
    /// there, and each of these has to be copied and released.
    pub(crate) fn evacuate(&mut self, segments_max: usize) -> Vec<BlockId> {
        let mut blocks = Vec::new();
        for size in [Size::Small, Size::Medium, Size::Large] {
            let places = of_size!(mut self, size, class => class.evacuate(segments_max));
            blocks.extend(places.into_iter().map(|place| BlockId::new(size, place)));
        }
        blocks
    }

    /// Whether there are segments whose blocks are to be moved now.
    pub(crate) fn is_emptying(&self) -> bool {
        self.small.is_emptying() || self.medium.is_emptying() || self.large.is_emptying()
    }

    /// Gives up what was selected for emptying and is not empty.
    pub(crate) fn stop_evacuating(&mut self) {
        self.small.stop_evacuating();
        self.medium.stop_evacuating();
        self.large.stop_evacuating();
        self.small.shrink();
        self.medium.shrink();
        self.large.shrink();
    }

    /// Ends a step of an evacuation: gives back the memory of the segments that are empty now.
    pub(crate) fn vacate(&mut self) {
        self.small.vacate();
        self.medium.vacate();
        self.large.vacate();
    }

    /// A copy of a block, of the same size.
    pub(crate) fn copy(&mut self, id: BlockId) -> BlockId {
        let header = *self.header(id);
        let data = self.ops(id).bodies.to_vec(); // all of the block's
        let place = of_size!(mut self, id.size(), class => class.allocate(header));
        let copy = BlockId::new(id.size(), place);
        self.parts_mut(copy).1.copy_from_slice(&data);
        copy
    }

    /// Bytes held, free blocks included.
    pub(crate) fn bytes(&self) -> usize {
        self.small.bytes() + self.medium.bytes() + self.large.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TargetId;

    /// Segments are selected for many steps at once; what was selected and is not emptied must be of use again.
    #[test]
    fn places_in_segments_that_were_not_emptied_are_taken_again() {
        let mut slab = Slab::new();
        let clock = ClockId::page_of(TargetId(0));
        let all = 10 * SEGMENT_BLOCKS as u32;
        let take = |slab: &mut Slab, id| slab.allocate(Size::Small, clock, SeriesId(id), 0);
        let held: Vec<BlockId> = (0..all).map(|id| take(&mut slab, id)).collect();
        // Every second block is free, in all segments: five are to be emptied.
        for block in held.iter().skip(1).step_by(2) {
            slab.release(*block);
        }
        let used = (all / 2) as usize;
        let moved = slab.evacuate(1);
        assert_eq!(moved.len(), SEGMENT_BLOCKS / 2);
        for block in moved {
            slab.copy(block);
            slab.release(block);
        }
        assert!(slab.is_emptying());
        slab.vacate();
        slab.stop_evacuating();
        let before = slab.bytes();
        let free = 9 * SEGMENT_BLOCKS - used;
        for id in 0..free as u32 {
            take(&mut slab, id);
        }
        assert!(slab.bytes() <= before, "there were {free} free places");
    }

    /// Places given up in the segments that were being emptied were taken by the next blocks that were moved: no segment
    /// was ever empty, and pages were refused for want of memory that could have been given back.
    #[test]
    fn an_evacuation_leaves_as_few_segments_as_the_blocks_need() {
        let mut slab = Slab::new();
        let (blocks, owner) = (5 * SEGMENT_BLOCKS as u32, |id: u32| SeriesId(id));
        let size_of = |id: u32| match id % 2 {
            0 => Size::Small,
            _ => Size::Large,
        };
        let mut held: Vec<(u32, BlockId)> = (0..2 * blocks)
            .map(|id| {
                let (clock, size) = (ClockId::page_of(TargetId(0)), size_of(id));
                (id, slab.allocate(size, clock, owner(id), i64::from(id)))
            })
            .collect();
        let full_bytes = slab.bytes();
        held.retain(|&(id, block)| {
            let is_kept = id / 2 % 5 < 2; // all over the segments: none of them is empty
            if !is_kept {
                slab.release(block);
            }
            is_kept
        });
        slab.release_empty();
        assert!(slab.bytes() >= full_bytes);
        loop {
            let blocks = slab.evacuate(2);
            if blocks.is_empty() {
                break;
            }
            for block in blocks {
                let copy = slab.copy(block);
                slab.release(block);
                let moved = held.iter_mut().find(|(_, have)| *have == block);
                moved.expect("only blocks in use are moved").1 = copy;
            }
            slab.vacate();
        }
        slab.stop_evacuating();
        // Two fifths of five segments, of each size.
        let segments = 2 * SEGMENT_BLOCKS * (64 + 256);
        assert!(
            slab.bytes() < segments + full_bytes / 100,
            "{} of {full_bytes}, {segments} are needed",
            slab.bytes()
        );
        for (id, block) in held {
            assert_eq!(slab.header(block).owner, owner(id));
            assert_eq!(slab.header(block).first_tick, i64::from(id));
        }
    }
}
