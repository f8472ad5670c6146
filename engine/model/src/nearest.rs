//! The known word that a mistyped one was probably meant to be, and what an error lists of those that were seen.
//!
//! Of our own, because it is asked about thousands of names that a stranger sends: what two words begin and end with is
//! skipped, and words are cut, which `strsim` does not do.

use std::collections::BTreeSet;

/// Values that an error lists where none is near.
const LISTED_MAX: usize = 3;
/// Known words that an error lists.
const READ_MAX: usize = 16;
/// Of more values than this none is listed: they are no help.
const FEW: usize = 50;
/// Values that are looked at: errors are made at every request.
const LOOKED_AT_MAX: usize = 5_000;

/// Words further apart than this are not a slip of the finger, nor are those of which more than a third is another.
const EDITS_MAX: usize = 3;
const CHARS_PER_EDIT: usize = 3;

/// Of a word as much as is compared.
const CHARS_MAX: usize = 256;

/// The candidate with the fewest edits from `word`, where they are few enough to be a slip.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = match word.chars().count() {
        0 => 0,
        chars => EDITS_MAX.min(chars / CHARS_PER_EDIT).max(1),
    };
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

/// The end of an error about a word that is none of `known`: `; did you mean x?`, or the words that there are, where none comes
/// near and they are few enough to be read.
pub fn near_or_all<'k>(word: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    if let Some(near) = nearest(word, known.clone()) {
        return format!("; did you mean {near}?");
    }
    let known: Vec<&str> = known.take(READ_MAX + 1).collect();
    match known.len() {
        0 => String::new(),
        1..=READ_MAX => format!("; there are {}", known.join(", ")),
        _ => String::new(),
    }
}

/// What was seen where `wanted` was not, as the end of an error: `; seen: "a"`, the one that comes near it, else the first of a
/// few. Empty where nothing was seen, or too much.
pub fn seen_instead<'v>(wanted: Option<&str>, seen: impl IntoIterator<Item = &'v str>) -> String {
    let seen: BTreeSet<&str> = seen.into_iter().take(LOOKED_AT_MAX).collect();
    let near = wanted.and_then(|wanted| nearest(wanted, seen.iter().copied()));
    let listed: Vec<String> = match near {
        Some(near) => vec![format!("{near:?}")],
        None if seen.len() <= FEW => {
            let first = seen.iter().take(LISTED_MAX);
            first.map(|value| format!("{value:?}")).collect()
        }
        None => Vec::new(),
    };
    let more = match seen.len() {
        all if near.is_none() && all > LISTED_MAX => ", ...",
        _ => "",
    };
    match listed.is_empty() {
        true => String::new(),
        false => format!("; seen: {}{more}", listed.join(", ")),
    }
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
        assert_eq!(nearest("clients", ["events"]), None);
        assert_eq!(
            near_or_all("clients", ["events", "jobs"].into_iter()),
            "; there are events, jobs"
        );
        assert_eq!(
            near_or_all("event", ["events", "jobs"].into_iter()),
            "; did you mean events?"
        );
        assert_eq!(near_or_all("x", std::iter::empty()), "");
    }

    #[test]
    fn the_nearest_value_is_named_or_the_few_there_are() {
        let pool = Some("vllm-llama3-8b-instruct");
        for (wanted, seen, end) in [
            (
                pool,
                &["vllm-llama-3-1-8b-instruct", "other"][..],
                "; seen: \"vllm-llama-3-1-8b-instruct\"",
            ),
            (None, &["vllm", "other"], "; seen: \"other\", \"vllm\""),
            (pool, &["b", "a", "b"], "; seen: \"a\", \"b\""),
            (
                pool,
                &["d", "c", "b", "a"],
                "; seen: \"a\", \"b\", \"c\", ...",
            ),
            (pool, &[], ""),
        ] {
            assert_eq!(seen_instead(wanted, seen.iter().copied()), end);
        }
        let many: Vec<String> = (0..2 * FEW)
            .map(|number| format!("value-{number}"))
            .collect();
        assert_eq!(seen_instead(pool, many.iter().map(String::as_str)), "");
    }
}
