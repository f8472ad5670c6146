//! Go's RE2 syntax and meaning on top of `regex-automata`: anchored at both ends, `.` matches a newline, `\d \w \s \b`
//! are ASCII, time linear in the input.

use std::fmt;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

/// The groups of one match: `get_group(index)`, `get_group_by_name(name)`.
pub use regex_automata::util::captures::Captures;

/// A compiled, fully anchored pattern.
#[derive(Debug)]
pub struct Re2 {
    regex: Regex,
    literals: Option<Vec<String>>,
}

impl Re2 {
    /// Compiles `pattern` as Prometheus does (`^(?s:pattern)$`).
    pub fn new(pattern: &str) -> Result<Re2, Re2Error> {
        let regex = Regex::builder()
            .syntax(syntax::Config::new().dot_matches_new_line(true))
            .build(&format!("^(?:{pattern})$"))
            .map_err(|error| Re2Error {
                message: error.to_string(),
            })?;
        Ok(Re2 {
            regex,
            literals: literal_alternation(pattern),
        })
    }

    /// Whether the whole of `text` fits.
    pub fn is_match(&self, text: &str) -> bool {
        match &self.literals {
            Some(literals) => literals
                .binary_search_by(|have| have.as_str().cmp(text))
                .is_ok(),
            None => self.regex.is_match(text),
        }
    }

    /// What each group took of `text`, where the whole of it fits.
    pub fn captures(&self, text: &str) -> Option<Captures> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(text, &mut captures);
        captures.is_match().then_some(captures)
    }

    /// Where the whole of `text` fits: `template` with its `$1`, `${name}` replaced by what the groups captured,
    /// as Go's `Regexp.ExpandString` does it.
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.captures(text)?;
        let mut out = String::new();
        super::expand(template, text, &captures, &mut out);
        Some(out)
    }

    /// The finite set of texts that fit, sorted, where the pattern is an alternation of literals.
    pub fn literals(&self) -> Option<&[String]> {
        self.literals.as_deref()
    }
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Re2Error {
    /// The reason.
    pub message: String,
}

impl fmt::Display for Re2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Re2Error {}

/// `a|b|c` without any operator in its parts.
fn literal_alternation(pattern: &str) -> Option<Vec<String>> {
    if pattern.contains(|c: char| r"\.+*?()[]{}^$".contains(c)) {
        return None;
    }
    let mut literals: Vec<String> = pattern.split('|').map(str::to_owned).collect();
    literals.sort_unstable();
    literals.dedup();
    Some(literals)
}
