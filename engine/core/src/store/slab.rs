//! A slab allocator for blocks of history: blocks have fixed sizes and places, and freed blocks are reused first.
//!
//! ```text
//!  Block<N> = | first_tick i64 | last_bits u64 | clock u32 | owner u32 | link u32 | gap u16 | heads u8 | bodies u8 | N data bytes |
//! ```
//!
//! Three sizes: the first block of a series is small (64 bytes with its header), the second medium (128), later ones
//! large (256). A series that seldom changes takes little, and a busy one has few headers.

use super::codec::{self, CodecState, Encoded, Run};
use crate::ids::{ClockId, SeriesId};

/// Bytes of the first block of a series' history.
pub(crate) const SMALL_BLOCK_BYTES: usize = 64;

const SMALL_DATA: usize = SMALL_BLOCK_BYTES - HEADER_BYTES;
const MEDIUM_DATA: usize = 128 - HEADER_BYTES;
const LARGE_DATA: usize = 256 - HEADER_BYTES;
const HEADER_BYTES: usize = 32;
/// Blocks of one allocation.
pub(super) const SEGMENT_BLOCKS: usize = 256;

/// Segments of one size that are selected for emptying at once: 4 to 16 MB.
const EVACUATED_AT_ONCE: usize = 256;

/// Bytes held at most beside blocks in use after compaction: part of one segment of each size.
pub(super) const PARTIAL_SEGMENTS_BYTES: usize = SEGMENT_BLOCKS * (64 + 128 + 256);

const _: () = assert!(size_of::<Block<SMALL_DATA>>() == 64);
const _: () = assert!(size_of::<Block<MEDIUM_DATA>>() == 128);
const _: () = assert!(size_of::<Block<LARGE_DATA>>() == 256);
const _: () = assert!(SMALL_DATA >= codec::OP_BYTES_MAX);
const _: () = assert!(LARGE_DATA <= codec::OPS_AT_ONCE);

/// How large a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    Medium,
    Large,
}

impl Size {
    /// The size of the block that follows one of this size.
    pub(crate) fn next(self) -> Size {
        match self {
            Size::Small => Size::Medium,
            Size::Medium | Size::Large => Size::Large,
        }
    }
}

/// The id of a block: its size in the two highest bits, its index among blocks of that size below them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlockId(u32);

const PLACE_BITS: u32 = 30;

impl BlockId {
    /// No block.
    pub(crate) const NONE: BlockId = BlockId(u32::MAX);

    fn new(size: Size, place: u32) -> BlockId {
        debug_assert!(place < 1 << PLACE_BITS);
        BlockId((size as u32) << PLACE_BITS | place)
    }

    /// `None` where there is no block.
    pub(crate) fn some(self) -> Option<BlockId> {
        (self != BlockId::NONE).then_some(self)
    }

    /// How large it is.
    #[inline]
    pub(crate) fn size(self) -> Size {
        match self.0 >> PLACE_BITS {
            0 => Size::Small,
            1 => Size::Medium,
            _ => Size::Large,
        }
    }

    fn place(self) -> u32 {
        self.0 & ((1 << PLACE_BITS) - 1)
    }
}

/// The header of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// The tick at which its first run begins.
    pub(crate) first_tick: i64,
    /// The clock of its ticks.
    pub(crate) clock: ClockId,
    /// The series whose history it holds.
    pub(crate) owner: SeriesId,
    /// The series' next block; while the block is open, and so the series' newest, the one before.
    link: BlockId,
    /// The codec's state after the last op, so that appending needs no decoding: the value, of a sealed block the block before
    /// it ...
    last_bits: u64,
    /// ... and the gap; 0, which is no valid gap, where it does not fit, and `SEALED` where no run follows.
    last_gap: u16,
    /// Ops.
    heads: u8,
    /// Bytes of their bodies.
    bodies: u8,
}

/// The gap of a block that takes no more runs.
const SEALED: u16 = u16::MAX;

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);
const _: () = assert!(LARGE_DATA <= u8::MAX as usize);

impl Header {
    fn new(clock: ClockId, owner: SeriesId, first_tick: i64) -> Header {
        Header {
            first_tick,
            clock,
            owner,
            link: BlockId::NONE,
            last_bits: CodecState::START.bits,
            last_gap: CodecState::START.gap as u16,
            heads: 0,
            bodies: 0,
        }
    }

    /// Whether it takes no more runs.
    pub(crate) fn sealed(&self) -> bool {
        self.last_gap == SEALED
    }

    /// The series' next block.
    pub(crate) fn next(&self) -> BlockId {
        match self.sealed() {
            true => self.link,
            false => BlockId::NONE,
        }
    }

    /// The series' block before; any of one that is its oldest.
    pub(crate) fn previous(&self) -> BlockId {
        match self.sealed() {
            true => BlockId(self.last_bits as u32),
            false => self.link,
        }
    }

    fn set_previous(&mut self, previous: BlockId) {
        match self.sealed() {
            true => self.last_bits = u64::from(previous.0),
            false => self.link = previous,
        }
    }
}

#[repr(C)]
struct Block<const N: usize> {
    header: Header,
    data: [u8; N],
}

/// Blocks of one size, in segments that never move.
struct SizeClass<const N: usize> {
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
    fn new() -> SizeClass<N> {
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

    fn block(&self, at: u32) -> &Block<N> {
        &self.segments[at as usize / SEGMENT_BLOCKS].blocks[at as usize % SEGMENT_BLOCKS]
    }

    /// The header of a block that may have been released.
    fn find(&self, at: u32) -> Option<&Header> {
        let segment = self.segments.get(at as usize / SEGMENT_BLOCKS)?;
        let block = segment.blocks.get(at as usize % SEGMENT_BLOCKS)?;
        Some(&block.header)
    }

    fn block_mut(&mut self, at: u32) -> &mut Block<N> {
        &mut self.segments[at as usize / SEGMENT_BLOCKS].blocks[at as usize % SEGMENT_BLOCKS]
    }

    fn release(&mut self, at: u32) {
        self.block_mut(at).header.clock = ClockId::NONE;
        let segment = &mut self.segments[at as usize / SEGMENT_BLOCKS];
        segment.used -= 1;
        self.used -= 1;
        if !segment.is_evacuated {
            self.free.push(at);
        }
    }

    fn used_bytes(&self) -> usize {
        self.used * size_of::<Block<N>>()
    }

    /// Gives back the memory of segments without a block in use.
    fn release_empty(&mut self) {
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
    fn evacuate(&mut self, segments_max: usize) -> Vec<u32> {
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
    fn vacate(&mut self) {
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

    /// Gives up emptying the segments that are still full: their places can be taken again.
    fn stop_evacuating(&mut self) {
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
    fn growth_bytes(&self) -> usize {
        if self.free.is_empty() && self.evacuating.is_empty() {
            SEGMENT_BLOCKS * size_of::<Block<N>>()
        } else {
            0
        }
    }

    fn allocate(&mut self, header: Header) -> u32 {
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

    fn ops(&self, at: u32) -> Encoded<'_> {
        let block = self.block(at);
        Encoded {
            heads: &block.data[..usize::from(block.header.heads)],
            bodies: &block.data,
        }
    }

    fn parts_mut(&mut self, at: u32) -> (&mut Header, &mut [u8]) {
        let block = self.block_mut(at);
        (&mut block.header, &mut block.data)
    }

    fn bytes(&self) -> usize {
        let segments = self.segments.len() - self.vacant.len();
        segments * SEGMENT_BLOCKS * size_of::<Block<N>>() + self.free.capacity() * 4
    }
}

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
        let [small, medium, large] = [
            self.small.emptying.is_empty(),
            self.medium.emptying.is_empty(),
            self.large.emptying.is_empty(),
        ];
        !(small && medium && large)
    }

    /// Gives up what was selected for emptying and is not empty.
    pub(crate) fn stop_evacuating(&mut self) {
        self.small.stop_evacuating();
        self.medium.stop_evacuating();
        self.large.stop_evacuating();
        self.small.free.shrink_to_fit();
        self.medium.free.shrink_to_fit();
        self.large.free.shrink_to_fit();
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
