//! How long functions are. Tests are left out: theirs are tables of cases.

use std::collections::BTreeSet;

use crate::tree::{Tree, code_without_tests};

/// From the line with `fn` to the closing brace.
pub(crate) const LINES_MAX: usize = 70;

/// Functions of more lines, as `path: name`.
pub(crate) fn longer_than(tree: &Tree, lines_max: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("tests.rs");
    for file in tree.rust().filter(|file| !is_test(&file.path)) {
        let text = code_without_tests(&file.text);
        let mut from = 0;
        while let Some(at) = text[from..].find("fn ").map(|at| from + at) {
            from = at + 3;
            let is_word = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let name: String = text[from..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if is_word || name.is_empty() {
                continue;
            }
            if let Some(lines) = lines_of(&text[at..])
                && lines > lines_max
            {
                found.insert(format!("{}: {name}", file.path));
            }
        }
    }
    found
}

/// Lines up to the brace that closes the body; `None` where there is no body.
fn lines_of(text: &str) -> Option<usize> {
    let (mut depth, mut lines, mut brackets) = (0, 1, 0);
    for c in text.chars() {
        match c {
            '\n' => lines += 1,
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(lines);
                }
            }
            _ => {}
        }
    }
    None
}
