//! How much memory a message will take, before it is decoded: an empty series is 2 bytes on the wire and 72 in memory,
//! an empty histogram 2 and some 300, so the bytes alone say nothing.

/// Parts of one request. Prometheus' sender sends 2,000 samples, some 10,000 parts; a million may take 100 MB.
pub(super) const PARTS_MAX: usize = 1 << 20;

/// Bytes that a part takes in memory, about.
pub(super) const PART_BYTES: usize = 64;

/// Tags of a 2.0 request and of its series.
const SYMBOLS: usize = 4;
const LABELS_REFS: usize = 1;

/// What a histogram counts for beside its buckets, each of which is a byte or more on the wire and some 32 in memory.
const HISTOGRAM_PARTS: usize = 8;

/// The embedded parts of a request and of its series; `None` where the bytes are no message.
pub(super) fn weigh(request: &[u8], series_tag: usize) -> Option<usize> {
    let mut parts = 0;
    each_part(request, |tag, series| {
        parts += 1;
        if tag != series_tag {
            return Some(());
        }
        each_part(series, |tag, inner| {
            // Samples have tag 2 in both protocols; histograms 4 in one, 3 in the other, where exemplars have 4.
            parts += if matches!(tag, 3 | 4) {
                HISTOGRAM_PARTS + inner.len() / 2
            } else {
                1
            };
            Some(())
        })
    })?;
    Some(parts)
}

/// What the labels of the series of a 2.0 request take as parts: a series copies the symbols that its labels refer to, of which each
/// stands in the request once. `None` where the bytes are no message.
pub(super) fn weigh_symbols(request: &[u8], series_tag: usize) -> Option<usize> {
    let mut lengths = Vec::new();
    each_part(request, |tag, symbol| {
        if tag == SYMBOLS {
            lengths.push(symbol.len());
        }
        Some(())
    })?;
    let mut bytes = 0_usize;
    each_part(request, |tag, series| match tag == series_tag {
        true => each_reference(series, |number| {
            let symbol = lengths.get(number).copied();
            bytes = bytes.saturating_add(symbol.unwrap_or(0));
        }),
        false => Some(()),
    })?;
    Some(bytes / PART_BYTES)
}

/// Visits the numbers of symbols of a series, packed or one by one.
fn each_reference(mut rest: &[u8], mut visit: impl FnMut(usize)) -> Option<()> {
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let is_reference = key >> 3 == LABELS_REFS;
        let length = match key & 7 {
            0 => {
                let number = varint(&mut rest)?;
                if is_reference {
                    visit(number);
                }
                0
            }
            1 => 8,
            2 => varint(&mut rest)?,
            5 => 4,
            _ => return None,
        };
        let (mut part, after) = rest.split_at_checked(length)?;
        rest = after;
        while key & 7 == 2 && is_reference && !part.is_empty() {
            visit(varint(&mut part)?);
        }
    }
    Some(())
}

/// Visits the fields that have a length; `None` where the bytes are no message.
pub(crate) fn each_part<'a>(
    mut rest: &'a [u8],
    mut visit: impl FnMut(usize, &'a [u8]) -> Option<()>,
) -> Option<()> {
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let length = match key & 7 {
            0 => {
                varint(&mut rest)?;
                0
            }
            1 => 8,
            2 => varint(&mut rest)?,
            5 => 4,
            _ => return None,
        };
        let (part, after) = rest.split_at_checked(length)?;
        rest = after;
        if key & 7 == 2 {
            visit(key >> 3, part)?;
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<usize> {
    prost::decode_length_delimiter(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_symbols_count_packed_or_not() {
        let symbol = [&[0x22, 0x80, 0x01][..], &[b'x'; 128]].concat(); // tag 4, 128 bytes
        let packed = [0x2a, 4, 0x0a, 2, 0, 0]; // a series of two references
        let unpacked = [0x2a, 4, 0x08, 0, 0x08, 0];
        for series in [packed, unpacked] {
            let request = [&symbol[..], &series.repeat(10)].concat();
            assert_eq!(weigh_symbols(&request, 5), Some(10 * 2 * 128 / PART_BYTES));
        }
        assert_eq!(weigh_symbols(&[0x2a, 9], 5), None);
    }
}
