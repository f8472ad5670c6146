//! Compressed pages: any bytes as gzip and as zstd are inflated or refused, within the limit and its memory; what a reference
//! inflates is inflated alike.

use std::io::Read as _;

use stillwell::scrape::{Gunzip, Unzstd};
use stillwell_testing::counting::peak_bytes;

/// The limit of a page.
const LIMIT_BYTES: u64 = 1 << 20;
/// What an inflater may hold beside the page: its state, and a step of the output.
const STATE_BYTES: u64 = 12 << 20;

/// Inflates the bytes as they are, and behind the head of a gzip member.
pub fn run(data: &[u8]) {
    gzip(data);
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    member.extend_from_slice(data);
    gzip(&member);
    let mut out = Vec::new();
    let (_, peak) = peak_bytes(|| Unzstd::default().inflate(data, LIMIT_BYTES, &mut out));
    check(peak, &out);
}

fn gzip(data: &[u8]) {
    let mut out = Vec::new();
    let (ours, peak) = peak_bytes(|| Gunzip::default().inflate(data, LIMIT_BYTES, &mut out));
    check(peak, &out);
    let mut theirs = Vec::new();
    let reference = flate2::read::MultiGzDecoder::new(data);
    let read = reference.take(LIMIT_BYTES + 1).read_to_end(&mut theirs);
    // The reference also refuses reserved flags and long names in headers, which Go takes as we do.
    if ours.is_ok() && read.is_ok() {
        assert_eq!(out, theirs);
    }
}

fn check(peak: u64, out: &[u8]) {
    assert!(out.len() as u64 <= LIMIT_BYTES, "{} bytes", out.len());
    let allowed = 3 * LIMIT_BYTES + STATE_BYTES;
    assert!(peak <= allowed, "{peak} bytes for a limit of {LIMIT_BYTES}");
}
