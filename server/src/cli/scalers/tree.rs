//! Manifests as trees.

use stillwell_engine::nearest::near_or_all;

use crate::yaml::{Entry, Kind, Node};

/// Documents of a YAML text, each with the number of lines before it.
pub(super) fn documents(text: &str) -> Vec<(usize, String)> {
    let mut all = vec![(0, String::new())];
    for (at, line) in text.lines().enumerate() {
        let is_mark = line.strip_prefix("---");
        if is_mark.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) {
            all.push((at + 1, String::new()));
        } else if let Some((_, document)) = all.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    all
}

pub(super) fn at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, key| {
        let entry = entries(node).iter().find(|entry| entry.key == *key)?;
        Some(&entry.value)
    })
}

pub(super) fn text<'n>(node: &'n Node, path: &[&str]) -> Option<&'n str> {
    match &at(node, path)?.kind {
        Kind::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

pub(super) fn list<'n>(node: &'n Node, path: &[&str]) -> &'n [Node] {
    match at(node, path).map(|node| &node.kind) {
        Some(Kind::List(items)) => items,
        _ => &[],
    }
}

pub(super) fn entries(node: &Node) -> &[Entry] {
    match &node.kind {
        Kind::Map(entries) => entries,
        _ => &[],
    }
}

/// A query as a line of a report shows it.
pub(super) fn on_one_line(query: &str) -> String {
    query.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is said of a key that is none of `known`.
pub(super) fn unknown_key<'k>(key: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    format!("unknown key {key}{}", near_or_all(key, known))
}

/// A quantity of Kubernetes as a number: decimal digits, and a suffix or an exponent.
pub(super) fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let number = |text: &str| {
        // `inf` and `nan` are numbers to Rust.
        let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E');
        text.chars().all(digits).then(|| text.parse::<f64>().ok())?
    };
    let text = text.trim();
    let suffixed = || {
        SUFFIXES.iter().find_map(|(suffix, factor)| {
            let digits = text.strip_suffix(suffix)?;
            Some(number(digits)? * factor)
        })
    };
    number(text).or_else(suffixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for (text, number) in [
            ("80", Some(80.0)),
            ("0.8", Some(0.8)),
            ("800m", Some(0.8)),
            ("2k", Some(2000.0)),
            ("1Ki", Some(1024.0)),
            ("1e3", Some(1000.0)),
            ("2E", Some(2e18)),
            ("many", None),
            ("inf", None),
            ("NaN", None),
            ("", None),
        ] {
            assert_eq!(quantity(text), number, "{text}");
        }
    }

    #[test]
    fn documents_begin_at_marks() {
        let found = documents("a: 1\n--- # second\nb: 2\n---\nc: ---\n");
        let lines: Vec<usize> = found.iter().map(|(before, _)| *before).collect();
        assert_eq!(lines, [0, 2, 4]);
    }
}
