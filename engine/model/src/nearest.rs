//! The known word that a mistyped one was probably meant to be.
//!
//! Of our own, because it is asked about thousands of names that a stranger sends: what two words begin and end with is
//! skipped, and words are cut, which `strsim` does not do.

/// Words further apart than this are not a slip of the finger.
const EDITS_MAX: usize = 3;

/// Of a word as much as is compared.
const CHARS_MAX: usize = 256;

/// The candidate with the fewest edits from `word`, where they are few enough to be a slip.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = EDITS_MAX.min(word.chars().count().div_ceil(3));
    let length = word.len();
    candidates
        .into_iter()
        .filter(|candidate| {
            // In bytes; a char that is not ASCII has up to four.
            let bytes_per_char = if candidate.is_ascii() && word.is_ascii() {
                1
            } else {
                4
            };
            candidate.len().abs_diff(length) <= bytes_per_char * limit
        })
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, with a swap of neighbours counted as one edit.
fn edits(left: &str, right: &str) -> usize {
    let mut left: Vec<char> = left.chars().take(CHARS_MAX).collect();
    let mut right: Vec<char> = right.chars().take(CHARS_MAX).collect();
    // What both begin and end with is not edited: of thousands of candidates little is left to compare.
    let same = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
    left.drain(..same);
    right.drain(..same);
    let same = left.iter().rev().zip(right.iter().rev());
    let same = same.take_while(|(a, b)| a == b).count();
    left.truncate(left.len() - same);
    right.truncate(right.len() - same);
    let width = right.len() + 1;
    let mut table = vec![0; (left.len() + 1) * width];
    for (column, cell) in table.iter_mut().take(width).enumerate() {
        *cell = column;
    }
    for row in 1..=left.len() {
        table[row * width] = row;
        for column in 1..=right.len() {
            let differs = usize::from(left[row - 1] != right[column - 1]);
            let mut best = (table[(row - 1) * width + column] + 1)
                .min(table[row * width + column - 1] + 1)
                .min(table[(row - 1) * width + column - 1] + differs);
            let swapped = row > 1
                && column > 1
                && left[row - 1] == right[column - 2]
                && left[row - 2] == right[column - 1];
            if swapped {
                best = best.min(table[(row - 2) * width + column - 2] + 1);
            }
            table[row * width + column] = best;
        }
    }
    table[left.len() * width + right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let known = ["scrape_interval", "scrape_timeout", "job_name", "scheme"];
        for (word, near) in [
            ("scrape_intervall", Some("scrape_interval")),
            ("scrape-timeout", Some("scrape_timeout")),
            ("jobname", Some("job_name")),
            ("shceme", Some("scheme")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), near, "{word}");
        }
    }
}
