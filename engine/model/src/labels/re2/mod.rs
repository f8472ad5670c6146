//! Go's RE2 syntax and meaning on top of `regex-automata`: anchored at both ends, `.` matches a newline, `\d \w \s \b`
//! are ASCII, time linear in the input, memory capped.
//!
//! [`translate`] reads the pattern by Go's rules and writes one that has the same meaning to Rust's parser; what Go
//! refuses is refused here. Most patterns in matchers are literals, alternations of literals, a prefix or a
//! suffix, and never reach an automaton.

mod expand;
mod fast;
mod translate;

use std::fmt;
use std::sync::OnceLock;

use regex_automata::meta::{self, Regex};
/// The groups of one match: `get_group(index)`, `get_group_by_name(name)`.
pub use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;

use fast::Fast;

pub use expand::expand;

/// Bytes that a compiled pattern may take. Go has no such limit, but refuses more than 1,000 repetitions; what passes
/// that and needs more than this is an attack.
const COMPILED_BYTES_MAX: usize = 2 << 20;
/// Bytes that matching may cache per thread.
const CACHE_BYTES_MAX: usize = 1 << 20;

/// A compiled, fully anchored pattern.
#[derive(Debug)]
pub struct Re2 {
    fast: Fast,
    /// Compiled at once where no shortcut decides, else when `expand` first asks for groups.
    regex: OnceLock<Regex>,
    pattern: Box<str>,
}

impl Re2 {
    /// Compiles `pattern` as Prometheus does (`^(?s:pattern)$`).
    pub fn new(pattern: &str) -> Result<Re2, Re2Error> {
        let fast = Fast::of(pattern);
        let regex = OnceLock::new();
        if matches!(fast, Fast::No) {
            let _ = regex.set(compile(pattern)?);
        }
        Ok(Re2 {
            fast,
            regex,
            pattern: Box::from(pattern),
        })
    }

    fn regex(&self) -> &Regex {
        self.regex.get_or_init(|| {
            compile(&self.pattern)
                .expect("a pattern that has a shortcut is made of literals and compiles")
        })
    }

    /// Whether the whole of `text` fits.
    pub fn is_match(&self, text: &str) -> bool {
        self.fast
            .is_match(text)
            .unwrap_or_else(|| self.regex().is_match(text))
    }

    /// Where the whole of `text` fits: `template` with its `$1`, `${name}` replaced by what the groups captured,
    /// as Go's `Regexp.ExpandString` does it. A result of more than `bytes_max` bytes may be cut, to a longer one than that.
    pub fn expand(&self, text: &str, template: &str, bytes_max: usize) -> Option<String> {
        let captures = self.captures(text)?;
        let mut out = String::new();
        expand(template, text, &captures, bytes_max, &mut out);
        Some(out)
    }

    /// What each group took of `text`, where the whole of it fits.
    pub fn captures(&self, text: &str) -> Option<Captures> {
        let regex = self.regex();
        let mut captures = regex.create_captures();
        regex.captures(text, &mut captures);
        captures.is_match().then_some(captures)
    }

    /// The finite set of texts that fit, sorted, where the pattern is an alternation of literals.
    pub fn literals(&self) -> Option<&[String]> {
        self.fast.literals()
    }
}

fn compile(pattern: &str) -> Result<Regex, Re2Error> {
    let translated = translate::translate(pattern).map_err(|message| Re2Error { message })?;
    let syntax = syntax::Config::new().dot_matches_new_line(true).utf8(false);
    let config = meta::Config::new()
        .nfa_size_limit(Some(COMPILED_BYTES_MAX))
        .onepass_size_limit(Some(CACHE_BYTES_MAX))
        .dfa(false)
        .hybrid_cache_capacity(CACHE_BYTES_MAX);
    let regex = Regex::builder()
        .syntax(syntax)
        .configure(config)
        .build(&format!("^(?:{translated})$"));
    regex.map_err(|error| Re2Error {
        message: match error.size_limit() {
            Some(_) => "expression too large".to_owned(),
            None => format!("error parsing regexp: {error}"),
        },
    })
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

/// A pattern that matches this text and no other (Go's `regexp.QuoteMeta`).
pub fn quote_regex(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Re2::new(pattern)
            .unwrap_or_else(|error| panic!("{pattern}: {error}"))
            .is_match(text)
    }

    #[test]
    fn means_what_it_means_to_go() {
        for (pattern, text, fits) in [
            ("a.c", "a\nc", true),
            ("ab", "abc", false),
            (r"\d+", "12", true),
            (r"\d+", "٣", false),
            (r"\w+", "é", false),
            (r"[\w-.]+", "a-b.c", true),
            (r"[[a]+", "[a", true),
            ("[a&&b]+", "a&b", true),
            ("[a~~b]+", "a~b", true),
            ("[]a]+", "]a", true),
            ("[^]a]", "b", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Qa.b", "a.b", true),
            (r"\<a\>", "<a>", true),
            (r"\<[a]\>", "<a>", true),
            ("a{,5}", "a{,5}", true),
            ("{{.*}}", "{{x}}", true),
            (r"\x41\x{42}\103", "ABC", true),
            ("(?i)abc", "ABC", true),
            ("(?i:a)b", "Ab", true),
            ("(?P<x>a)(?<y>b)", "ab", true),
            ("[[:alpha:]]+", "ab", true),
            ("[[:^alpha:]]+", "12", true),
            (r"\pL+", "aé", true),
            (r"\p{^Greek}", "a", true),
            ("a|b|", "", true),
            ("x*", "", true),
            ("foo.*", "foobar\n", true),
            ("foo.+", "foo", false),
            (".*bar", "foobar", true),
            (".+", "", false),
            (".*", "", true),
            (r"a\.b|c", "a.b", true),
            (r"a\.b|c", "axb", false),
            (r"a\b.c", "a-c", true),
            ("a{2,3}", "aaaa", false),
            ("a-z", "a-z", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text:?}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for pattern in [
            "x{1001}",
            "(?x)a",
            "a**",
            "a*+",
            "a{2}{3}",
            r"\u0041",
            "a)(b",
            "(",
            ")",
            "*",
            "a|*",
            "(*)",
            "[a",
            "[b-a]",
            r"\C",
            r"\Z",
            r"\1",
            r"[a-\d]",
            "[[:foo:]]",
            "(?P<n>a)(?P<n>b)",
            "(?P<1-2>a)",
            "(?<=a)b",
            r"\",
            "a{2,1}",
            "((a{100}){100}){100}",
            r"\8",
            "(?",
            "(?i",
            "x{2,1001}",
        ] {
            assert!(Re2::new(pattern).is_err(), "{pattern}");
        }
    }

    /// A query of 200 kB of them took half a second to refuse.
    #[test]
    fn classes_that_are_hundreds_of_ranges_each_are_few() {
        let refused = Re2::new(&r"\pL".repeat(40_000)).expect_err("too many");
        assert!(refused.message.contains("expression too large"));
        assert!(matches(
            &format!("({})*", r"\pL".repeat(30)),
            &"é".repeat(60)
        ));
    }

    #[test]
    fn alternations_of_literals_are_sets() {
        let set = |pattern: &str| {
            Re2::new(pattern)
                .ok()
                .and_then(|re| re.literals().map(<[String]>::to_vec))
        };
        assert_eq!(set("b|a|b"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(
            set(r"10\.0\.0\.7:90|x"),
            Some(vec!["10.0.0.7:90".to_owned(), "x".to_owned()])
        );
        assert_eq!(set("(a|b)"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(set("a.b"), None);
        assert_eq!(set("(?i)a"), None);
    }

    #[test]
    fn expansion_is_gos() {
        let re = Re2::new("(?P<first>a)(.*)").expect("a valid pattern");
        assert_eq!(
            re.expand("abc", "$2-${first}-$1x-$$", usize::MAX),
            Some("bc-a--$".to_owned())
        );
        assert_eq!(re.expand("xabc", "$1", usize::MAX), None);
    }

    #[test]
    fn a_shortcut_decides_as_the_automaton_does() {
        let patterns = [
            "a", "a|b", "ab.*", ".*ab", ".+ab", "ab.+", ".*", ".+", "(a|b)", r"a\.b", "", "a|",
        ];
        let texts = [
            "", "a", "b", "ab", "abab", "xab", "abx", "a.b", "a\nb", "\n", "axb",
        ];
        for pattern in patterns {
            let re = Re2::new(pattern).expect("a valid pattern");
            for text in texts {
                assert_eq!(
                    re.is_match(text),
                    re.regex().is_match(text),
                    "{pattern} {text:?}"
                );
            }
        }
    }
}
