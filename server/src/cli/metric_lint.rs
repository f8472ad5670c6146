//! Lints of a page for `stillwell check metrics`: what the conventions of Prometheus ask of metrics (prometheus.io, "Metric and
//! label naming"; `promtool check metrics` looks for the same). A page with lints is read all the same.

use std::collections::BTreeMap;

use stillwell_engine::labels::Labels;

/// A family as the page describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Family {
    /// `counter`, `gauge`, ...; `unknown` or empty where the page does not say.
    pub(super) kind: String,
    pub(super) help: String,
}

/// Units that are no base unit, by the base unit that stands for them.
const UNITS: [(&str, &[&str]); 9] = [
    ("seconds", &["minutes", "hours", "days", "weeks"]),
    ("celsius", &["kelvin", "fahrenheit", "rankine"]),
    ("meters", &["inches", "yards", "miles"]),
    ("bytes", &["bits"]),
    ("joules", &["calories"]),
    ("grams", &["pounds", "ounces"]),
    ("volts", &[]),
    ("amperes", &[]),
    ("ratio", &["percent", "percentage"]),
];
const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega",
    "mebi", "giga", "gibi", "tera", "tebi", "peta", "pebi",
];
const ABBREVIATIONS: [&str; 15] = [
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d", "g",
];
const KINDS: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];

/// The lints of a page, as `name text`, each once, in the order of names. `series` are all of the page.
pub(super) fn lints(mut families: BTreeMap<String, Family>, series: &[Labels]) -> Vec<String> {
    let mut found = Vec::new();
    for name in series.iter().filter_map(Labels::metric_name) {
        if family_of(&families, name).is_none() {
            families.insert(name.to_owned(), Family::default());
        }
    }
    for (name, family) in &families {
        of_family(name, family, &mut found);
    }
    for labels in series {
        of_series(labels, &families, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn of_family(name: &str, family: &Family, found: &mut Vec<String>) {
    let mut lint = |text: String| found.push(format!("{name} {text}"));
    if family.help.is_empty() {
        lint("no help text".to_owned());
    }
    let kind = family.kind.as_str();
    let is_total = name.ends_with("_total");
    match kind {
        "counter" if !is_total => lint("counters should end in \"_total\"".to_owned()),
        "gauge" | "histogram" | "summary" if is_total => {
            lint(format!("a {kind} should not end in \"_total\""));
        }
        _ => {}
    }
    if matches!(kind, "counter" | "gauge") {
        let reserved = ["_bucket", "_count", "_sum"];
        for suffix in reserved.iter().filter(|suffix| name.ends_with(**suffix)) {
            lint(format!(
                "a {kind} should not end in {suffix:?}, which parts of histograms and summaries do"
            ));
        }
    }
    let words: Vec<String> = name
        .to_ascii_lowercase()
        .split('_')
        .map(str::to_owned)
        .collect();
    if let Some(kind) = KINDS
        .iter()
        .find(|kind| words.iter().any(|word| word == *kind))
    {
        lint(format!("the name should not have its type {kind:?} in it"));
    }
    if name.contains(':') {
        lint("colons are for recording rules".to_owned());
    }
    if is_camel(name) {
        lint("names are written in snake_case, not camelCase".to_owned());
    }
    for word in &words {
        if let Some(base) = base_unit(word) {
            lint(format!("use the base unit {base:?} instead of {word:?}"));
        }
    }
    // Of a counter the unit stands before the suffix; a first word is no unit.
    let unit = words.iter().skip(1).rfind(|word| word.as_str() != "total");
    if let Some(unit) = unit.filter(|unit| ABBREVIATIONS.contains(&unit.as_str())) {
        lint(format!("the unit {unit:?} should be written out"));
    }
}

fn of_series(labels: &Labels, families: &BTreeMap<String, Family>, found: &mut Vec<String>) {
    let Some(name) = labels.metric_name() else {
        return;
    };
    let family = family_of(families, name);
    let (name, kind) = family.map_or((name, ""), |(name, family)| (name, family.kind.as_str()));
    let mut lint = |text: String| found.push(format!("{name} {text}"));
    for (label, _) in labels.iter().filter(|(label, _)| *label != "__name__") {
        if is_camel(label) {
            lint(format!(
                "label {label:?}: names are written in snake_case, not camelCase"
            ));
        }
        let of_other = match label {
            "le" => matches!(kind, "counter" | "gauge" | "summary"),
            "quantile" => matches!(kind, "counter" | "gauge" | "histogram"),
            _ => false,
        };
        if of_other {
            lint(format!("a {kind} should not have the label {label:?}"));
        }
    }
}

/// The family of a series of this name, which may be a part of a histogram or summary.
fn family_of<'f>(
    families: &'f BTreeMap<String, Family>,
    name: &str,
) -> Option<(&'f str, &'f Family)> {
    let suffixes = ["", "_bucket", "_count", "_sum"];
    let found = suffixes.iter().find_map(|suffix| {
        let base = name.strip_suffix(suffix)?;
        families.get_key_value(base)
    });
    found.map(|(name, family)| (name.as_str(), family))
}

fn is_camel(name: &str) -> bool {
    let mut pairs = name.as_bytes().windows(2);
    pairs.any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// The base unit that a word of a name should be; `None` where it is one, or no unit.
fn base_unit(word: &str) -> Option<&'static str> {
    UNITS.iter().find_map(|(base, others)| {
        let is_unit = |text: &str| text == *base || others.contains(&text);
        let prefixed = |prefix: &str| word.strip_prefix(prefix).is_some_and(is_unit);
        (others.contains(&word) || PREFIXES.iter().any(|prefix| prefixed(prefix))).then_some(*base)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_convention_has_a_lint() {
        for (name, kind, labels, expected) in [
            ("requests_total", "counter", "a", None),
            ("request_duration_seconds", "histogram", "le", None),
            ("request_duration_seconds", "summary", "quantile", None),
            ("queue_bytes", "gauge", "a", None),
            (
                "requests",
                "counter",
                "a",
                Some("requests counters should end in \"_total\""),
            ),
            (
                "queue_total",
                "gauge",
                "a",
                Some("queue_total a gauge should not end in \"_total\""),
            ),
            (
                "queue_sum",
                "gauge",
                "a",
                Some(
                    "queue_sum a gauge should not end in \"_sum\", which parts of histograms and summaries do",
                ),
            ),
            (
                "queue_gauge",
                "gauge",
                "a",
                Some("queue_gauge the name should not have its type \"gauge\" in it"),
            ),
            (
                "a:queue",
                "gauge",
                "a",
                Some("a:queue colons are for recording rules"),
            ),
            (
                "queueSize",
                "gauge",
                "a",
                Some("queueSize names are written in snake_case, not camelCase"),
            ),
            (
                "queue",
                "gauge",
                "podName",
                Some("queue label \"podName\": names are written in snake_case, not camelCase"),
            ),
            (
                "wait_milliseconds",
                "gauge",
                "a",
                Some("wait_milliseconds use the base unit \"seconds\" instead of \"milliseconds\""),
            ),
            (
                "wait_minutes",
                "gauge",
                "a",
                Some("wait_minutes use the base unit \"seconds\" instead of \"minutes\""),
            ),
            (
                "wait_ms_total",
                "counter",
                "a",
                Some("wait_ms_total the unit \"ms\" should be written out"),
            ),
            (
                "queue",
                "gauge",
                "le",
                Some("queue a gauge should not have the label \"le\""),
            ),
            (
                "queue",
                "gauge",
                "quantile",
                Some("queue a gauge should not have the label \"quantile\""),
            ),
        ] {
            let family = Family {
                kind: kind.to_owned(),
                help: "h".to_owned(),
            };
            let families = BTreeMap::from([(name.to_owned(), family)]);
            let series = [Labels::from_pairs([("__name__", name), (labels, "x")])];
            let found = lints(families, &series);
            let expected: Vec<String> = expected.map(str::to_owned).into_iter().collect();
            assert_eq!(found, expected, "{name}");
        }
        let bare = BTreeMap::from([("queue".to_owned(), Family::default())]);
        assert_eq!(lints(bare, &[]), ["queue no help text"]);
    }
}
