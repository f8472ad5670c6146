//! Windows of series that are equal under the name that a query requests: they are read as their sum (S8), sample by sample
//! and without compensation, as the signal view adds them.

use super::range::Samples;

/// Series that are one element.
#[derive(Clone, Debug)]
pub(super) struct Summed {
    /// Which of the sums of its leaf it is.
    pub(super) number: usize,
    pub(super) clock: u32,
    pub(super) group: u32,
    /// The samples of the sum.
    column: u32,
    /// Those of its parts, in order.
    parts: Vec<u32>,
}

impl Summed {
    /// A sum with its first part, which keeps its samples in a column of its own.
    pub(super) fn new(number: usize, (clock, group): (u32, u32), column: u32, part: u32) -> Summed {
        Summed {
            number,
            clock,
            group,
            column,
            parts: vec![part],
        }
    }

    /// Adds a part.
    pub(super) fn add(&mut self, part: u32) {
        self.parts.push(part);
    }

    pub(super) fn column(&self) -> u32 {
        self.column
    }

    /// Adds the sums of these samples, which the parts have already.
    pub(super) fn append(&self, samples: &mut Samples, (from, until): (u64, u64)) {
        for number in from..until {
            let parts = self.parts.iter();
            let present = parts.filter_map(|&part| samples.rings.sample(part, number));
            let sum = present.reduce(|sum, value| sum + value);
            let bits = sum.map_or(crate::store::STALE, f64::to_bits);
            samples.append(self.column, number, bits, false);
        }
    }
}
