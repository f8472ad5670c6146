//! The format of history: a stream of *runs*, byte by byte.
//!
//! A run is a value and its length: in ticks for scraped series (an unchanged scrape writes nothing), in milliseconds
//! until the next sample for series with explicit timestamps. A value is encoded relative to the one before: small
//! integer steps in one or two bytes, everything else as the bytes in which the two differ.
//!
//! ```text
//!  op    = head | kind:4 gap:4 |  and body | gap bytes 0..8 | value bytes 0..9 |
//!  gap   0..=11 is 1..=12     12 as in the op before     13 one byte, plus 13     14 two bytes     15 eight bytes
//!  kind  0 the same value     1 stale marker             2 plus one               3 minus one
//!        4 | i8 |             5 | i16 |                  6 | i32 |                integer step
//!        7 reserved           8..=14 | zero bytes below | 1..=7 bytes of XOR |    15 | 8 bytes |
//! ```
//!
//! All little-endian. In a block the heads stand at the front, and the bodies at the end, the first one last: where an
//! op's head is does not depend on the lengths of those before it, so a processor reads many at a time, and a body lies at
//! the end of the eight bytes before it, of which a shift makes the number.
//!
//! Each block starts anew (value before: 0; gap before: 1), so that blocks can be dropped from the front. Budget: 2 bytes
//! for a changed counter, 0 for an unchanged value; 2 ns to read ([`Encoded::fill`]), 3 ns to write. Bench: `history`.

/// The longest op.
pub(crate) const OP_BYTES_MAX: usize = 1 + 8 + 9;

/// Ops that are read at once: no block has more.
pub(crate) const OPS_AT_ONCE: usize = 224;

/// Prometheus' staleness marker.
pub(crate) const STALE: u64 = crate::promql::select::STALE_NAN_BITS;

const GAP_AS_BEFORE: u8 = 12;
const GAP_ONE_BYTE: u8 = 13;
const GAP_TWO_BYTES: u8 = 14;
const GAP_EIGHT_BYTES: u8 = 15;

const KIND_SAME: u8 = 0;
const KIND_STALE: u8 = 1;
const KIND_PLUS_ONE: u8 = 2;
const KIND_MINUS_ONE: u8 = 3;
const KIND_STEP_I8: u8 = 4;
const KIND_STEP_I16: u8 = 5;
const KIND_STEP_I32: u8 = 6;
const KIND_XOR_BASE: u8 = 7;
const KIND_WHOLE: u8 = 15;

/// Integers of this size and below have neighbours exactly one apart, so steps between them are exact.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// The state of encoder and decoder before an op.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodecState {
    pub(crate) bits: u64,
    pub(crate) gap: i64,
}

impl CodecState {
    /// At the start of a block.
    pub(crate) const START: CodecState = CodecState { bits: 0, gap: 1 };
}

/// A value and the length of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) bits: u64,
    pub(crate) gap: i64,
}

/// Writes a run: the head to the start of `out`, and the body behind it. Returns the number of bytes.
pub(crate) fn encode(before: CodecState, run: Run, out: &mut [u8; OP_BYTES_MAX]) -> usize {
    let (gap_code, gap_len) = encode_gap(before.gap, run.gap, &mut out[1..9]);
    let value_at = 1 + gap_len;
    let (kind, value_len) = encode_value(before.bits, run.bits, &mut out[value_at..]);
    out[0] = kind << 4 | gap_code;
    value_at + value_len
}

fn encode_gap(before: i64, gap: i64, out: &mut [u8]) -> (u8, usize) {
    if (1..=12).contains(&gap) {
        return ((gap - 1) as u8, 0);
    }
    if gap == before {
        return (GAP_AS_BEFORE, 0);
    }
    if let Ok(small) = u8::try_from(gap - 13) {
        out[0] = small;
        return (GAP_ONE_BYTE, 1);
    }
    if let Ok(medium) = u16::try_from(gap) {
        out[..2].copy_from_slice(&medium.to_le_bytes());
        return (GAP_TWO_BYTES, 2);
    }
    out[..8].copy_from_slice(&gap.to_le_bytes());
    (GAP_EIGHT_BYTES, 8)
}

fn encode_value(before: u64, bits: u64, out: &mut [u8]) -> (u8, usize) {
    if bits == before {
        return (KIND_SAME, 0);
    }
    if bits == STALE {
        return (KIND_STALE, 0);
    }
    if let Some(step) = integer_step(before, bits) {
        if step == 1 {
            return (KIND_PLUS_ONE, 0);
        }
        if step == -1 {
            return (KIND_MINUS_ONE, 0);
        }
        if let Ok(step) = i8::try_from(step) {
            out[0] = step as u8;
            return (KIND_STEP_I8, 1);
        }
        if let Ok(step) = i16::try_from(step) {
            out[..2].copy_from_slice(&step.to_le_bytes());
            return (KIND_STEP_I16, 2);
        }
        if let Ok(step) = i32::try_from(step) {
            out[..4].copy_from_slice(&step.to_le_bytes());
            return (KIND_STEP_I32, 4);
        }
    }
    let xor = before ^ bits;
    let zeros_below = xor.trailing_zeros() as usize / 8;
    let len = 8 - zeros_below - xor.leading_zeros() as usize / 8;
    if len == 8 {
        out[..8].copy_from_slice(&xor.to_le_bytes());
        return (KIND_WHOLE, 8);
    }
    out[0] = zeros_below as u8;
    out[1..=len].copy_from_slice(&(xor >> (8 * zeros_below)).to_le_bytes()[..len]);
    (KIND_XOR_BASE + len as u8, 1 + len)
}

/// The step between two integers where adding it gives exactly the second (so not to or from -0).
fn integer_step(before: u64, bits: u64) -> Option<i64> {
    let (from, to) = (f64::from_bits(before), f64::from_bits(bits));
    if !(from.abs() <= INTEGER_MAX && to.abs() <= INTEGER_MAX) {
        return None;
    }
    let step = to as i64 - from as i64;
    let exact = (from as i64 as f64).to_bits() == before && (to as i64 as f64).to_bits() == bits;
    exact.then_some(step)
}

/// The ops of one block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Encoded<'a> {
    /// One byte an op.
    pub(crate) heads: &'a [u8],
    /// Ends with the bodies, the first one last. What stands before them does not matter.
    pub(crate) bodies: &'a [u8],
}

/// How an op is read whose value is a step of a whole number and whose gap needs no body.
#[derive(Clone, Copy)]
struct ShortOp {
    /// Bytes of its body, or `NOT_SHORT`.
    len: u8,
    /// How far the eight bytes at its end are shifted down.
    shift: u8,
    /// What of the shifted bytes counts: all or nothing.
    mask: i8,
    /// What the step is beside that.
    plus: i8,
}

const NOT_SHORT: u8 = u8::MAX;

/// By head.
static SHORT_OPS: [ShortOp; 256] = short_ops();

const fn short_ops() -> [ShortOp; 256] {
    let op = ShortOp {
        len: NOT_SHORT,
        shift: 0,
        mask: 0,
        plus: 0,
    };
    let mut ops = [op; 256];
    let mut head = 0;
    while head < 256 {
        let (kind, gap) = ((head >> 4) as u8, (head & 0x0f) as u8);
        let (len, plus) = match kind {
            KIND_SAME => (0, 0),
            KIND_PLUS_ONE => (0, 1),
            KIND_MINUS_ONE => (0, -1),
            KIND_STEP_I8 => (1, 0),
            KIND_STEP_I16 => (2, 0),
            KIND_STEP_I32 => (4, 0),
            _ => (NOT_SHORT, 0),
        };
        if len != NOT_SHORT && gap <= GAP_AS_BEFORE {
            ops[head] = ShortOp {
                len,
                shift: if len == 0 { 0 } else { 64 - 8 * len },
                mask: if len == 0 { 0 } else { -1 },
                plus,
            };
        }
        head += 1;
    }
    ops
}

/// A copy of bodies, from which eight bytes can be read anywhere without a check: a block has at most 224.
struct Bodies {
    bytes: [u8; Bodies::END + 8],
    len: usize,
}

impl Bodies {
    const END: usize = 256;

    /// `None` where there are too many.
    #[inline]
    fn copy(bodies: &[u8]) -> Option<Bodies> {
        let mut bytes = [0; Bodies::END + 8];
        let place = bytes.get_mut((Bodies::END - 8).checked_sub(bodies.len())? + 8..Bodies::END)?;
        place.copy_from_slice(bodies);
        Some(Bodies {
            bytes,
            len: bodies.len(),
        })
    }

    /// The eight bytes before those of which `left` are left.
    #[inline]
    fn word(&self, left: usize) -> u64 {
        let start = left.wrapping_add(Bodies::END - 8).wrapping_sub(self.len) % Bodies::END;
        let word = self.bytes[start..].first_chunk().copied();
        u64::from_le_bytes(word.unwrap_or_default())
    }
}

impl<'a> Encoded<'a> {
    /// The sum of all gaps.
    pub(crate) fn gaps(self) -> i64 {
        let mut sum = 0i64;
        self.each(|_, gap| sum = sum.wrapping_add(gap));
        sum
    }

    /// Calls `visit` with the bits and the gap of each run, oldest first.
    #[inline]
    pub(crate) fn each(self, mut visit: impl FnMut(u64, i64)) {
        if self.heads.len() > OPS_AT_ONCE {
            return Runs::new(self).for_each(|run| visit(run.bits, run.gap));
        }
        let (mut values, mut gaps) = ([0.0; OPS_AT_ONCE], [0; OPS_AT_ONCE]);
        let read = self.fill(&mut values, &mut gaps);
        for (value, gap) in values.iter().zip(&gaps).take(read) {
            visit(value.to_bits(), *gap);
        }
    }

    /// Writes the values and gaps of all runs, oldest first, for each of which there has to be a place. Returns how many
    /// there are.
    pub(crate) fn fill(self, values: &mut [f64], gaps: &mut [i64]) -> usize {
        let mut runs = Runs::new(self);
        let bodies = Bodies::copy(self.bodies);
        let mut filled = 0;
        loop {
            if let Some(bodies) = &bodies {
                filled += runs.steps(bodies, &mut values[filled..], &mut gaps[filled..]);
                filled += runs.xors(bodies, &mut values[filled..], &mut gaps[filled..]);
            }
            let places = values.get_mut(filled).zip(gaps.get_mut(filled));
            let Some(((value, gap), run)) = places.zip(runs.next()) else {
                return filled;
            };
            (*value, *gap) = (f64::from_bits(run.bits), run.gap);
            filled += 1;
        }
    }
}

/// Reads the ops of one block, one by one.
pub(crate) struct Runs<'a> {
    rest: Encoded<'a>,
    state: CodecState,
}

impl<'a> Runs<'a> {
    /// Over the ops of a block.
    pub(crate) fn new(encoded: Encoded<'a>) -> Runs<'a> {
        Runs {
            rest: encoded,
            state: CodecState::START,
        }
    }

    /// Reads steps of whole numbers for as long as there are any: nothing but their end is a branch. Returns how many.
    fn steps(&mut self, bodies: &Bodies, values: &mut [f64], gaps: &mut [i64]) -> usize {
        let Some(mut number) = whole(self.state.bits) else {
            return 0;
        };
        let (mut left, mut read) = (self.rest.bodies.len(), 0);
        for (&head, value) in self.rest.heads.iter().zip(values) {
            let op = SHORT_OPS[usize::from(head)];
            if op.len == NOT_SHORT {
                break;
            }
            let step = (bodies.word(left) as i64 >> (op.shift & 63)) & i64::from(op.mask);
            number = number.wrapping_add(step).wrapping_add(i64::from(op.plus));
            left = left.wrapping_sub(usize::from(op.len));
            *value = number as f64;
            read += 1;
        }
        if read > 0 {
            self.state.bits = (number as f64).to_bits();
            self.advance(read, left, gaps);
        }
        read
    }

    /// The same for values that differ from the one before by some bits, as fractions do.
    fn xors(&mut self, bodies: &Bodies, values: &mut [f64], gaps: &mut [i64]) -> usize {
        let (mut left, mut read) = (self.rest.bodies.len(), 0);
        let mut bits = self.state.bits;
        for (&head, value) in self.rest.heads.iter().zip(values) {
            let (kind, code) = (head >> 4, head & 0x0f);
            if kind <= KIND_XOR_BASE || code > GAP_AS_BEFORE {
                break;
            }
            let word = bodies.word(left);
            let len = u32::from(kind - KIND_XOR_BASE);
            // The bytes of the XOR, and below them how many zero bytes follow it.
            let parted = word >> (56u32.wrapping_sub(8 * len) & 63);
            let parted = (parted >> 8) << (8 * (parted & 7));
            let is_whole = kind == KIND_WHOLE;
            bits ^= if is_whole { word } else { parted };
            left = left.wrapping_sub(if is_whole { 8 } else { len as usize + 1 });
            *value = f64::from_bits(bits);
            read += 1;
        }
        if read > 0 {
            self.state.bits = bits;
            self.advance(read, left, gaps);
        }
        read
    }

    /// Goes on behind ops that were read and have no gap in their bodies; these are written to `gaps`.
    fn advance(&mut self, read: usize, left: usize, gaps: &mut [i64]) {
        let (heads, rest) = self.rest.heads.split_at(read);
        let mut gap = self.state.gap;
        for (&head, place) in heads.iter().zip(gaps) {
            let code = head & 0x0f;
            gap = if code == GAP_AS_BEFORE {
                gap
            } else {
                i64::from(code) + 1
            };
            *place = gap;
        }
        self.state.gap = gap;
        self.rest = Encoded {
            heads: rest,
            // What an encoder wrote has all of its bodies.
            bodies: self.rest.bodies.get(..left).unwrap_or_default(),
        };
    }

    fn take<const N: usize>(body: &mut &[u8]) -> Option<[u8; N]> {
        let (taken, rest) = body.split_first_chunk::<N>()?;
        *body = rest;
        Some(*taken)
    }

    fn step(&self, step: i64) -> u64 {
        ((f64::from_bits(self.state.bits) as i64).wrapping_add(step) as f64).to_bits()
    }

    fn value(&self, kind: u8, mut body: &[u8]) -> Option<u64> {
        Some(match kind {
            KIND_SAME => self.state.bits,
            KIND_STALE => STALE,
            KIND_PLUS_ONE => self.step(1),
            KIND_MINUS_ONE => self.step(-1),
            KIND_STEP_I8 => {
                let [step] = Self::take::<1>(&mut body)?;
                self.step(i64::from(step as i8))
            }
            KIND_STEP_I16 => {
                let step = i16::from_le_bytes(Self::take(&mut body)?);
                self.step(i64::from(step))
            }
            KIND_STEP_I32 => {
                let step = i32::from_le_bytes(Self::take(&mut body)?);
                self.step(i64::from(step))
            }
            KIND_WHOLE => self.state.bits ^ u64::from_le_bytes(Self::take(&mut body)?),
            _ => {
                let [zeros_below] = Self::take::<1>(&mut body)?;
                let mut xor = [0; 8];
                xor.get_mut(..body.len())?.copy_from_slice(body);
                self.state.bits ^ u64::from_le_bytes(xor) << (8 * u32::from(zeros_below % 8))
            }
        })
    }
}

/// Bytes of a gap's part of a body.
fn gap_len(code: u8) -> usize {
    match code {
        GAP_ONE_BYTE => 1,
        GAP_TWO_BYTES => 2,
        GAP_EIGHT_BYTES => 8,
        _ => 0,
    }
}

/// Bytes of a value's part of a body.
fn value_len(kind: u8) -> usize {
    match kind {
        KIND_SAME | KIND_STALE | KIND_PLUS_ONE | KIND_MINUS_ONE => 0,
        KIND_STEP_I8 => 1,
        KIND_STEP_I16 => 2,
        KIND_STEP_I32 => 4,
        KIND_WHOLE => 8,
        xor => 1 + usize::from(xor - KIND_XOR_BASE),
    }
}

/// The number of which a step leads to another one, where the value is one.
#[inline]
fn whole(bits: u64) -> Option<i64> {
    let number = f64::from_bits(bits) as i64;
    let exact = (number as f64).to_bits() == bits && number.unsigned_abs() <= 1 << 53;
    exact.then_some(number)
}

impl Iterator for Runs<'_> {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        let (&head, heads) = self.rest.heads.split_first()?;
        let (kind, code) = (head >> 4, head & 0x0f);
        let len = gap_len(code) + value_len(kind);
        let start = self.rest.bodies.len().checked_sub(len)?;
        let (bodies, mut body) = self.rest.bodies.split_at(start);
        let gap = match code {
            GAP_AS_BEFORE => self.state.gap,
            GAP_ONE_BYTE => i64::from(Self::take::<1>(&mut body)?[0]) + 13,
            GAP_TWO_BYTES => i64::from(u16::from_le_bytes(Self::take(&mut body)?)),
            GAP_EIGHT_BYTES => i64::from_le_bytes(Self::take(&mut body)?),
            small => i64::from(small) + 1,
        };
        let bits = self.value(kind, body)?;
        self.rest = Encoded { heads, bodies };
        self.state = CodecState { bits, gap };
        Some(Run { bits, gap })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_bits() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            any::<f64>().prop_map(f64::to_bits),
            (-300i64..300).prop_map(|n| (n as f64).to_bits()),
            any::<i32>().prop_map(|n| f64::from(n).to_bits()),
            (-1000i32..1000).prop_map(|n| (f64::from(n) / 8.0).to_bits()),
            Just(STALE),
            Just((-0.0f64).to_bits()),
            Just(9_007_199_254_740_993.0f64.to_bits()),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            runs in prop::collection::vec((any_bits(), prop_oneof![1i64..20, 1i64..70_000, any::<i64>()]), 0..200),
            context in 0usize..9,
        ) {
            let mut state = CodecState::START;
            let (mut heads, mut bodies) = (Vec::new(), std::collections::VecDeque::new());
            let mut out = [0; OP_BYTES_MAX];
            for &(bits, gap) in &runs {
                let len = encode(state, Run { bits, gap }, &mut out);
                heads.push(out[0]);
                out[1..len].iter().rev().for_each(|byte| bodies.push_front(*byte));
                state = CodecState { bits, gap };
            }
            (0..context).for_each(|_| bodies.push_front(0xa5));
            let encoded = Encoded { heads: &heads, bodies: bodies.make_contiguous() };
            let read: Vec<(u64, i64)> = Runs::new(encoded).map(|run| (run.bits, run.gap)).collect();
            prop_assert_eq!(&read, &runs);
            let (mut values, mut gaps) = (vec![0.0; runs.len()], vec![0; runs.len()]);
            prop_assert_eq!(encoded.fill(&mut values, &mut gaps), runs.len());
            let filled: Vec<(u64, i64)> = values.iter().map(|value| value.to_bits()).zip(gaps).collect();
            prop_assert_eq!(&filled, &runs);
        }

        #[test]
        fn garbage_ends_and_does_not_panic(
            heads in prop::collection::vec(any::<u8>(), 0..300), bodies in prop::collection::vec(any::<u8>(), 0..600)
        ) {
            let encoded = Encoded { heads: &heads, bodies: &bodies };
            prop_assert!(Runs::new(encoded).count() <= heads.len());
            let (mut values, mut gaps) = (vec![0.0; heads.len()], vec![0; heads.len()]);
            prop_assert!(encoded.fill(&mut values, &mut gaps) <= heads.len());
        }
    }

    #[test]
    fn a_counter_that_moves_costs_one_or_two_bytes() {
        let mut out = [0; OP_BYTES_MAX];
        let before = CodecState {
            bits: 41.0f64.to_bits(),
            gap: 1,
        };
        for (value, gap, len) in [
            (42.0f64, 5, 1),
            (141.0, 5, 2),
            (5000.0, 12, 3),
            (42.0, 100, 2),
            (41.5, 1, 3),
        ] {
            assert_eq!(
                encode(
                    before,
                    Run {
                        bits: value.to_bits(),
                        gap
                    },
                    &mut out
                ),
                len,
                "{value} {gap}"
            );
        }
    }
}
