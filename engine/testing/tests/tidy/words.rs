//! Words of code and documentation that were replaced by the field's, and texts that no clone may contain.

use std::collections::BTreeSet;

use crate::tree::Tree;

/// A word and what to write instead.
const WORDS: &[(&str, &str)] = &[
    ("Sieve", "RetainFilter"),
    ("sieve", "retain filter"),
    ("Limbo", "EpochReclaim"),
    ("limbo", "epoch reclaim"),
    ("turn_limbo", "advance_epoch"),
    ("Natives", "NativeHistograms"),
    ("Stems", "LabelShapes"),
    ("stems", "label shapes"),
    ("OutOfReach", "OverBudget"),
    ("OwnSample", "AppendOutcome"),
    ("in_step", "match_in_order"),
    ("out_of_step", "resync"),
    ("breathe", "yield_to_readers"),
    ("is_brief", "is_cheap"),
    ("pick_series", "select_k"),
    ("Board", "RetainHandle"),
    ("Lens", "Visibility"),
    ("Moment", "EvalSnapshot"),
    ("RwLock<Room>", "RwLock<SignalRegistry>"),
    ("unwatch", "remove"),
    ("Sight", "PageVisibility"),
    ("Option<Standing>", "Option<CompiledQuery>"),
    ("TargetLens", "TargetView"),
    ("given_up", "never_answered"),
    ("good_page", "scrape_succeeded"),
    ("series_came", "series_appeared"),
    ("series_went", "series_disappeared"),
    ("note_structure", "record_structure_change"),
    ("look: Assessment", "assessment: Assessment"),
    ("let look", "let assessment"),
    ("As it says.", "what the item is"),
];

/// Every use of such a word, as `path: word (instead: ...)`.
pub(crate) fn banned(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let this_test = "engine/testing/tests/tidy/";
    for file in tree
        .files
        .iter()
        .filter(|file| !file.path.starts_with(this_test))
    {
        for (word, instead) in WORDS {
            if contains_word(&file.text, word) {
                found.insert(format!("{}: {word} (instead: {instead})", file.path));
            }
        }
    }
    found
}

fn contains_word(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word)
    })
}
