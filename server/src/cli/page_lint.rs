//! What `promtool check metrics` refuses of a page in the text format and a scrape lets pass: a second `HELP` or `TYPE` of a
//! metric, a `TYPE` after its samples, a type that nobody knows; and series that are there twice. Its texts are those of
//! `expfmt/text_parse.go` and `promlint`.

use std::collections::{HashMap, HashSet};

use stillwell_engine::promql::parse_metric_selector;

const TYPES: [&str; 6] = [
    "counter",
    "gauge",
    "summary",
    "untyped",
    "histogram",
    "gauge_histogram",
];

/// What is known of a family so far.
#[derive(Default)]
struct Family {
    is_described: bool,
    /// As written, in lower case; of samples without one `untyped`.
    kind: Option<String>,
}

/// Lints as `name text`. Error: why the page must not be read.
pub(super) fn lints(page: &str) -> Result<Vec<String>, String> {
    let mut families: HashMap<String, Family> = HashMap::new();
    let (mut series, mut found) = (HashSet::new(), Vec::new());
    for (at, line) in page.lines().enumerate() {
        let line = line.trim();
        let error = |why: String| {
            Err(format!(
                "text format parsing error in line {}: {why}",
                at + 1
            ))
        };
        let Some(comment) = line.strip_prefix('#') else {
            let Some((name, labels)) = sample(line) else {
                continue; // whoever reads the page says what is wrong with it
            };
            let name = family_name(&families, &name);
            let family = families.entry(name.clone()).or_default();
            family.kind.get_or_insert_with(|| "untyped".to_owned());
            if !series.insert(labels) {
                found.push(format!("{name} metric not unique"));
            }
            continue;
        };
        let mut words = comment.split_whitespace();
        let word = words.next().unwrap_or("");
        let name = words.next().unwrap_or("").trim_matches('"');
        if !matches!(word, "HELP" | "TYPE") || name.is_empty() {
            continue;
        }
        let name = family_name(&families, name);
        let family = families.entry(name.clone()).or_default();
        if word == "HELP" {
            if std::mem::replace(&mut family.is_described, true) {
                return error(format!("second HELP line for metric name {name:?}"));
            }
            continue;
        }
        let kind = words.next().unwrap_or("");
        if family.kind.is_some() {
            return error(format!(
                "second TYPE line for metric name {name:?}, or TYPE reported after samples"
            ));
        }
        let lower = kind.to_ascii_lowercase();
        if !TYPES.contains(&lower.as_str()) {
            return error(format!("unknown metric type {kind:?}"));
        }
        family.kind = Some(lower);
    }
    Ok(found)
}

/// The family of a name, which may be a part of a histogram or a summary that is known already.
fn family_name(families: &HashMap<String, Family>, name: &str) -> String {
    let is = |base: &str, kind: &str| {
        let family = families.get(base);
        family.is_some_and(|family| family.kind.as_deref() == Some(kind))
    };
    let parts = [
        ("_count", "summary"),
        ("_sum", "summary"),
        ("_count", "histogram"),
        ("_sum", "histogram"),
        ("_bucket", "histogram"),
    ];
    let of_part = || {
        parts.iter().find_map(|(suffix, kind)| {
            let base = name.strip_suffix(suffix)?;
            is(base, kind).then(|| base.to_owned())
        })
    };
    match families.contains_key(name) {
        true => name.to_owned(),
        false => of_part().unwrap_or_else(|| name.to_owned()),
    }
}

/// The name of a sample's series, and its labels in order; `None` where the line has none.
fn sample(line: &str) -> Option<(String, Vec<(String, String)>)> {
    let end = match line.find(['{', ' ', '\t'])? {
        at if line[at..].starts_with('{') => at + closing(&line[at..])? + 1,
        at => at,
    };
    // Labels are written as equal matchers of PromQL are.
    let matchers = parse_metric_selector(&line[..end]).ok()?;
    let pairs = matchers.iter();
    let mut labels: Vec<(String, String)> = pairs
        .map(|one| (one.name().to_owned(), one.value().to_owned()))
        .collect();
    labels.sort();
    let (_, name) = labels.iter().find(|(label, _)| label == "__name__")?;
    Some((name.clone(), labels))
}

/// Where the brace closes that a text begins with.
fn closing(text: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '}' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_refused_and_linted_as_promtool_does() {
        let refused = |line: usize, why: &str| {
            Err(format!("text format parsing error in line {line}: {why}"))
        };
        let second = "second TYPE line for metric name \"a\", or TYPE reported after samples";
        for (page, expected) in [
            (
                "# HELP a x\n# TYPE a gauge\na 1\na{b=\"}\"} 2\n",
                Ok(vec![]),
            ),
            ("a 1\na 2\n", Ok(vec!["a metric not unique"])),
            (
                "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\",} 1\n",
                Ok(vec!["a metric not unique"]),
            ),
            ("a 1 5\na 1 6\n", Ok(vec!["a metric not unique"])),
            ("# TYPE a gauge\n# TYPE a gauge\n", refused(2, second)),
            ("a 1\n# TYPE a gauge\n", refused(2, second)),
            (
                "# TYPE a histogram\na_sum 1\n# TYPE a_sum gauge\n",
                refused(3, second),
            ),
            (
                "# HELP a x\n# HELP a x\n",
                refused(2, "second HELP line for metric name \"a\""),
            ),
            ("# TYPE a foo\n", refused(1, "unknown metric type \"foo\"")),
            ("# a comment\n# EOF\n", Ok(vec![])),
            ("", Ok(vec![])),
        ] {
            let expected =
                expected.map(|lints| lints.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(lints(page), expected, "{page}");
        }
    }
}
