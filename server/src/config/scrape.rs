//! One entry of `scrape_configs`, and the `global` section it inherits from.

use stillwell_engine::Retain;
use stillwell_engine::labels::{Labels, LabelsBuilder, RelabelRule};

use super::relabel::rules;
use super::report::Report;
use super::tables;
use super::units::{duration_ms, show_duration_ms, size_bytes};
use super::yaml::{Entry, Kind, Node};

/// Faster than this and the timers of the machines between cost more than the page.
pub const INTERVAL_MS_MIN: u64 = 10;
/// What a page may have where nothing is configured: twice the largest gateway page that its label caps allow.
pub const BODY_BYTES_MAX_DEFAULT: u64 = 256 << 20;
/// Prometheus' default interval.
const INTERVAL_MS_DEFAULT: u64 = 60_000;
/// A timeout that nobody configured is at most this, and at most ten intervals.
const TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// The timeout of a job that sets none: long enough for a slow page, short enough to notice a dead target.
pub const fn default_timeout_ms(interval_ms: u64) -> u64 {
    let bounded = match interval_ms.saturating_mul(10) {
        ten if ten < TIMEOUT_MS_DEFAULT => ten,
        _ => TIMEOUT_MS_DEFAULT,
    };
    if bounded > interval_ms {
        bounded
    } else {
        interval_ms
    }
}

/// The limits that a job takes from `global` where it sets none itself; 0 is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageLimits {
    /// Bytes of a page, before and after inflating.
    pub body_bytes_max: u64,
    /// Samples of a page after relabelling.
    pub samples_max: u64,
    /// Targets of the job.
    pub targets_max: u64,
    /// Labels of a series.
    pub labels_max: u64,
    /// Bytes of a label's name.
    pub label_name_bytes_max: u64,
    /// Bytes of a label's value.
    pub label_value_bytes_max: u64,
    /// Dropped targets that are remembered for `/api/v1/targets`.
    pub dropped_targets_max: u64,
}

/// The `global` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Between two scrapes.
    pub interval_ms: u64,
    /// Where it was set.
    pub timeout_ms: Option<u64>,
    /// Inherited limits.
    pub limits: PageLimits,
}

impl Default for Global {
    fn default() -> Global {
        let limits = PageLimits::default();
        Global {
            interval_ms: INTERVAL_MS_DEFAULT,
            timeout_ms: None,
            limits,
        }
    }
}

/// One entry of `scrape_configs`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeJob {
    /// Its name, the value of `job`.
    pub name: String,
    /// `http` or `https`.
    pub scheme: String,
    /// `/metrics`.
    pub path: String,
    /// Query parameters of the URL.
    pub params: Vec<(String, Vec<String>)>,
    /// Between two scrapes.
    pub interval_ms: u64,
    /// For one scrape.
    pub timeout_ms: u64,
    /// Labels of the page win over the target's.
    pub honor_labels: bool,
    /// Timestamps of the page win over the scrape's.
    pub honor_timestamps: bool,
    /// Whether gzip is asked for; `None` leaves it to the interval.
    pub compression: Option<bool>,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Caps.
    pub limits: PageLimits,
    /// Rewrites targets.
    pub relabel: Vec<RelabelRule>,
    /// Rewrites series.
    pub metric_relabel: Vec<RelabelRule>,
    /// The targets.
    pub groups: Vec<StaticGroup>,
    /// What is kept.
    pub retain: Retain,
    /// Where it stands in the file.
    pub line: usize,
}

/// One entry of `static_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticGroup {
    /// `host:port` each.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Labels,
}

pub(super) fn global(node: &Node, report: &mut Report) -> Global {
    let mut global = Global::default();
    for entry in report.fields(node, "global", &tables::GLOBAL) {
        match entry.key.as_str() {
            "scrape_interval" => interval(entry, report, &mut global.interval_ms),
            "scrape_timeout" => global.timeout_ms = positive_ms(entry, report),
            "scrape_protocols" => protocols(entry, report),
            _ => limit(entry, report, &mut global.limits),
        }
    }
    global
}

pub(super) fn job(node: &Node, global: &Global, report: &mut Report) -> ScrapeJob {
    let mut job = ScrapeJob {
        name: String::new(),
        scheme: "http".to_owned(),
        path: "/metrics".to_owned(),
        params: Vec::new(),
        interval_ms: global.interval_ms,
        timeout_ms: 0,
        honor_labels: false,
        honor_timestamps: true,
        compression: None,
        follow_redirects: true,
        limits: PageLimits::default(),
        relabel: Vec::new(),
        metric_relabel: Vec::new(),
        groups: Vec::new(),
        retain: Retain::All,
        line: node.line,
    };
    let mut timeout_ms = None;
    for entry in report.fields(node, "a scrape_config", &tables::SCRAPE) {
        match entry.key.as_str() {
            "job_name" => text(entry, report, &mut job.name),
            "scheme" => {
                text(entry, report, &mut job.scheme);
                check_scheme(entry, &job.scheme, report);
            }
            "metrics_path" => text(entry, report, &mut job.path),
            "params" => job.params = params(entry, report),
            "scrape_interval" => interval(entry, report, &mut job.interval_ms),
            "scrape_timeout" => timeout_ms = positive_ms(entry, report),
            "scrape_protocols" => protocols(entry, report),
            "honor_labels" => job.honor_labels = report.flag(entry).unwrap_or(false),
            "honor_timestamps" => job.honor_timestamps = report.flag(entry).unwrap_or(true),
            "enable_compression" => job.compression = report.flag(entry),
            "follow_redirects" => job.follow_redirects = report.flag(entry).unwrap_or(true),
            "relabel_configs" => job.relabel = rules(entry, report),
            "metric_relabel_configs" => job.metric_relabel = rules(entry, report),
            "static_configs" => job.groups = groups(entry, report),
            "retain" => {
                let retain = report.parsed(entry, |text| match text {
                    "all" => Ok(Retain::All),
                    "signals" => Ok(Retain::Signals),
                    _ => Err(format!("{text:?} is neither all nor signals")),
                });
                job.retain = retain.unwrap_or_default();
            }
            _ => limit(entry, report, &mut job.limits),
        }
    }
    if job.name.is_empty() {
        report.error(node.line, "a scrape_config needs a job_name");
    }
    let inherited_ms = || {
        let rule_ms = default_timeout_ms(job.interval_ms);
        global.timeout_ms.map_or(rule_ms, |ms| ms.min(rule_ms))
    };
    job.timeout_ms = timeout_ms.unwrap_or_else(inherited_ms);
    inherit(&mut job.limits, &global.limits);
    job
}

fn text(entry: &Entry, report: &mut Report, into: &mut String) {
    if let Some(text) = report.text(&entry.value, &entry.key) {
        text.clone_into(into);
    }
}

fn check_scheme(entry: &Entry, scheme: &str, report: &mut Report) {
    match scheme {
        "http" => {}
        "https" => report.error(
            entry.line,
            "scheme: https is not built yet; scrape the gateway's plain http port",
        ),
        other => report.error(
            entry.line,
            format!("scheme: {other:?} is neither http nor https"),
        ),
    }
}

fn positive_ms(entry: &Entry, report: &mut Report) -> Option<u64> {
    report.parsed(entry, |text| match duration_ms(text)? {
        0 => Err("must be longer than 0".to_owned()),
        ms => Ok(ms),
    })
}

fn interval(entry: &Entry, report: &mut Report, into: &mut u64) {
    match positive_ms(entry, report) {
        Some(ms) if ms < INTERVAL_MS_MIN => {
            let least = show_duration_ms(INTERVAL_MS_MIN);
            report.error(
                entry.line,
                format!("scrape_interval: the shortest is {least}"),
            );
        }
        Some(ms) => *into = ms,
        None => {}
    }
}

fn protocols(entry: &Entry, report: &mut Report) {
    const KNOWN: [&str; 5] = [
        "PrometheusProto",
        "OpenMetricsText0.0.1",
        "OpenMetricsText1.0.0",
        "PrometheusText0.0.4",
        "PrometheusText1.0.0",
    ];
    let names = report.texts(entry);
    for name in &names {
        if !KNOWN.contains(&name.as_str()) {
            let known = KNOWN.join(", ");
            report.error(
                entry.line,
                format!("scrape_protocols: {name:?} is not one of {known}"),
            );
        }
    }
    if !names.is_empty() && !names.iter().any(|name| name == "PrometheusText0.0.4") {
        report.warn(
            entry.line,
            "scrape_protocols has no effect here: PrometheusText0.0.4 is asked for, the others are not read yet",
        );
    }
}

fn limit(entry: &Entry, report: &mut Report, limits: &mut PageLimits) {
    if entry.key == "body_size_limit" {
        limits.body_bytes_max = report.parsed(entry, size_bytes).unwrap_or(0);
        return;
    }
    let number = report.number(entry).unwrap_or(0);
    match entry.key.as_str() {
        "sample_limit" => limits.samples_max = number,
        "target_limit" => limits.targets_max = number,
        "label_limit" => limits.labels_max = number,
        "label_name_length_limit" => limits.label_name_bytes_max = number,
        "label_value_length_limit" => limits.label_value_bytes_max = number,
        "keep_dropped_targets" => limits.dropped_targets_max = number,
        other => unreachable!("{other} is in the table and has no arm"),
    }
}

fn inherit(own: &mut PageLimits, global: &PageLimits) {
    for (own, global) in [
        (&mut own.body_bytes_max, global.body_bytes_max),
        (&mut own.samples_max, global.samples_max),
        (&mut own.targets_max, global.targets_max),
        (&mut own.labels_max, global.labels_max),
        (&mut own.label_name_bytes_max, global.label_name_bytes_max),
        (&mut own.label_value_bytes_max, global.label_value_bytes_max),
        (&mut own.dropped_targets_max, global.dropped_targets_max),
    ] {
        if *own == 0 {
            *own = global;
        }
    }
    if own.body_bytes_max == 0 {
        own.body_bytes_max = BODY_BYTES_MAX_DEFAULT;
    }
}

fn params(entry: &Entry, report: &mut Report) -> Vec<(String, Vec<String>)> {
    let Kind::Map(entries) = &entry.value.kind else {
        if !matches!(entry.value.kind, Kind::Null) {
            report.error(
                entry.line,
                "params must be a mapping of names to lists of values",
            );
        }
        return Vec::new();
    };
    entries
        .iter()
        .map(|param| (param.key.clone(), report.texts(param)))
        .collect()
}

fn groups(entry: &Entry, report: &mut Report) -> Vec<StaticGroup> {
    let mut groups = Vec::new();
    for item in report.items(entry) {
        let mut group = StaticGroup {
            targets: Vec::new(),
            labels: Labels::empty(),
        };
        for field in report.fields(item, "a static_config", &tables::STATIC) {
            match field.key.as_str() {
                "targets" => group.targets = addresses(field, report),
                _ => group.labels = labels(field, report),
            }
        }
        groups.push(group);
    }
    groups
}

fn addresses(entry: &Entry, report: &mut Report) -> Vec<String> {
    let items = report.items(entry);
    let mut addresses = Vec::with_capacity(items.len());
    for item in items {
        let address = report.text(item, "a target").unwrap_or("");
        if address.is_empty() {
            report.error(item.line, "a target must be host:port");
        } else if address.contains('/') {
            report.error(
                item.line,
                format!("target {address:?} must be host:port; the path goes into metrics_path"),
            );
        } else {
            addresses.push(address.to_owned());
        }
    }
    addresses
}

/// A mapping of label names to values.
pub(super) fn labels(entry: &Entry, report: &mut Report) -> Labels {
    let mut builder = LabelsBuilder::default();
    match &entry.value.kind {
        Kind::Map(entries) => {
            for label in entries {
                let value = report.text(&label.value, &label.key).unwrap_or("");
                if label.key.is_empty() {
                    report.error(label.line, "a label needs a name");
                } else {
                    builder.set(&label.key, value);
                }
            }
        }
        Kind::Null => {}
        _ => report.error(
            entry.line,
            format!("{} must be a mapping of names to values", entry.key),
        ),
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_timeout_follows_the_interval() {
        for (interval_ms, timeout_ms) in [
            (10, 100),
            (100, 1_000),
            (1_000, 10_000),
            (5_000, 10_000),
            (15_000, 15_000),
            (60_000, 60_000),
        ] {
            assert_eq!(default_timeout_ms(interval_ms), timeout_ms, "{interval_ms}");
        }
    }
}
