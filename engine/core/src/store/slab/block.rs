//! A block of history: its size, its id and its header, which says which series it belongs to and how to go on with it.
//!
//! ```text
//!  Block<N> = | first_tick i64 | last_bits u64 | clock u32 | owner u32 | link u32 | gap u16 | heads u8 | bodies u8 | N data bytes |
//! ```

use super::super::codec::{self, CodecState};
use crate::ids::{ClockId, SeriesId};

/// Bytes of the first block of a series' history.
pub(crate) const SMALL_BLOCK_BYTES: usize = 64;

pub(super) const SMALL_DATA: usize = SMALL_BLOCK_BYTES - HEADER_BYTES;
pub(super) const MEDIUM_DATA: usize = 128 - HEADER_BYTES;
pub(super) const LARGE_DATA: usize = 256 - HEADER_BYTES;
const HEADER_BYTES: usize = 32;

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

    pub(super) fn new(size: Size, place: u32) -> BlockId {
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

    pub(super) fn place(self) -> u32 {
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
    pub(super) link: BlockId,
    /// The codec's state after the last op, so that appending needs no decoding: the value, of a sealed block the block before
    /// it ...
    pub(super) last_bits: u64,
    /// ... and the gap; 0, which is no valid gap, where it does not fit, and `SEALED` where no run follows.
    pub(super) last_gap: u16,
    /// Ops.
    pub(super) heads: u8,
    /// Bytes of their bodies.
    pub(super) bodies: u8,
}

/// The gap of a block that takes no more runs.
pub(super) const SEALED: u16 = u16::MAX;

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);
const _: () = assert!(LARGE_DATA <= u8::MAX as usize);

impl Header {
    pub(super) fn new(clock: ClockId, owner: SeriesId, first_tick: i64) -> Header {
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

    pub(super) fn set_previous(&mut self, previous: BlockId) {
        match self.sealed() {
            true => self.last_bits = u64::from(previous.0),
            false => self.link = previous,
        }
    }
}

#[repr(C)]
pub(super) struct Block<const N: usize> {
    pub(super) header: Header,
    pub(super) data: [u8; N],
}
