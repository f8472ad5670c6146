//! Requests packed as they are sent.

use crate::remote_write::Protocol;

/// A request that is complete.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Of which version.
    pub protocol: Protocol,
    /// The snappy block.
    pub bytes: Vec<u8>,
    /// What it holds.
    pub counts: Counts,
    /// The time of its newest sample, as it was given; `i64::MIN` where there is none.
    pub newest_ms: i64,
}

/// What a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Floats, stale markers among them.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Descriptions of families.
    pub metadata: u64,
}

/// Packs requests; its memory serves one after another.
pub struct Packer {
    encoder: snap::raw::Encoder,
    pub(super) plain: Vec<u8>,
    packed: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Packer {
        Packer {
            encoder: snap::raw::Encoder::new(),
            plain: Vec::new(),
            packed: Vec::new(),
        }
    }
}

impl Packer {
    /// A snappy block; `None` beyond 4 GiB, which no request has.
    pub(super) fn pack(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        // A block may be larger than what it holds; only what it takes is kept.
        let most = snap::raw::max_compress_len(plain.len());
        self.packed.resize(most.max(self.packed.len()), 0);
        let length = self.encoder.compress(plain, &mut self.packed).ok()?;
        Some(self.packed[..length].to_vec())
    }
}
