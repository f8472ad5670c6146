//! The chunked coding (RFC 9112, 7.1), taken off in place: what was read stands in the page's buffer, and the data of
//! its chunks moves down over their sizes.
//!
//! ```text
//!  read    | 1a8 CRLF | data | CRLF | 2000 CRLF | data ...
//!  page    | data | data ...
//! ```

/// Digits of a chunk's size; more do not fit 64 bits.
const SIZE_DIGITS_MAX: u32 = 16;
/// Bytes beside data that may come in a row: chunk extensions and trailers are nobody's.
const EXTRA_BYTES_MAX: usize = 16 << 10;

/// Where in the coding the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the size's digits; how many there were.
    Size(u32),
    /// After them, up to the end of the line.
    Extension,
    Data,
    /// The end of line after the data: before CR, before LF.
    DataCr,
    DataLf,
    /// In the lines after the last chunk; whether the present one is empty so far.
    Trailer(bool),
    Done,
}

/// The state between two reads.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    at: At,
    /// Of the chunk: its size so far, then what is left of it.
    left: u64,
    extra: usize,
}

impl Default for Chunks {
    fn default() -> Chunks {
        Chunks {
            at: At::Size(0),
            left: 0,
            extra: 0,
        }
    }
}

impl Chunks {
    /// Whether the last chunk and what follows it were there.
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Takes the coding off `page[from..]`, which was read just now, and shortens the page to its data. An error says
    /// what is wrong; bytes after the end are one, for nobody asked for more.
    pub fn take_off(&mut self, page: &mut Vec<u8>, from: usize) -> Result<(), String> {
        let (mut read, mut write) = (from, from);
        while read < page.len() {
            if self.at == At::Data {
                let there = page.len() - read;
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(there);
                page.copy_within(read..read + take, write);
                read += take;
                write += take;
                self.left -= take as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            self.step(page[read])?;
            read += 1;
        }
        page.truncate(write);
        Ok(())
    }

    /// One byte that is not data.
    fn step(&mut self, byte: u8) -> Result<(), String> {
        self.extra += 1;
        if self.extra > EXTRA_BYTES_MAX {
            return Err("chunk extensions or trailers without end".to_owned());
        }
        self.at = match (self.at, byte) {
            (At::Size(digits), _) if byte.is_ascii_hexdigit() && digits < SIZE_DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                self.left = self.left << 4 | u64::from(digit);
                At::Size(digits + 1)
            }
            (At::Size(1..), b';' | b' ' | b'\t' | b'\r') => At::Extension,
            (At::Size(1..) | At::Extension, b'\n') => self.begin(),
            (At::Extension, _) => At::Extension,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataCr | At::DataLf, b'\n') => {
                (self.left, self.extra) = (0, 0);
                At::Size(0)
            }
            (At::Trailer(true), b'\n') => At::Done,
            (At::Trailer(_), b'\n') => At::Trailer(true),
            (At::Trailer(empty), b'\r') => At::Trailer(empty),
            (At::Trailer(_), _) => At::Trailer(false),
            (At::Done, _) => return Err("bytes follow the last chunk".to_owned()),
            (At::Size(_) | At::DataCr | At::DataLf | At::Data, _) => {
                return Err(format!(
                    "byte {byte:#04x} where a chunk's size or end belongs"
                ));
            }
        };
        Ok(())
    }

    fn begin(&self) -> At {
        if self.left == 0 {
            At::Trailer(true)
        } else {
            At::Data
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the coding off, handed over in pieces of `piece` bytes.
    fn decoded(coded: &[u8], piece: usize) -> Result<(Vec<u8>, bool), String> {
        let (mut chunks, mut page) = (Chunks::default(), Vec::new());
        for part in coded.chunks(piece) {
            let from = page.len();
            page.extend_from_slice(part);
            chunks.take_off(&mut page, from)?;
        }
        Ok((page, chunks.is_done()))
    }

    #[test]
    fn pieces_of_any_size_yield_the_same_page() {
        let coded =
            b"3\r\nup \r\n00A;note=\"x\"\r\n0123456789\r\n1 \r\n\n\r\n0\r\nTrailer: x\r\n\r\n";
        for piece in 1..=coded.len() {
            let expected = (b"up 0123456789\n".to_vec(), true);
            assert_eq!(decoded(coded, piece), Ok(expected), "{piece}");
        }
    }

    #[test]
    fn a_broken_coding_is_named() {
        for (coded, says) in [
            (&b"x\r\n"[..], "0x78"),
            (b"\r\n", "0x0d"),
            (b"fffffffffffffffff\r\n", "chunk's size"),
            (b"2\r\nabc", "0x63"),
            (b"0\r\n\r\nmore", "follow the last chunk"),
        ] {
            let error = decoded(coded, 100).expect_err(says);
            assert!(error.contains(says), "{error} should say {says}");
        }
        let endless = [b"1;".as_slice(), &[b'x'; EXTRA_BYTES_MAX]].concat();
        assert!(decoded(&endless, 100).is_err());
    }

    #[test]
    fn a_page_cut_short_is_not_done() {
        for coded in [&b"5\r\nup"[..], b"2\r\nup\r\n", b"0\r\n"] {
            assert!(!decoded(coded, 100).expect("so far it is right").1);
        }
    }
}
