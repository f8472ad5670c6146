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
        true => each_part(series, |tag, mut refs| {
            while tag == LABELS_REFS && !refs.is_empty() {
                let symbol = lengths.get(varint(&mut refs)?);
                bytes = bytes.saturating_add(symbol.copied().unwrap_or(0));
            }
            Some(())
        }),
        false => Some(()),
    })?;
    Some(bytes / PART_BYTES)
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
