//! A slab allocator for blocks of history: blocks have fixed sizes and places, and freed blocks are reused first.
//!
//! Three sizes: the first block of a series is small (64 bytes with its header), the second medium (128), later ones
//! large (256). A series that seldom changes takes little, and a busy one has few headers.

mod allocator;
mod block;
mod size_class;

pub(super) use allocator::PARTIAL_SEGMENTS_BYTES;
pub(crate) use allocator::Slab;
pub(crate) use block::{BlockId, SMALL_BLOCK_BYTES, Size};
pub(super) use size_class::SEGMENT_BLOCKS;
