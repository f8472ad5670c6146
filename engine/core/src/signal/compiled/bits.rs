//! Bits of a ring: which of its places are marked, asked for a range of running numbers.
//!
//! A ring of `64 * words.len()` places holds number `n` at place `n % places`; a range has at most as many numbers.

/// Marks a number, or unmarks it.
#[inline]
pub(super) fn set(words: &mut [u64], number: u64, marked: bool) {
    let place = number % places(words);
    let (word, bit) = ((place / 64) as usize, 1u64 << (place % 64));
    if marked {
        words[word] |= bit;
    } else {
        words[word] &= !bit;
    }
}

/// How many numbers of `from..until` are marked.
#[inline]
pub(super) fn count(words: &[u64], from: u64, until: u64) -> u64 {
    let mut total = 0;
    each_piece(words, from, until, |word, _| {
        total += u64::from(word.count_ones());
        true
    });
    total
}

/// The lowest marked number of `from..until`.
#[inline]
pub(super) fn first(words: &[u64], from: u64, until: u64) -> Option<u64> {
    let mut found = None;
    each_piece(words, from, until, |word, base| {
        if word != 0 {
            found = Some(base + u64::from(word.trailing_zeros()));
        }
        found.is_none()
    });
    found
}

/// The highest marked number of `from..until`.
#[inline]
pub(super) fn last(words: &[u64], from: u64, until: u64) -> Option<u64> {
    let places = places(words);
    let mut until = until;
    while until > from {
        // The piece of one word that ends just before `until`.
        let place = (until - 1) % places;
        let len = (place % 64 + 1).min(until - from);
        let piece = piece(words, place + 1 - len, len);
        if piece != 0 {
            return Some(until - len + 63 - u64::from(piece.leading_zeros()));
        }
        until -= len;
    }
    None
}

fn places(words: &[u64]) -> u64 {
    words.len() as u64 * 64
}

/// The bits of `len` places of one word from `place` on, moved down to bit 0.
#[inline]
fn piece(words: &[u64], place: u64, len: u64) -> u64 {
    let word = words[(place / 64) as usize] >> (place % 64);
    if len == 64 {
        word
    } else {
        word & ((1 << len) - 1)
    }
}

/// Calls `visit` with the pieces of a range and the number of each one's bit 0, until it says false.
#[inline]
fn each_piece(words: &[u64], from: u64, until: u64, mut visit: impl FnMut(u64, u64) -> bool) {
    let places = places(words);
    let mut at = from;
    while at < until {
        let place = at % places;
        let len = (64 - place % 64).min(until - at);
        if !visit(piece(words, place, len), at) {
            return;
        }
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_ring_of_bits_is_a_set_of_its_newest_numbers(
            words in 1usize..4, marks in prop::collection::vec(any::<bool>(), 1..600), cut in 0u64..300,
        ) {
            let mut ring = vec![0; words];
            for (number, mark) in marks.iter().enumerate() {
                set(&mut ring, number as u64, *mark);
            }
            let until = marks.len() as u64;
            let from = (until.saturating_sub(words as u64 * 64) + cut).min(until);
            let marked = || (from..until).filter(|number| marks[*number as usize]);
            prop_assert_eq!(count(&ring, from, until), marked().count() as u64);
            prop_assert_eq!(first(&ring, from, until), marked().next());
            prop_assert_eq!(last(&ring, from, until), marked().next_back());
        }
    }
}
