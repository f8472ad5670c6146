//! Protobuf's encoding, as far as it is written by hand.

/// A field's key. Fields below 16 have keys of one byte, as all here have.
#[inline]
pub(super) fn put_key(out: &mut Vec<u8>, tag: u32, wire_type: u32) {
    debug_assert!(tag < 16);
    out.push((tag << 3 | wire_type) as u8);
}

#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes or a text with its key and length.
#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    put_key(out, tag, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A float with its key; nothing where it is 0, which is what is read where nothing stands. -0 is written.
#[inline]
pub(super) fn put_double(out: &mut Vec<u8>, tag: u32, value: f64) {
    if value.to_bits() != 0 {
        put_key(out, tag, 1);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Bytes of a varint.
#[inline]
pub(super) fn varint_length(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Bytes of a text with its key and length.
#[inline]
pub(super) fn bytes_length(text: &str) -> usize {
    1 + varint_length(text.len() as u64) + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_what_is_written() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_length(value), "{value}");
            }
        }
        for length in [0, 1, 127, 128, 300] {
            let text = "x".repeat(length);
            let mut out = Vec::new();
            put_bytes(&mut out, 1, text.as_bytes());
            assert_eq!(out.len(), bytes_length(&text));
        }
    }
}
