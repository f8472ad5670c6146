//! Patterns that need no automaton.

/// What decides a match.
#[derive(Debug)]
pub(super) enum Fast {
    /// One of these, sorted.
    Literals(Vec<String>),
    /// Begins so and has at least this many bytes more.
    Prefix(String, usize),
    /// Ends so and has at least this many bytes more.
    Suffix(String, usize),
    /// Only the automaton knows.
    No,
}

impl Fast {
    pub(super) fn of(pattern: &str) -> Fast {
        if let Some(literals) = alternation(pattern) {
            return Fast::Literals(literals);
        }
        for (rest, more) in [(".*", 0), (".+", 1)] {
            if let Some(prefix) = pattern.strip_suffix(rest).and_then(literal) {
                return Fast::Prefix(prefix, more);
            }
            if let Some(suffix) = pattern.strip_prefix(rest).and_then(literal) {
                return Fast::Suffix(suffix, more);
            }
        }
        Fast::No
    }

    /// `None` where it does not decide.
    pub(super) fn is_match(&self, text: &str) -> Option<bool> {
        match self {
            Fast::Literals(literals) => Some(
                literals
                    .binary_search_by(|have| have.as_str().cmp(text))
                    .is_ok(),
            ),
            Fast::Prefix(prefix, more) => {
                Some(text.len() >= prefix.len() + more && text.starts_with(prefix.as_str()))
            }
            Fast::Suffix(suffix, more) => {
                Some(text.len() >= suffix.len() + more && text.ends_with(suffix.as_str()))
            }
            Fast::No => None,
        }
    }

    pub(super) fn literals(&self) -> Option<&[String]> {
        match self {
            Fast::Literals(literals) => Some(literals),
            _ => None,
        }
    }
}

/// `a|b|c` or `(a|b|c)`, without any operator in its parts.
fn alternation(pattern: &str) -> Option<Vec<String>> {
    let inner = pattern
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let inner = inner.map_or(pattern, |inner| inner.strip_prefix("?:").unwrap_or(inner));
    let mut literals = inner.split('|').map(literal).collect::<Option<Vec<_>>>()?;
    literals.sort_unstable();
    literals.dedup();
    Some(literals)
}

/// A text without operators; escaped punctuation stands for itself.
fn literal(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                // An escaped bar would have been taken for an alternative.
                c if c.is_ascii_punctuation() && c != '|' => text.push(c),
                _ => return None,
            },
            c if r".+*?()[]{}^$|".contains(c) => return None,
            c => text.push(c),
        }
    }
    Some(text)
}
