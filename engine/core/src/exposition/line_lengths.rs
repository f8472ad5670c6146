//! How long the skipped lines of a target's previous page were, so that the next page need not be searched for line breaks.
//!
//! Where line breaks stand at the ends that the lengths foretell, and the stretch between has no other, its lines are those:
//! counting them reads the stretch once, at the speed of memory, whatever changed within the lines. A line whose value has
//! grown by a digit is searched for its end, and those behind it are foretold again. Nothing depends on the lengths but
//! time, so they are kept whether a page is taken or not.

/// Lines whose lengths are kept, two bytes each: half a megabyte for a target. Lines that are skipped are not limited.
const LINES_MAX: usize = 1 << 18;

/// Lengths of skipped lines with their line breaks, in page order; 0 for one that is longer than the number can be.
#[derive(Debug, Default)]
pub(super) struct LineLengths {
    lengths: Vec<u16>,
    /// The line that comes next.
    at: usize,
    /// So many lines were foretold wrongly and have to be searched for their ends, so that no line is read more than twice.
    wrong: usize,
}

/// Bytes that are looked at together.
const LANES: usize = 64;

/// Counts line breaks, in lanes that compilers make vectors of: 60 GB/s from the second cache, where a search for each of them
/// makes 19, and where reading alone makes 70 (bench: `scrape`, lines of 253 bytes).
pub(super) fn line_breaks(text: &[u8]) -> usize {
    let (blocks, rest) = text.as_chunks::<LANES>();
    let mut breaks = rest.iter().filter(|byte| **byte == b'\n').count();
    // A lane holds one count of each block.
    for some in blocks.chunks(usize::from(u8::MAX)) {
        let mut lanes = [0u8; LANES];
        for block in some {
            for (lane, byte) in lanes.iter_mut().zip(block) {
                *lane += u8::from(*byte == b'\n');
            }
        }
        breaks += sum(&lanes);
    }
    breaks
}

/// The sum of bytes, by pairs in words of eight.
fn sum(lanes: &[u8; LANES]) -> usize {
    const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
    let words = lanes.as_chunks::<8>().0.iter();
    let pairs = words.map(|word| u64::from_le_bytes(*word));
    let pairs: u64 = pairs.map(|word| (word & EVEN) + (word >> 8 & EVEN)).sum();
    (0..4)
        .map(|pair| (pairs >> (16 * pair)) as usize & 0xffff)
        .sum()
}

impl LineLengths {
    /// Starts a page: what the page before did not have is forgotten.
    pub(super) fn restart(&mut self) {
        self.lengths.truncate(self.at);
        (self.at, self.wrong) = (0, 0);
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.lengths.capacity() * size_of::<u16>()
    }

    /// How long the lines are that come next, as far as that is foretold.
    #[inline]
    pub(super) fn ahead(&self) -> &[u16] {
        match self.wrong {
            0 => self.lengths.get(self.at..).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Whether so many lines as foretold fill a stretch, at the ends of which there are line breaks. If so, they are passed.
    #[inline]
    pub(super) fn are(&mut self, lines: usize, stretch: &[u8]) -> bool {
        // At least these line breaks are there, and any other divides one of the lines.
        let are = line_breaks(stretch) == lines;
        match are {
            true => self.at += lines,
            false => self.wrong = lines,
        }
        are
    }

    /// Remembers the length of the line that comes next.
    #[inline]
    pub(super) fn set(&mut self, length: usize) {
        self.wrong = self.wrong.saturating_sub(1);
        let length = u16::try_from(length).unwrap_or(0);
        match self.lengths.get_mut(self.at) {
            Some(before) => *before = length,
            None if self.at < LINES_MAX => self.lengths.push(length),
            None => return,
        }
        self.at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn line_breaks_are_counted_wherever_they_are(
            bytes in prop::collection::vec(prop::sample::select(vec![b'\n', b'a', 0x8a, b'\t']), 0..70_000),
        ) {
            prop_assert_eq!(line_breaks(&bytes), bytes.iter().filter(|byte| **byte == b'\n').count());
        }

        /// For any texts: the lengths of one change nothing of how the next is divided.
        #[test]
        fn lengths_of_other_lines_divide_nothing_else(
            texts in prop::collection::vec(prop::collection::vec(0usize..4, 0..40), 1..5),
        ) {
            let mut lengths = LineLengths::default();
            for text in texts {
                let text: String = text.into_iter().map(|length| "x".repeat(length) + "\n").collect();
                let body = text.as_bytes();
                lengths.restart();
                let (mut at, mut ends) = (0, Vec::new());
                while at < body.len() {
                    let (mut end, mut foretold) = (at, Vec::new());
                    for length in lengths.ahead() {
                        let next = end + usize::from(*length);
                        if body.get(next - 1) != Some(&b'\n') {
                            break;
                        }
                        end = next;
                        foretold.push(end);
                    }
                    if lengths.are(foretold.len(), &body[at..end]) {
                        at = end;
                        ends.extend(foretold);
                    }
                    if let Some(length) = memchr::memchr(b'\n', &body[at..]) {
                        lengths.set(length + 1);
                        at += length + 1;
                        ends.push(at);
                    }
                }
                let all: Vec<usize> = (1..=body.len()).filter(|end| body[end - 1] == b'\n').collect();
                prop_assert_eq!(ends, all);
            }
        }
    }
}
