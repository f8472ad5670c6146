//! What the metric that a rule makes of a series is called.

use stillwell_engine::labels::{Re2, expand};

use crate::yaml::Entry;
use crate::yaml::{Report, Table};

const NAME: Table = Table {
    read: &["matches", "as"],
    ignored: &[],
    refused: &[],
};

/// `name` of a rule: how the metric is called that a series makes.
#[derive(Debug)]
pub struct Naming {
    /// Fits a series name from end to end where the pattern of the file fits anywhere in it.
    matches: Re2,
    /// The same with one more group around the pattern.
    whole: Re2,
    /// A template over the groups of `matches`.
    pub template: String,
}

impl Naming {
    /// Reads `name`, which may be left out; `line` is that of the rule. The adapter's defaults: `as` is the whole match, or
    /// the one group there is.
    pub(super) fn read(entry: Option<&Entry>, line: usize, report: &mut Report) -> Option<Naming> {
        let (mut pattern, mut template, mut at) = (String::new(), String::new(), line);
        if let Some(entry) = entry {
            for field in report.fields(&entry.value, "name", &NAME) {
                let text = report.string(field);
                if field.key == "matches" {
                    (pattern, at) = (text, field.line);
                } else {
                    template = separated(&text, field.line, report);
                }
            }
        }
        if pattern.is_empty() {
            pattern = ".*".to_owned();
        }
        let compiled = |before: &str, after: &str| {
            Re2::new(&format!("(?s:.*?){before}{pattern}{after}(?s:.*)"))
        };
        let (matches, whole) = match (compiled("(?:", ")"), compiled("(", ")")) {
            (Ok(matches), Ok(whole)) => (matches, whole),
            (Err(error), _) | (_, Err(error)) => {
                report.error(at, format!("name.matches: {error}"));
                return None;
            }
        };
        if template.is_empty() {
            template = match groups(&pattern) {
                0 => "$0".to_owned(),
                1 => "$1".to_owned(),
                groups => {
                    report.error(
                        at,
                        format!("name: matches has {groups} groups; say which one by as"),
                    );
                    return None;
                }
            };
        }
        Some(Naming {
            matches,
            whole,
            template,
        })
    }

    /// The metric's name for a series; `None` where the pattern does not fit.
    pub(super) fn of(&self, series: &str) -> Option<String> {
        let captures = self.matches.captures(series)?;
        let whole = self.whole.expand(series, "$1", usize::MAX)?;
        let template = self.template.replace("${0}", "$0");
        let mut parts = template.split("$0");
        let mut name = String::new();
        expand(
            parts.next().unwrap_or(""),
            series,
            &captures,
            usize::MAX,
            &mut name,
        );
        for part in parts {
            name.push_str(&whole);
            expand(part, series, &captures, usize::MAX, &mut name);
        }
        Some(name).filter(|name| !name.is_empty())
    }
}

/// Capturing groups of a pattern: unescaped brackets that open one.
fn groups(pattern: &str) -> usize {
    let bytes = pattern.as_bytes();
    let opens = |at: usize| {
        bytes[at] == b'('
            && (at == 0 || bytes[at - 1] != b'\\')
            && (bytes.get(at + 1) != Some(&b'?') || pattern[at..].starts_with("(?P<"))
    };
    (0..bytes.len()).filter(|at| opens(*at)).count()
}

/// In Go `$1_x` is the group of the name `1_x`, which no pattern has: the metric would have no such part in its name.
fn separated(template: &str, line: usize, report: &mut Report) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push_str("$$");
            rest = after;
            continue;
        }
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let follows = rest[digits..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if digits == 0 || !follows {
            out.push('$');
            continue;
        }
        let number = &rest[..digits];
        report.warn(
            line,
            format!("as: {template:?}: a name goes on after ${number}, so it is read as ${{{number}}}; prometheus-adapter reads another group"),
        );
        out.push_str(&format!("${{{number}}}"));
        rest = &rest[digits..];
    }
    out.push_str(rest);
    out
}
