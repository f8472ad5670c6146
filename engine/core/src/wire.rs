//! How numbers and texts are written in a snapshot (`snapshot`), and read from bytes that nobody vouches for.
//!
//! Whole numbers are varints of seven bits a byte, signed ones zigzag; floats are eight bytes, little-endian; a text is its
//! length and its bytes. Reading never allocates more than the bytes that are left could fill.

use crate::labels::Labels;

/// Why bytes cannot be read.
pub(crate) type WireError = &'static str;

pub(crate) fn put_u(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_i(out: &mut Vec<u8>, value: i64) {
    put_u(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(crate) fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_u(out, labels.iter().count() as u64);
    for (name, value) in labels.iter() {
        put_text(out, name);
        put_text(out, value);
    }
}

/// A list: its length, then each item.
pub(crate) fn put_list<T>(
    out: &mut Vec<u8>,
    items: impl ExactSizeIterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    put_u(out, items.len() as u64);
    items.for_each(|item| put(out, item));
}

/// A value that may be missing.
pub(crate) fn put_option<T>(
    out: &mut Vec<u8>,
    value: Option<T>,
    put: impl FnOnce(&mut Vec<u8>, T),
) {
    put_bool(out, value.is_some());
    if let Some(value) = value {
        put(out, value);
    }
}

/// Bytes that are being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct In<'a> {
    rest: &'a [u8],
}

impl<'a> In<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> In<'a> {
        In { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn u(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err("a number does not fit 64 bits");
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number does not fit 64 bits")
    }

    pub(crate) fn i(&mut self) -> Result<i64, WireError> {
        let value = self.u()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A time in milliseconds or a tick: bounded, so that no arithmetic with it overflows.
    pub(crate) fn time(&mut self) -> Result<i64, WireError> {
        const TIME_MAX: i64 = 1 << 52;
        let time = self.i()?;
        match (-TIME_MAX..=TIME_MAX).contains(&time) {
            true => Ok(time),
            false => Err("a time is no time"),
        }
    }

    pub(crate) fn f64(&mut self) -> Result<f64, WireError> {
        let bytes = self.take(8)?;
        let bytes = bytes.try_into().map_err(|_| "a number ends early")?;
        Ok(f64::from_le_bytes(bytes))
    }

    pub(crate) fn bool(&mut self) -> Result<bool, WireError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a flag is neither 0 nor 1"),
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, WireError> {
        let len = self.u()?;
        let bytes = self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        std::str::from_utf8(bytes).map_err(|_| "a text is not valid UTF-8")
    }

    pub(crate) fn labels(&mut self) -> Result<Labels, WireError> {
        let pairs = self.list(|bytes| Ok((bytes.text()?, bytes.text()?)))?;
        labels_of(&pairs)
    }

    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut In<'a>) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.u()?;
        // An item takes a byte at least.
        if count > self.rest.len() as u64 {
            return Err("a list is longer than what is left");
        }
        (0..count).map(|_| item(self)).collect()
    }

    pub(crate) fn option<T>(
        &mut self,
        value: impl FnOnce(&mut In<'a>) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        match self.bool()? {
            true => value(self).map(Some),
            false => Ok(None),
        }
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        let (&byte, rest) = self.rest.split_first().ok_or("it ends early")?;
        self.rest = rest;
        Ok(byte)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or("it ends early")?;
        self.rest = rest;
        Ok(taken)
    }
}

/// A label set from pairs that have to be strictly ascending by name, with values.
pub(crate) fn labels_of(pairs: &[(&str, &str)]) -> Result<Labels, WireError> {
    let ascends = pairs.is_sorted_by(|a, b| a.0 < b.0);
    match ascends && pairs.iter().all(|(_, value)| !value.is_empty()) {
        true => Ok(Labels::from_sorted(pairs.iter().copied())),
        false => Err("labels are not in order"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        for value in [0, 1, 127, 128, u64::MAX] {
            put_u(&mut out, value);
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            put_i(&mut out, value);
        }
        put_f64(&mut out, -0.0);
        put_text(&mut out, "é");
        put_labels(&mut out, &labels! { "a" => "1", "b" => "2" });
        put_option(&mut out, Some(true), put_bool);
        put_option(&mut out, None::<bool>, put_bool);
        let mut bytes = In::new(&out);
        let read: Vec<u64> = (0..5).map(|_| bytes.u().expect("a number")).collect();
        assert_eq!(read, [0, 1, 127, 128, u64::MAX]);
        let read: Vec<i64> = (0..5).map(|_| bytes.i().expect("a number")).collect();
        assert_eq!(read, [0, -1, 1, i64::MIN, i64::MAX]);
        assert_eq!(bytes.f64().map(f64::to_bits), Ok((-0.0f64).to_bits()));
        assert_eq!(bytes.text(), Ok("é"));
        assert_eq!(bytes.labels(), Ok(labels! { "a" => "1", "b" => "2" }));
        assert_eq!(bytes.option(In::bool), Ok(Some(true)));
        assert_eq!(bytes.option(In::bool), Ok(None));
        assert!(bytes.is_empty());
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in [&[][..], &[0x80], &[0xff; 11], &[5, b'a'], &[1, 0xff]] {
            assert!(In::new(bytes).text().is_err(), "{bytes:?}");
        }
        assert!(In::new(&[200, 1, 0]).list(In::u).is_err());
        assert!(In::new(&[2]).bool().is_err());
        assert!(
            In::new(&[2, 1, b'b', 1, b'x', 1, b'a', 1, b'x'])
                .labels()
                .is_err()
        );
    }
}
