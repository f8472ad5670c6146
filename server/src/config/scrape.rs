//! One entry of `scrape_configs`.

use std::path::Path;

use stillwell_engine::labels::RelabelRule;
use stillwell_engine::{Format, HistogramOptions, Retain};

use super::discovery::{self, DISCOVERY, Discovery, Sources};
use super::global::{FAILURES_LOGGED, Global, escaping, nonzero_ms, validation};
use super::histograms::{HISTOGRAMS, HistogramKeys, schema_max};
use super::http_client::{HTTP, HttpClientConfig};
use super::limits::{LIMITS, PageLimits};
use super::protocols::{ALLOW_UTF8, UNDERSCORES, accept, fallback, protocols};
use super::relabel::rules;
use super::schema::{Inline, Key, Shape, decode, read, unused};
use super::units::show_duration_ms;
use super::unused_discovery::NotBuilt;
use crate::yaml::Report;
use crate::yaml::{Entry, Line, Node};

/// Faster than this and the timers of the machines between cost more than the page.
pub const INTERVAL_MS_MIN: u64 = 10;
/// From this interval on a default timeout is Prometheus'.
const SECOND_MS: u64 = 1_000;
/// Prometheus' default timeout; a shorter interval is a shorter timeout.
const TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// The timeout of a job that sets none: Prometheus' (10 s, at most the interval) from an interval of 1 s on; below it
/// ten intervals, at most 1 s, for a gateway that answers late is better than one that is never seen.
pub const fn default_timeout_ms(interval_ms: u64) -> u64 {
    let (wanted, most) = if interval_ms >= SECOND_MS {
        (TIMEOUT_MS_DEFAULT, interval_ms)
    } else {
        (interval_ms.saturating_mul(10), SECOND_MS)
    };
    if wanted < most { wanted } else { most }
}

/// The timeout of a job that sets none where `global` does.
fn inherited_timeout_ms(global_ms: Option<u64>, interval_ms: u64) -> u64 {
    let default_ms = default_timeout_ms(interval_ms);
    match global_ms {
        None => default_ms,
        Some(ms) if interval_ms >= SECOND_MS => ms.min(interval_ms),
        Some(ms) => ms.min(default_ms),
    }
}

/// One entry of `scrape_configs`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeJob {
    /// Its name, the value of `job`.
    pub name: String,
    /// `http` or `https`, before relabelling.
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
    /// The value of `Accept`.
    pub accept: String,
    /// How a page is read whose type is not known; refused where it is left out.
    pub fallback: Option<Format>,
    /// How targets are reached.
    pub http: HttpClientConfig,
    /// Caps.
    pub limits: PageLimits,
    /// What becomes of histograms.
    pub histograms: HistogramOptions,
    /// Whether further series about each scrape are written.
    pub extra_metrics: bool,
    /// Rewrites targets.
    pub relabel: Vec<RelabelRule>,
    /// Rewrites series.
    pub metric_relabel: Vec<RelabelRule>,
    /// Where targets are found.
    pub discovery: Vec<Discovery>,
    /// Why nothing of it is scraped, where that is so.
    pub not_scraped: Option<String>,
    /// What is kept.
    pub retain: Retain,
    /// How far the interval may be stretched.
    pub pace: Pace,
    /// Where it stands in the file.
    pub line: Line,
}

impl ScrapeJob {
    /// Makes relative paths ones below `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        self.http.resolve(base);
        discovery::resolve(&mut self.discovery, base);
    }
}

/// How far the interval of a job may be stretched, to cost its gateways less.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The longest time between two scrapes of a gateway where nothing happens (`scrape_interval_max`); without it the
    /// interval is never stretched for that.
    pub interval_ms_max: Option<u64>,
    /// The largest share of a gateway's time that scrapes of it take (`scrape_share_max`): by how long it takes to answer.
    pub share_max: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval_ms_max: None,
            share_max: SHARE_MAX,
        }
    }
}

/// Scrapes leave a gateway at least as much time as they take.
const SHARE_MAX: f64 = 0.5;

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= SHARE_MAX => Ok(share),
        _ => Err(format!(
            "{text:?} is no share of a gateway's time above 0 and at most {SHARE_MAX}; 0.05 leaves it 95%"
        )),
    }
}

/// A job while its keys are read.
struct Draft {
    job: ScrapeJob,
    interval_ms: Option<u64>,
    timeout_ms: Option<u64>,
    protocols: Vec<String>,
    escaping: String,
    validation: String,
    histograms: HistogramKeys,
    sources: Sources,
}

static SCRAPE: &[Key<Draft>] = &[
    read("job_name", |entry, draft, report| {
        text(entry, report, &mut draft.job.name);
    }),
    read("scheme", |entry, draft, report| {
        text(entry, report, &mut draft.job.scheme);
        let scheme = draft.job.scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https") {
            report.error(
                entry.line,
                format!("scheme: {scheme:?} is neither http nor https"),
            );
        }
    }),
    read("metrics_path", |entry, draft, report| {
        text(entry, report, &mut draft.job.path);
    }),
    read("params", |entry, draft, report| {
        let params = report.entries(&entry.value, "params").iter();
        let params = params.map(|param| (param.key.clone(), report.texts(param)));
        draft.job.params = params.collect();
    }),
    read("scrape_interval", |entry, draft, report| {
        draft.interval_ms = nonzero_ms(entry, report);
    }),
    read("scrape_interval_max", |entry, draft, report| {
        draft.job.pace.interval_ms_max = nonzero_ms(entry, report);
    }),
    read("scrape_share_max", |entry, draft, report| {
        let share = report.parsed(entry, share);
        draft.job.pace.share_max = share.unwrap_or(draft.job.pace.share_max);
    }),
    read("scrape_timeout", |entry, draft, report| {
        draft.timeout_ms = nonzero_ms(entry, report);
    }),
    read("scrape_protocols", |entry, draft, report| {
        draft.protocols = protocols(entry, report);
    }),
    read("fallback_scrape_protocol", |entry, draft, report| {
        draft.job.fallback = fallback(entry, report);
    }),
    read("honor_labels", |entry, draft, report| {
        draft.job.honor_labels = report.flag(entry).unwrap_or(false);
    }),
    read("honor_timestamps", |entry, draft, report| {
        draft.job.honor_timestamps = report.flag(entry).unwrap_or(true);
    }),
    read("enable_compression", |entry, draft, report| {
        draft.job.compression = report.flag(entry);
    }),
    read("relabel_configs", |entry, draft, report| {
        draft.job.relabel = rules(entry, report);
    }),
    read("metric_relabel_configs", |entry, draft, report| {
        draft.job.metric_relabel = rules(entry, report);
    }),
    read("metric_name_escaping_scheme", |entry, draft, report| {
        draft.escaping = escaping(entry, report);
    }),
    read("retain", |entry, draft, report| {
        let retain = report.parsed(entry, |text| match text {
            "all" => Ok(Retain::All),
            "signals" => Ok(Retain::Signals),
            _ => Err(format!("{text:?} is neither all nor signals")),
        });
        draft.job.retain = retain.unwrap_or_default();
    }),
    unused(
        "track_timestamps_staleness",
        Shape::Flag,
        "a series with timestamps of its own ends by the lookback",
    ),
    unused("scrape_failure_log_file", Shape::Text, FAILURES_LOGGED),
    read("native_histogram_bucket_limit", |entry, draft, report| {
        let limit = report.number(entry).unwrap_or(0);
        draft.job.histograms.buckets_max = usize::try_from(limit).unwrap_or(usize::MAX);
    }),
    read(
        "native_histogram_min_bucket_factor",
        |entry, draft, report| {
            draft.job.histograms.schema_max = schema_max(entry, report);
        },
    ),
    read("metric_name_validation_scheme", |entry, draft, report| {
        draft.validation = validation(entry, "a job", report);
    }),
];

const LEGACY: &str = "legacy";

fn validation_of<'d>(draft: &'d Draft, global: &'d Global) -> &'d str {
    match draft.validation.as_str() {
        "" => &global.validation,
        own => own,
    }
}

/// How names are asked for: as the job says, or as follows from what it says of valid names, or the same of `global`.
fn escaping_of<'d>(draft: &'d Draft, global: &'d Global) -> &'d str {
    let of = |scheme: &'d str, validation: &str| match (scheme, validation) {
        ("", LEGACY) => UNDERSCORES,
        ("", _) => ALLOW_UTF8,
        (scheme, _) => scheme,
    };
    match (draft.escaping.as_str(), draft.validation.as_str()) {
        ("", "") => of(&global.escaping, &global.validation),
        (own, validation) => of(own, validation),
    }
}

/// Reads one job, with what it takes from `global`.
pub(super) fn job(node: &Node, global: &Global, report: &mut Report) -> ScrapeJob {
    let mut draft = Draft {
        job: default_job(node.line),
        interval_ms: None,
        timeout_ms: None,
        protocols: global.protocols.clone(),
        escaping: String::new(),
        validation: String::new(),
        histograms: HistogramKeys::default(),
        sources: Sources::default(),
    };
    let limits = Inline {
        keys: LIMITS,
        part: |draft: &mut Draft| &mut draft.job.limits,
    };
    let http = Inline {
        keys: HTTP,
        part: |draft: &mut Draft| &mut draft.job.http,
    };
    let discovery = Inline {
        keys: DISCOVERY,
        part: |draft: &mut Draft| &mut draft.sources,
    };
    let not_built = Inline {
        keys: NotBuilt,
        part: |draft: &mut Draft| &mut draft.sources,
    };
    let histograms = Inline {
        keys: HISTOGRAMS,
        part: |draft: &mut Draft| &mut draft.histograms,
    };
    let tables: [&dyn super::schema::Keys<Draft>; 6] =
        [&SCRAPE, &limits, &histograms, &http, &discovery, &not_built];
    decode(node, "a scrape_config", &tables, &mut draft, report);
    finish(draft, global, report)
}

fn default_job(line: usize) -> ScrapeJob {
    ScrapeJob {
        name: String::new(),
        scheme: "http".to_owned(),
        path: "/metrics".to_owned(),
        params: Vec::new(),
        interval_ms: 0,
        timeout_ms: 0,
        honor_labels: false,
        honor_timestamps: true,
        compression: None,
        accept: String::new(),
        fallback: None,
        http: HttpClientConfig::default(),
        limits: PageLimits::default(),
        histograms: HistogramOptions::default(),
        extra_metrics: false,
        relabel: Vec::new(),
        metric_relabel: Vec::new(),
        discovery: Vec::new(),
        not_scraped: None,
        retain: Retain::All,
        pace: Pace::default(),
        line: Line(line),
    }
}

fn check_pace(job: &ScrapeJob, report: &mut Report) {
    if let Some(most) = job.pace.interval_ms_max
        && most < job.interval_ms
    {
        let (most, interval) = (show_duration_ms(most), show_duration_ms(job.interval_ms));
        let (name, line) = (&job.name, job.line.0);
        report.error(
            line,
            format!("job {name:?}: scrape_interval_max {most} is shorter than scrape_interval {interval}"),
        );
    }
}

/// What follows from several keys together.
fn finish(draft: Draft, global: &Global, report: &mut Report) -> ScrapeJob {
    let escaping = escaping_of(&draft, global).to_owned();
    let takes_old_names_alone = validation_of(&draft, global) == LEGACY;
    let Draft {
        mut job, sources, ..
    } = draft;
    let line = job.line.0;
    if job.name.is_empty() {
        report.error(line, "a scrape_config needs a job_name");
    }
    job.interval_ms = draft.interval_ms.unwrap_or(global.interval_ms);
    if job.interval_ms < INTERVAL_MS_MIN {
        let (asked, least) = (
            show_duration_ms(job.interval_ms),
            show_duration_ms(INTERVAL_MS_MIN),
        );
        report.warn(
            line,
            format!(
                "job {:?}: scrape_interval {asked} is read as {least}, the shortest",
                job.name
            ),
        );
        job.interval_ms = INTERVAL_MS_MIN;
    }
    let inherited_ms = inherited_timeout_ms(global.timeout_ms, job.interval_ms);
    job.timeout_ms = draft.timeout_ms.unwrap_or(inherited_ms);
    // A shorter interval may be waited for longer: a gateway that answers late is better than one that is never seen.
    if job.interval_ms >= SECOND_MS && job.timeout_ms > job.interval_ms {
        let (timeout, interval) = (
            show_duration_ms(job.timeout_ms),
            show_duration_ms(job.interval_ms),
        );
        let name = &job.name;
        report.error(
            line,
            format!(
                "job {name:?}: scrape_timeout {timeout} is longer than scrape_interval {interval}"
            ),
        );
    }
    check_pace(&job, report);
    job.limits.inherit(&global.limits);
    if escaping == ALLOW_UTF8 && takes_old_names_alone {
        report.error(
            line,
            format!(
                "job {:?}: utf8 metric names requested (metric_name_escaping_scheme) but validation scheme is not set to UTF8",
                job.name
            ),
        );
    }
    let histograms = draft.histograms.inherit(&global.histograms);
    histograms.apply(&mut job.histograms);
    job.extra_metrics = histograms.extra_metrics();
    job.accept = accept(&draft.protocols, histograms.native(), &escaping);
    job.http.check(report);
    if job.relabel.is_empty() {
        check_addresses(&sources.ways, report);
    }
    if let Some((why, line)) = job.http.unsupported.clone() {
        leave_out(&mut job, line.0, why, report);
    } else {
        say_what_is_missing(&mut job, &sources, report);
    }
    job.discovery = sources.ways;
    job
}

/// Without relabelling an address cannot become one, so a URL among the targets is a mistake.
pub(super) fn check_addresses(ways: &[Discovery], report: &mut Report) {
    for way in ways {
        let Discovery::Static(group) = way else {
            continue;
        };
        for address in group.targets.iter().filter(|address| address.contains('/')) {
            report.error(
                group.line.0,
                format!("target {address:?} must be host:port; the path goes into metrics_path"),
            );
        }
    }
}

/// A mechanism that is not built takes its targets with it, and nothing else.
fn say_what_is_missing(job: &mut ScrapeJob, sources: &Sources, report: &mut Report) {
    const INSTEAD: &str = "use kubernetes_sd_configs, dns_sd_configs, http_sd_configs, file_sd_configs or static_configs";
    let Some((_, line)) = sources.missing.first() else {
        return;
    };
    let names: Vec<&str> = sources.missing.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    if sources.ways.is_empty() {
        leave_out(
            job,
            *line,
            format!("{names} is not built; {INSTEAD}"),
            report,
        );
    } else {
        let name = &job.name;
        report.warn(
            *line,
            format!("job {name:?} is scraped without the targets of {names}, which is not built; {INSTEAD}"),
        );
    }
}

fn leave_out(job: &mut ScrapeJob, line: usize, why: String, report: &mut Report) {
    report.warn(line, format!("job {:?} is not scraped: {why}", job.name));
    job.not_scraped = Some(why);
}

fn text(entry: &Entry, report: &mut Report, into: &mut String) {
    if let Some(text) = report.text(&entry.value, &entry.key) {
        text.clone_into(into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_timeout_follows_the_interval() {
        for (interval_ms, global_ms, timeout_ms) in [
            (10, None, 100),
            (50, None, 500),
            (100, None, 1_000),
            (500, None, 1_000),
            (1_000, None, 1_000),
            (5_000, None, 5_000),
            (15_000, None, 10_000),
            (60_000, None, 10_000),
            (60_000, Some(30_000), 30_000),
            (5_000, Some(30_000), 5_000),
            (100, Some(10_000), 1_000),
            (100, Some(200), 200),
        ] {
            assert_eq!(
                inherited_timeout_ms(global_ms, interval_ms),
                timeout_ms,
                "{interval_ms} {global_ms:?}"
            );
        }
    }
}
