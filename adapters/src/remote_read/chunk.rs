//! Chunks as Prometheus' TSDB writes them (tsdb/chunkenc): XOR for floats, and one histogram with float counts per chunk:
//! what is read once need not be small.

use std::sync::Arc;

use prost::encoding::encode_varint;
use stillwell_engine::histogram::{Buckets, FloatHistogram, ResetHint};
use stillwell_engine::promql::select::{Samples, is_stale};

use super::messages::Chunk;

/// As many samples as Prometheus puts into a chunk.
const SAMPLES_MAX: usize = 120;

const XOR: i32 = 1;
const FLOAT_HISTOGRAM: i32 = 3;

/// The samples of one series as chunks, in the order of their times.
pub(super) fn chunks(samples: &Samples) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let histogram = |at: usize| samples.histograms.get(at).and_then(Option::as_ref);
    let mut at = 0;
    while at < samples.times_ms.len() {
        if let Some(histogram) = histogram(at) {
            chunks.push(of_histogram(samples.times_ms[at], histogram));
            at += 1;
            continue;
        }
        let from = at;
        while at < samples.times_ms.len() && at - from < SAMPLES_MAX && histogram(at).is_none() {
            at += 1;
        }
        let (times_ms, values) = (&samples.times_ms[from..at], &samples.values[from..at]);
        chunks.push(Chunk {
            min_time_ms: times_ms[0],
            max_time_ms: times_ms[times_ms.len() - 1],
            encoding: XOR,
            data: xor(times_ms, values),
        });
    }
    chunks
}

/// A chunk of floats: the first sample whole, then differences of time steps and the bits that differ between values.
fn xor(times_ms: &[i64], values: &[f64]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(times_ms.len() as u64, 16);
    let (mut leading, mut trailing, mut delta_ms) = (u32::MAX, 0, 0);
    for (at, (time_ms, value)) in times_ms.iter().zip(values).enumerate() {
        match at {
            0 => {
                bits.put_bytes(&zigzag(*time_ms));
                bits.put(value.to_bits(), 64);
                continue;
            }
            1 => {
                delta_ms = time_ms - times_ms[0];
                bits.put_bytes(&varint(delta_ms as u64));
            }
            _ => {
                let next_ms = time_ms - times_ms[at - 1];
                put_step(&mut bits, next_ms - delta_ms);
                delta_ms = next_ms;
            }
        }
        let differs = value.to_bits() ^ values[at - 1].to_bits();
        put_difference(&mut bits, differs, &mut leading, &mut trailing);
    }
    bits.bytes
}

/// How much later or earlier than expected a sample comes.
fn put_step(bits: &mut Bits, difference: i64) {
    match difference {
        0 => bits.put(0, 1),
        _ if fits(difference, 14) => bits.put_tagged(0b10, 2, difference, 14),
        _ if fits(difference, 17) => bits.put_tagged(0b110, 3, difference, 17),
        _ if fits(difference, 20) => bits.put_tagged(0b1110, 4, difference, 20),
        _ => bits.put_tagged(0b1111, 4, difference, 64),
    }
}

/// The bits that differ from the value before; `leading` is `u32::MAX` where none were written yet.
fn put_difference(bits: &mut Bits, differs: u64, leading: &mut u32, trailing: &mut u32) {
    if differs == 0 {
        return bits.put(0, 1);
    }
    bits.put(1, 1);
    // Five bits are for them.
    let (new_leading, new_trailing) = (differs.leading_zeros().min(31), differs.trailing_zeros());
    let fits_before = *leading != u32::MAX && new_leading >= *leading && new_trailing >= *trailing;
    if fits_before {
        bits.put(0, 1);
        bits.put(differs >> *trailing, 64 - *leading - *trailing);
        return;
    }
    (*leading, *trailing) = (new_leading, new_trailing);
    let significant = 64 - new_leading - new_trailing;
    bits.put(1, 1);
    bits.put(u64::from(new_leading), 5);
    bits.put(u64::from(significant), 6); // 64 is written as 0
    bits.put(differs >> new_trailing, significant);
}

/// A chunk of one histogram: how its buckets lie, then its counts.
fn of_histogram(time_ms: i64, histogram: &Arc<FloatHistogram>) -> Chunk {
    let stale = FloatHistogram {
        sum: histogram.sum,
        ..FloatHistogram::default()
    };
    let of = if is_stale(histogram.sum) {
        &stale
    } else {
        &**histogram
    };
    let mut bits = Bits::default();
    bits.put(1, 16);
    let hint = match of.hint {
        ResetHint::Unknown => 0b00,
        ResetHint::NotReset => 0b01,
        ResetHint::Reset => 0b10,
        ResetHint::Gauge => 0b11,
    };
    bits.put(hint << 6, 8);
    put_zero_threshold(&mut bits, of.zero_threshold);
    put_int(&mut bits, i64::from(of.schema));
    put_spans(&mut bits, &of.positive);
    put_spans(&mut bits, &of.negative);
    if of.is_custom() {
        put_uint(&mut bits, of.custom_bounds.len() as u64);
        for bound in &of.custom_bounds {
            bits.put(0, 1); // whole, not as a multiple of a thousandth
            bits.put(bound.to_bits(), 64);
        }
    }
    put_int(&mut bits, time_ms);
    for value in [of.count, of.zero_count, of.sum] {
        bits.put(value.to_bits(), 64);
    }
    for bucket in of.positive.iter().chain(of.negative.iter()) {
        bits.put(bucket.count.to_bits(), 64);
    }
    Chunk {
        min_time_ms: time_ms,
        max_time_ms: time_ms,
        encoding: FLOAT_HISTOGRAM,
        data: bits.bytes,
    }
}

fn put_zero_threshold(bits: &mut Bits, threshold: f64) {
    if threshold == 0.0 {
        bits.put(0, 8);
    } else {
        bits.put(255, 8);
        bits.put(threshold.to_bits(), 64);
    }
}

fn put_spans(bits: &mut Bits, buckets: &Buckets) {
    let spans = buckets.spans();
    put_uint(bits, spans.len() as u64);
    for span in spans {
        put_uint(bits, u64::from(span.length));
        put_int(bits, i64::from(span.offset));
    }
}

/// Sizes of numbers beyond 0, by the ones that begin their tag; the last two have tags of eight bits.
const SIZES: [u32; 8] = [3, 6, 9, 12, 18, 25, 56, 64];

fn put_int(bits: &mut Bits, value: i64) {
    if value == 0 {
        return bits.put(0, 1);
    }
    let at = SIZES.iter().position(|size| fits(value, *size));
    put_sized(bits, at.unwrap_or(SIZES.len() - 1), value as u64);
}

fn put_uint(bits: &mut Bits, value: u64) {
    if value == 0 {
        return bits.put(0, 1);
    }
    let at = SIZES
        .iter()
        .position(|size| *size == 64 || value >> size == 0);
    put_sized(bits, at.unwrap_or(SIZES.len() - 1), value);
}

fn put_sized(bits: &mut Bits, at: usize, value: u64) {
    let ones = at as u32 + 1;
    let last = SIZES.len() - 1;
    match at == last {
        true => bits.put(0xff, 8),
        false => bits.put(((1 << ones) - 1) << 1, ones + 1),
    }
    bits.put(value, SIZES[at]);
}

/// Whether so many bits hold a number, as the readers take them.
fn fits(value: i64, bits: u32) -> bool {
    if bits >= 64 {
        return true;
    }
    let half = 1_i64 << (bits - 1);
    (1 - half..=half).contains(&value)
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    encode_varint(value, &mut bytes);
    bytes
}

fn zigzag(value: i64) -> Vec<u8> {
    varint(((value << 1) ^ (value >> 63)) as u64)
}

/// Bits, the highest of each byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are free.
    free: u32,
}

impl Bits {
    /// Appends the lowest `count` bits of `value`.
    fn put(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let now = left.min(self.free);
            let part = value >> (left - now) & ((1 << now) - 1);
            let last = self.bytes.len() - 1;
            self.bytes[last] |= (part << (self.free - now)) as u8;
            self.free -= now;
            left -= now;
        }
    }

    fn put_tagged(&mut self, tag: u64, tag_bits: u32, value: i64, bits: u32) {
        self.put(tag, tag_bits);
        self.put(value as u64, bits);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.put(u64::from(*byte), 8);
        }
    }
}
