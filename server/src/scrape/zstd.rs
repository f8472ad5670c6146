//! Inflates zstd pages (RFC 8878) with a state that is reused, into a buffer that never grows past the limit.

use std::io::Read;

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::error::ScrapeError;
use super::gzip::{check_parts, check_ratio, check_size};

/// A frame that asks for a larger window is refused: every decoder has to take 8 MiB, and pages need no more.
const WINDOW_BYTES_MAX: u64 = 8 << 20;
/// The output grows by this much at a time.
const STEP_BYTES: usize = 256 << 10;

/// Reusable state for one page at a time.
pub struct Unzstd {
    state: FrameDecoder,
}

impl Default for Unzstd {
    fn default() -> Unzstd {
        let mut state = FrameDecoder::new();
        state.set_max_window_size(WINDOW_BYTES_MAX);
        Unzstd { state }
    }
}

impl Unzstd {
    /// Replaces the contents of `out` with the inflated `page` (one or several frames).
    pub fn inflate(
        &mut self,
        page: &[u8],
        limit_bytes: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), ScrapeError> {
        out.clear();
        let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        let mut rest = page;
        let mut frames = 0;
        while !rest.is_empty() {
            frames += 1;
            check_parts(page.len(), frames).map_err(ScrapeError::Zstd)?;
            self.frame(page.len(), &mut rest, limit, out)?;
        }
        Ok(())
    }

    /// Inflates one frame off the front of `rest`.
    fn frame(
        &mut self,
        page_bytes: usize,
        rest: &mut &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ScrapeError> {
        let damaged = |_| ScrapeError::Zstd("the data is damaged or ends early");
        let frame = StreamingDecoder::new_with_decoder(&mut *rest, &mut self.state);
        let mut frame = frame.map_err(|_| {
            ScrapeError::Zstd(
                "it does not begin with a frame, or asks for a window of more than 8 MiB",
            )
        })?;
        loop {
            let before = out.len();
            // One byte past the limit tells a page that ends there from one that does not.
            let room = limit
                .saturating_add(1)
                .saturating_sub(before)
                .min(STEP_BYTES);
            out.resize(before + room, 0);
            let read = frame.read(&mut out[before..]);
            out.truncate(before + *read.as_ref().unwrap_or(&0));
            let read = read.map_err(damaged)?;
            check_size(out.len(), limit as u64)?;
            check_ratio(page_bytes as u64, out.len() as u64).map_err(ScrapeError::Zstd)?;
            if read == 0 {
                break;
            }
        }
        let told = self.state.get_checksum_from_data();
        match told.is_none() || told == self.state.get_calculated_checksum() {
            true => Ok(()),
            false => Err(ScrapeError::Zstd("the checksum is wrong")),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;
    use crate::http_client::HttpError;

    fn zstd(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    #[test]
    fn pages_come_back_and_the_state_can_be_used_again() {
        let mut unzstd = Unzstd::default();
        let mut out = Vec::new();
        for length in [0, 1, 70_000, 1_000_000] {
            let text: Vec<u8> = (0..length).map(|i| (i * 7 % 251) as u8).collect();
            let result = unzstd.inflate(&zstd(&text), 1 << 30, &mut out);
            assert!(result.is_ok() && out == text, "{length}: {result:?}");
        }
        let two = [zstd(b"one "), zstd(b"two")].concat();
        unzstd.inflate(&two, 100, &mut out).expect("valid");
        assert_eq!(out, b"one two");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = zstd(&vec![0; 50 << 20]);
        let mut out = Vec::new();
        let refused = Unzstd::default().inflate(&bomb, 1 << 30, &mut out);
        assert!(
            matches!(refused, Err(ScrapeError::Zstd(why)) if why.contains("200 times")),
            "{refused:?}"
        );
        assert!(out.capacity() <= 16 << 20, "{}", out.capacity());
        out = Vec::new();
        let refused = Unzstd::default().inflate(&bomb, 1 << 20, &mut out);
        assert!(
            matches!(refused, Err(ScrapeError::Http(HttpError::TooLarge { .. }))),
            "{refused:?}"
        );
        assert!(out.capacity() <= 4 << 20, "{}", out.capacity());
        // A frame whose header asks for a window of 128 MiB.
        let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
        let refused = Unzstd::default().inflate(&wide, 1 << 30, &mut out);
        assert!(refused.is_err(), "{refused:?}");
    }

    /// 4.5 MB of them took 43 s, in which no other large page was read.
    #[test]
    fn a_page_of_empty_frames_is_refused_after_few() {
        let empty = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x00, 0x01, 0x00, 0x00];
        let mut out = Vec::new();
        let page = empty.repeat(500_000);
        let refused = Unzstd::default().inflate(&page, 1 << 30, &mut out);
        assert!(
            matches!(refused, Err(ScrapeError::Zstd(why)) if why.contains("pieces")),
            "{refused:?}"
        );
        let few = [empty.repeat(60), zstd(b"m 1\n")].concat();
        let taken = Unzstd::default().inflate(&few, 1 << 30, &mut out);
        assert!(taken.is_ok() && out == b"m 1\n", "{taken:?}");
    }

    #[test]
    fn every_truncation_is_an_error_and_damage_no_panic() {
        let whole = zstd(b"some text of a page, some text of a page, some text of a page");
        let mut out = Vec::new();
        for end in 1..whole.len() {
            let result = Unzstd::default().inflate(&whole[..end], 1_000, &mut out);
            assert!(result.is_err(), "{end}");
        }
        for at in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[at] ^= 0x41;
            // The checksum is optional, so that not every damage can be told.
            let _ = Unzstd::default().inflate(&wrong, 1_000, &mut out);
        }
    }
}
