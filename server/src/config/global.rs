//! The `global` section.

use stillwell_engine::labels::{Labels, LabelsBuilder};

use super::histograms::{HISTOGRAMS, HistogramKeys};
use super::labels::labels;
use super::limits::{LIMITS, PageLimits};
use super::protocols::{ESCAPINGS, protocols};
use super::schema::{Inline, Key, Keys, Shape, decode, read, unused};
use super::units::{duration_ms, show_duration_ms};
use crate::yaml::Report;
use crate::yaml::{Entry, Kind, Node};

/// Prometheus' default intervals of scraping and of rules.
const INTERVAL_MS_DEFAULT: u64 = 60_000;

/// The `global` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// Between two scrapes.
    pub interval_ms: u64,
    /// Where it was set.
    pub timeout_ms: Option<u64>,
    /// Between two evaluations of rules, where it was set.
    pub evaluation_interval_ms: u64,
    /// Rules are evaluated this long before now.
    pub rule_query_offset_ms: u64,
    /// Added to what leaves this server: federation, alerts.
    pub external_labels: Labels,
    /// Formats that are asked for; Prometheus' default where it is empty.
    pub protocols: Vec<String>,
    /// How names are escaped, where it was set.
    pub escaping: String,
    /// Which names are valid, where it was set: `legacy` or `utf8`. Every name is taken; how names are asked for follows.
    pub validation: String,
    /// Inherited limits.
    pub limits: PageLimits,
    /// Inherited keys of histograms.
    pub histograms: HistogramKeys,
}

impl Default for Global {
    fn default() -> Global {
        Global {
            interval_ms: INTERVAL_MS_DEFAULT,
            timeout_ms: None,
            evaluation_interval_ms: INTERVAL_MS_DEFAULT,
            rule_query_offset_ms: 0,
            external_labels: Labels::empty(),
            protocols: Vec::new(),
            escaping: String::new(),
            validation: String::new(),
            limits: PageLimits::default(),
            histograms: HistogramKeys::default(),
        }
    }
}

pub(super) const UTF8_NAMES: &str = "every UTF-8 name is taken, as Prometheus 3 does by default";
pub(super) const FAILURES_LOGGED: &str = "failed scrapes are in the ordinary log";

static GLOBAL: &[Key<Global>] = &[
    read("scrape_interval", |entry, global, report| {
        global.interval_ms = nonzero_ms(entry, report).unwrap_or(global.interval_ms);
    }),
    read("scrape_timeout", |entry, global, report| {
        global.timeout_ms = nonzero_ms(entry, report);
    }),
    read("scrape_protocols", |entry, global, report| {
        global.protocols = protocols(entry, report);
    }),
    read("evaluation_interval", |entry, global, report| {
        let ms = nonzero_ms(entry, report);
        global.evaluation_interval_ms = ms.unwrap_or(global.evaluation_interval_ms);
    }),
    read("rule_query_offset", |entry, global, report| {
        global.rule_query_offset_ms = nonzero_ms(entry, report).unwrap_or(0);
    }),
    read("external_labels", |entry, global, report| {
        global.external_labels = expanded(&labels(entry, report));
    }),
    read("metric_name_escaping_scheme", |entry, global, report| {
        global.escaping = escaping(entry, report);
    }),
    read("metric_name_validation_scheme", |entry, global, report| {
        global.validation = validation(entry, "global", report);
    }),
    unused("query_log_file", Shape::Text, "queries are not logged"),
    unused("scrape_failure_log_file", Shape::Text, FAILURES_LOGGED),
];

pub(super) fn global(node: &Node, report: &mut Report) -> Global {
    let mut global = Global::default();
    let limits = Inline {
        keys: LIMITS,
        part: |global: &mut Global| &mut global.limits,
    };
    let histograms = Inline {
        keys: HISTOGRAMS,
        part: |global: &mut Global| &mut global.histograms,
    };
    let tables: [&dyn Keys<Global>; 3] = [&GLOBAL, &limits, &histograms];
    decode(node, "global", &tables, &mut global, report);
    let too_long = global.timeout_ms.filter(|ms| *ms > global.interval_ms);
    if let Some(timeout_ms) = too_long.filter(|_| global.interval_ms >= 1_000) {
        let (timeout, interval) = (
            show_duration_ms(timeout_ms),
            show_duration_ms(global.interval_ms),
        );
        report.error(
            node.line,
            format!("global: scrape_timeout {timeout} is longer than scrape_interval {interval}"),
        );
    }
    global
}

/// A duration; 0 is as good as none, as in Prometheus.
pub(super) fn nonzero_ms(entry: &Entry, report: &mut Report) -> Option<u64> {
    report.parsed(entry, duration_ms).filter(|ms| *ms > 0)
}

/// Reads how names are escaped.
pub(super) fn escaping(entry: &Entry, report: &mut Report) -> String {
    let scheme = report.parsed(entry, |text| {
        let known = text.is_empty() || ESCAPINGS.contains(&text);
        known
            .then(|| text.to_owned())
            .ok_or_else(|| format!("{text:?} is not one of {}", ESCAPINGS.join(", ")))
    });
    scheme.unwrap_or_default()
}

/// `metric_name_validation_scheme`: without effect on what is taken.
pub(super) fn validation(entry: &Entry, what: &str, report: &mut Report) -> String {
    Shape::OneOf(&["", "legacy", "utf8"]).check(&entry.value, &entry.key, report);
    let Kind::Scalar { text, .. } = &entry.value.kind else {
        return String::new();
    };
    report.warn(
        entry.line,
        format!("{} in {what} has no effect here: {UTF8_NAMES}", entry.key),
    );
    text.clone()
}

/// `$NAME` and `${NAME}` in values are environment variables, `$$` is a dollar.
fn expanded(labels: &Labels) -> Labels {
    let mut builder = LabelsBuilder::default();
    for (name, value) in labels.iter() {
        let value = expand(value, |name| std::env::var(name).unwrap_or_default());
        builder.set(name, &value);
    }
    builder.build()
}

fn expand(text: &str, value_of: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
        {
            out.push_str(&value_of(name));
            rest = after;
        } else {
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            if end == 0 {
                out.push('$');
            } else {
                out.push_str(&value_of(&rest[..end]));
            }
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_labels_take_environment_variables() {
        let value_of = |name: &str| match name {
            "HOST" => "h1".to_owned(),
            _ => String::new(),
        };
        for (text, expanded) in [
            ("", ""),
            ("plain", "plain"),
            ("$HOST", "h1"),
            ("a-${HOST}-b", "a-h1-b"),
            ("$HOST.$NONE.", "h1.."),
            ("a$$HOST", "a$HOST"),
            ("100$", "100$"),
            ("${open", "${open"),
        ] {
            assert_eq!(expand(text, value_of), expanded, "{text}");
        }
    }
}
