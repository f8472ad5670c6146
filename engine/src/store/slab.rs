//! Fixed blocks of history from a slab: no block moves or grows, a freed one is the next to be used.
//!
//! ```text
//!  Block<N> = | first_tick i64 | last_bits u64 | clock u32 | owner u32 | next u32 | gap u16 | used u8 | sealed u8 | N data bytes |
//! ```
//!
//! Two sizes: a series' first block is small (64 bytes in all), the later ones large (256), so that a series that
//! seldom changes costs little and a busy one does not drown in headers.

use super::codec::{self, Run, State};
use super::ids::{ClockId, SeriesId};

const SMALL_DATA: usize = 64 - HEADER_BYTES;
const LARGE_DATA: usize = 256 - HEADER_BYTES;
const HEADER_BYTES: usize = 32;
const SEGMENT_BLOCKS: usize = 256;
const LARGE_BIT: u32 = 1 << 31;

const _: () = assert!(size_of::<Block<SMALL_DATA>>() == 64);
const _: () = assert!(size_of::<Block<LARGE_DATA>>() == 256);
const _: () = assert!(SMALL_DATA >= codec::OP_BYTES_MAX);

/// A block, small or large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockId(u32);

impl BlockId {
    /// No block.
    pub(crate) const NONE: BlockId = BlockId(u32::MAX);

    /// `None` where there is no block.
    pub(crate) fn some(self) -> Option<BlockId> {
        (self != BlockId::NONE).then_some(self)
    }
}

/// What every block knows of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// When its first run began.
    pub(crate) first_tick: i64,
    /// Whose ticks.
    pub(crate) clock: ClockId,
    /// Whose history.
    pub(crate) owner: SeriesId,
    /// The series' next block.
    pub(crate) next: BlockId,
    /// The codec's state after the last op, so that appending needs no decoding: the value ...
    last_bits: u64,
    /// ... and the gap; 0, which no gap equals, where it does not fit.
    last_gap: u16,
    used: u8,
    /// Takes no more runs.
    pub(crate) sealed: bool,
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);
const _: () = assert!(LARGE_DATA <= u8::MAX as usize);

impl Header {
    fn new(clock: ClockId, owner: SeriesId, first_tick: i64) -> Header {
        Header {
            first_tick,
            clock,
            owner,
            next: BlockId::NONE,
            last_bits: State::START.bits,
            last_gap: State::START.gap as u16,
            used: 0,
            sealed: false,
        }
    }
}

#[repr(C)]
struct Block<const N: usize> {
    header: Header,
    data: [u8; N],
}

/// Blocks of one size, in segments that never move.
struct Class<const N: usize> {
    segments: Vec<Box<[Block<N>]>>,
    free: Vec<u32>,
}

impl<const N: usize> Class<N> {
    fn new() -> Class<N> {
        Class {
            segments: Vec::new(),
            free: Vec::new(),
        }
    }

    fn grow(&mut self) {
        let first = (self.segments.len() * SEGMENT_BLOCKS) as u32;
        let block = || Block {
            header: Header::new(ClockId::NONE, SeriesId(0), 0),
            data: [0; N],
        };
        self.segments
            .push((0..SEGMENT_BLOCKS).map(|_| block()).collect());
        self.free
            .extend((first..first + SEGMENT_BLOCKS as u32).rev());
    }

    fn block(&self, at: u32) -> &Block<N> {
        &self.segments[at as usize / SEGMENT_BLOCKS][at as usize % SEGMENT_BLOCKS]
    }

    fn block_mut(&mut self, at: u32) -> &mut Block<N> {
        &mut self.segments[at as usize / SEGMENT_BLOCKS][at as usize % SEGMENT_BLOCKS]
    }

    fn bytes(&self) -> usize {
        self.segments.len() * SEGMENT_BLOCKS * size_of::<Block<N>>() + self.free.capacity() * 4
    }
}

/// All blocks.
pub(crate) struct Slab {
    small: Class<SMALL_DATA>,
    large: Class<LARGE_DATA>,
}

impl Slab {
    pub(crate) fn new() -> Slab {
        Slab {
            small: Class::new(),
            large: Class::new(),
        }
    }

    /// Bytes that the next `allocate` of this size would add; 0 while a block is free.
    pub(crate) fn growth_bytes(&self, large: bool) -> usize {
        match large {
            true if self.large.free.is_empty() => SEGMENT_BLOCKS * size_of::<Block<LARGE_DATA>>(),
            false if self.small.free.is_empty() => SEGMENT_BLOCKS * size_of::<Block<SMALL_DATA>>(),
            _ => 0,
        }
    }

    /// An empty block.
    pub(crate) fn allocate(
        &mut self,
        large: bool,
        clock: ClockId,
        owner: SeriesId,
        first_tick: i64,
    ) -> BlockId {
        let header = Header::new(clock, owner, first_tick);
        if large {
            let at = take_free(&mut self.large);
            self.large.block_mut(at).header = header;
            BlockId(at | LARGE_BIT)
        } else {
            let at = take_free(&mut self.small);
            self.small.block_mut(at).header = header;
            BlockId(at)
        }
    }

    /// Gives a block back.
    pub(crate) fn release(&mut self, id: BlockId) {
        let at = id.0 & !LARGE_BIT;
        if id.0 & LARGE_BIT != 0 {
            self.large.free.push(at);
        } else {
            self.small.free.push(at);
        }
    }

    /// A block's header.
    pub(crate) fn header(&self, id: BlockId) -> &Header {
        if id.0 & LARGE_BIT != 0 {
            &self.large.block(id.0 & !LARGE_BIT).header
        } else {
            &self.small.block(id.0).header
        }
    }

    /// A block's written bytes.
    pub(crate) fn used(&self, id: BlockId) -> &[u8] {
        if id.0 & LARGE_BIT != 0 {
            let block = self.large.block(id.0 & !LARGE_BIT);
            &block.data[..usize::from(block.header.used)]
        } else {
            let block = self.small.block(id.0);
            &block.data[..usize::from(block.header.used)]
        }
    }

    /// Links `id` to the block after it.
    pub(crate) fn set_next(&mut self, id: BlockId, next: BlockId) {
        self.parts_mut(id).0.next = next;
    }

    /// Appends a run. False, with nothing changed, where it does not fit.
    pub(crate) fn append(&mut self, id: BlockId, run: Run) -> bool {
        let (header, data) = self.parts_mut(id);
        let state = State {
            bits: header.last_bits,
            gap: i64::from(header.last_gap),
        };
        let mut op = [0; codec::OP_BYTES_MAX];
        let len = codec::encode(state, run, &mut op);
        let used = usize::from(header.used);
        if used + len > data.len() {
            return false;
        }
        data[used..used + len].copy_from_slice(&op[..len]);
        header.used += len as u8;
        header.last_bits = run.bits;
        header.last_gap = u16::try_from(run.gap).unwrap_or(0);
        true
    }

    /// The block takes no more runs.
    pub(crate) fn seal(&mut self, id: BlockId) {
        self.parts_mut(id).0.sealed = true;
    }

    fn parts_mut(&mut self, id: BlockId) -> (&mut Header, &mut [u8]) {
        if id.0 & LARGE_BIT != 0 {
            let block = self.large.block_mut(id.0 & !LARGE_BIT);
            (&mut block.header, &mut block.data)
        } else {
            let block = self.small.block_mut(id.0);
            (&mut block.header, &mut block.data)
        }
    }

    /// Bytes held, free blocks included.
    pub(crate) fn bytes(&self) -> usize {
        self.small.bytes() + self.large.bytes()
    }
}

fn take_free<const N: usize>(class: &mut Class<N>) -> u32 {
    if class.free.is_empty() {
        class.grow();
    }
    class
        .free
        .pop()
        .unwrap_or_else(|| unreachable!("`grow` adds free blocks"))
}
