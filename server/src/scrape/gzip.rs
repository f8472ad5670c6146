//! Inflates gzipped pages with a state that is reused, into a buffer that never grows past the limit.
//!
//! A new inflater per page costs three times the inflating itself, so the container (RFC 1952) is read here.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::error::ScrapeError;
use crate::http_client::HttpError;

const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
/// What metrics inflate to, in times of their size, at most: text of metrics is some 10 to 30 times its compressed size.
const RATIO_MAX: u64 = 200;
/// Up to here the ratio does not matter.
const SMALL_BYTES: u64 = 4 << 20;
/// Of so many members or frames a page may be, and of one more for each so many bytes of it. Encoders write one, those that work
/// in parallel one for some hundred kilobytes. A frame of zstd takes 87 us, also an empty one of 9 bytes.
const PARTS_MAX: usize = 64;
const PART_BYTES: usize = 64 << 10;
/// The output grows by this much at a time.
const STEP_BYTES: usize = 256 << 10;

/// Reusable state for one page at a time.
pub struct Gunzip {
    state: Decompress,
}

impl Default for Gunzip {
    fn default() -> Gunzip {
        Gunzip {
            state: Decompress::new(false),
        }
    }
}

impl Gunzip {
    /// Replaces the contents of `out` with the inflated `page` (one or several members).
    pub fn inflate(
        &mut self,
        page: &[u8],
        limit_bytes: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), ScrapeError> {
        out.clear();
        let mut rest = page;
        for members in 1.. {
            check_parts(page.len(), members).map_err(ScrapeError::Gzip)?;
            rest = self.member(header(rest)?, limit_bytes, out)?;
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Inflates one member and returns what follows it.
    fn member<'p>(
        &mut self,
        body: &'p [u8],
        limit_bytes: u64,
        out: &mut Vec<u8>,
    ) -> Result<&'p [u8], ScrapeError> {
        self.state.reset(false);
        let start = out.len();
        loop {
            let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
            if out.len() == out.capacity() {
                // One byte past the limit tells a page that ends there from one that does not.
                let room = limit.saturating_add(1).saturating_sub(out.len());
                out.reserve_exact(room.min(STEP_BYTES.max(out.len())));
            }
            let before = (self.state.total_in(), self.state.total_out());
            let consumed = before.0 as usize;
            let status = self
                .state
                .decompress_vec(&body[consumed..], out, FlushDecompress::None)
                .map_err(|_| ScrapeError::Gzip("the data is damaged"))?;
            check_size(out.len(), limit_bytes)?;
            let (read, inflated) = (self.state.total_in(), self.state.total_out());
            check_ratio(read, inflated).map_err(ScrapeError::Gzip)?;
            if status == Status::StreamEnd {
                break;
            }
            let stuck = before == (self.state.total_in(), self.state.total_out());
            if stuck && out.len() < out.capacity() {
                return Err(ScrapeError::Gzip("the data ends early"));
            }
        }
        let rest = &body[self.state.total_in() as usize..];
        let trailer = rest
            .first_chunk::<TRAILER_BYTES>()
            .ok_or(ScrapeError::Gzip("the data ends early"))?;
        let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
        let mut crc = Crc::new();
        crc.update(&out[start..]);
        let length = (out.len() - start) as u32; // the format counts modulo 2^32
        if u32::from_le_bytes([c0, c1, c2, c3]) != crc.sum()
            || u32::from_le_bytes([l0, l1, l2, l3]) != length
        {
            return Err(ScrapeError::Gzip("the checksum is wrong"));
        }
        Ok(&rest[TRAILER_BYTES..])
    }
}

/// Refuses a page that inflates past the limit.
pub(super) fn check_size(inflated_bytes: usize, limit_bytes: u64) -> Result<(), ScrapeError> {
    match inflated_bytes as u64 > limit_bytes {
        true => Err(ScrapeError::Http(HttpError::TooLarge {
            limit_bytes,
            inflated: true,
        })),
        false => Ok(()),
    }
}

/// Refuses a page that inflates as no page of metrics does.
pub(super) fn check_ratio(sent_bytes: u64, inflated_bytes: u64) -> Result<(), &'static str> {
    match inflated_bytes > SMALL_BYTES && inflated_bytes / (sent_bytes + 1) > RATIO_MAX {
        true => Err("it inflates to more than 200 times its size, which no page of metrics does"),
        false => Ok(()),
    }
}

/// Refuses a page of more members, or frames, than anything writes: each costs time, also where nothing is in it.
pub(super) fn check_parts(page_bytes: usize, parts: usize) -> Result<(), &'static str> {
    match parts > PARTS_MAX + page_bytes / PART_BYTES {
        true => Err("it is of more pieces than anything that compresses a page makes"),
        false => Ok(()),
    }
}

/// Passes over a member's header.
fn header(member: &[u8]) -> Result<&[u8], ScrapeError> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const CHECKSUM: u8 = 2;
    let short = ScrapeError::Gzip("the header ends early");
    let Some((fixed, mut rest)) = member.split_first_chunk::<HEADER_BYTES>() else {
        return Err(short);
    };
    if fixed[..3] != [0x1f, 0x8b, 8] {
        return Err(ScrapeError::Gzip("the header is not gzip's"));
    }
    let flags = fixed[3];
    let skip = |rest: &mut &[u8], count: usize| match rest.get(count..) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    };
    let skip_text = |rest: &mut &[u8]| match rest.iter().position(|b| *b == 0) {
        Some(end) => skip(rest, end + 1),
        None => false,
    };
    let extra = |rest: &mut &[u8]| match rest.first_chunk::<2>() {
        Some(length) => skip(rest, 2 + usize::from(u16::from_le_bytes(*length))),
        None => false,
    };
    let whole = (flags & EXTRA == 0 || extra(&mut rest))
        && (flags & NAME == 0 || skip_text(&mut rest))
        && (flags & COMMENT == 0 || skip_text(&mut rest))
        && (flags & CHECKSUM == 0 || rest.len() >= 2);
    if !whole {
        return Err(short);
    }
    if flags & CHECKSUM == 0 {
        return Ok(rest);
    }
    let (sum, after) = rest.split_at(2);
    let mut crc = Crc::new();
    crc.update(&member[..member.len() - rest.len()]);
    match sum == &crc.sum().to_le_bytes()[..2] {
        true => Ok(after),
        false => Err(ScrapeError::Gzip("the checksum of the header is wrong")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let builder = GzBuilder::new().filename("page").comment("c").extra("xx");
        let mut encoder = builder.write(Vec::new(), Compression::best());
        encoder.write_all(text).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    #[test]
    fn pages_come_back_and_the_state_can_be_used_again() {
        let mut gunzip = Gunzip::default();
        let mut out = Vec::new();
        for length in [0, 1, 70_000, 3_000_000] {
            let text: Vec<u8> = (0..length).map(|i| (i * 7 % 251) as u8).collect();
            gunzip
                .inflate(&gzip(&text), 1 << 30, &mut out)
                .expect("valid");
            assert!(out == text, "{length}");
        }
        let two = [gzip(b"one "), gzip(b"two")].concat();
        gunzip.inflate(&two, 100, &mut out).expect("valid");
        assert_eq!(out, b"one two");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 50 << 20]);
        let mut out = Vec::new();
        let refused = Gunzip::default().inflate(&bomb, 1 << 30, &mut out);
        assert!(
            matches!(refused, Err(ScrapeError::Gzip(why)) if why.contains("200 times")),
            "{refused:?}"
        );
        assert!(out.capacity() <= 16 << 20, "{}", out.capacity());
        out = Vec::new();
        let result = Gunzip::default().inflate(&bomb, 1 << 20, &mut out);
        assert!(
            matches!(
                result,
                Err(ScrapeError::Http(HttpError::TooLarge {
                    inflated: true,
                    ..
                }))
            ),
            "{result:?}"
        );
        assert!(out.capacity() <= 2 << 20, "{}", out.capacity());
        let exact = gzip(&[7; 1000]);
        assert!(
            Gunzip::default()
                .inflate(&exact, 1000, &mut Vec::new())
                .is_ok()
        );
        assert!(
            Gunzip::default()
                .inflate(&exact, 999, &mut Vec::new())
                .is_err()
        );
    }

    #[test]
    fn every_truncation_and_damage_is_an_error() {
        let whole = gzip(b"some text of a page, some text of a page");
        let mut gunzip = Gunzip::default();
        let mut out = Vec::new();
        for end in 0..whole.len() {
            assert!(
                gunzip.inflate(&whole[..end], 1000, &mut out).is_err(),
                "{end}"
            );
        }
        let mut wrong = whole.clone();
        let at = wrong.len() - 6;
        wrong[at] ^= 1;
        assert!(gunzip.inflate(&wrong, 1000, &mut out).is_err());
        assert!(
            gunzip
                .inflate(&[whole, b"junk".to_vec()].concat(), 1000, &mut out)
                .is_err()
        );
    }
}
