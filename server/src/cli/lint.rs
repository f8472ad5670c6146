//! Lints of `check config`: what is valid and likely wrong all the same, from the file alone or with a look at a
//! running server.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use stillwell_engine::labels::{Labels, METRIC_NAME, MatchOp, Matcher, relabel};
use stillwell_engine::nearest::nearest;
use stillwell_engine::promql::plan::ExprKind;
use stillwell_engine::promql::{Features, Query};
use stillwell_engine::signal::{Measure, Names, lint};

use super::query::ask;
use super::serve::RETENTION_DEFAULT;
use crate::config::units::duration_ms;
use crate::config::{Config, Problem, ScrapeJob, SignalSpec};
use crate::http_client::encode_query;
use crate::signal_spec::name_of;
use crate::yaml::NamedFile;

/// Values of a label that a warning lists.
const VALUES_LISTED_MAX: usize = 3;

/// From the file alone.
/// `is_live`: the retention is asked of a server that runs.
pub(super) fn offline(config: &Config, is_live: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let slowest_ms = config.jobs.iter().map(|job| job.interval_ms).max();
    let slowest_ms = slowest_ms.and_then(|ms| i64::try_from(ms).ok());
    for signal in &config.signals {
        let linted = lint(
            &signal.expr,
            &signal.policy,
            slowest_ms,
            &Names::default(),
            &Features::all(),
        );
        let kept_ms = i64::try_from(duration_ms(RETENTION_DEFAULT).unwrap_or(0)).unwrap_or(0);
        if let Some(why) = signal.longer_than(kept_ms).filter(|_| !is_live) {
            let why = format!("{why} ({RETENTION_DEFAULT} is the default of that flag)");
            problems.push(about(signal, &why));
        }
        // A query that does not parse is an error already.
        problems.extend(
            linted
                .unwrap_or_default()
                .into_iter()
                .map(|why| about(signal, &why)),
        );
    }
    problems.extend(restarts_unnoticed(config));
    problems
}

/// Jobs that keep a queue, or what is in process, and whose relabelling drops the start time of the process: after a restart 0 is
/// told at once where nothing else tells of it (S6a).
fn restarts_unnoticed(config: &Config) -> impl Iterator<Item = Problem> + '_ {
    const START_TIME: &str = "process_start_time_seconds";
    let keeps = |job: &ScrapeJob, metric: &str| {
        let labels = Labels::from_pairs([(METRIC_NAME, metric), ("job", job.name.as_str())]);
        let mut builder = labels.to_builder();
        relabel(&job.metric_relabel, &mut builder) && builder.get(METRIC_NAME) == metric
    };
    let demand = || Names::measuring(Measure::Queue).chain(Names::measuring(Measure::Running));
    let jobs = config
        .jobs
        .iter()
        .filter(move |job| !keeps(job, START_TIME) && demand().any(|metric| keeps(job, metric)));
    let jobs = jobs.filter(|_| !config.signals.is_empty());
    jobs.map(|job| {
        let why = format!(
            "job {:?}: metric_relabel_configs drop {START_TIME}, by which a restart is noticed: a queue that is empty after one is told \
             as 0 at once; keep it",
            job.name
        );
        Problem::new(job.line.0, why)
    })
}

/// Files of secrets and certificates that are not there: those who check a configuration elsewhere want to know, and what needs
/// one says so only once it is in force.
pub(super) fn missing_files(named: &[NamedFile], base: &Path) -> Vec<Problem> {
    /// Every pod has it, and nobody else.
    const OF_PODS: &str = "/var/run/secrets/kubernetes.io/";
    let mut seen = BTreeSet::new();
    let named = named.iter().filter(|file| {
        !file.path.starts_with(OF_PODS) && seen.insert((file.line, file.path.clone()))
    });
    let missing = named.filter_map(|file| {
        let NamedFile { line, key, path } = file;
        let error = std::fs::metadata(base.join(path)).err()?;
        let why = format!(
            "{key} names {}, which cannot be read here: {error}; whatever needs it fails until it can",
            path.display()
        );
        Some(Problem::new(*line, why))
    });
    missing.collect()
}

/// What the server at `url` has really seen.
pub(super) fn live(config: &Config, url: &str) -> Result<Vec<Problem>, String> {
    let url = url.trim_end_matches('/');
    let labels: BTreeSet<String> = ask(&format!("{url}/api/v1/labels"))?
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let mut problems = Vec::new();
    for signal in &config.signals {
        let Ok(query) = Query::parse(&signal.expr, &Features::all()) else {
            continue;
        };
        for used in query.selectors() {
            if let Some(why) = matches_nothing(used.matchers, &labels, url)? {
                problems.push(about(signal, &why));
            }
        }
    }
    problems.extend(longer_than_history(config, url)?);
    for signal in &config.signals {
        problems.extend(unselectable(signal, url)?);
    }
    problems.extend(failing_targets(config, url)?);
    let alternating = "changes(process_start_time_seconds[2m]) > 3";
    for metric in elements(url, alternating)? {
        let instance = metric["instance"].as_str().unwrap_or("a target").to_owned();
        problems.push(Problem::new(
            1,
            format!(
                "{instance} shows more than one start time in turn: several pods behind one address; list the pods \
                 themselves"
            ),
        ));
    }
    let evicted = "sum by (inference_pool) (increase(llm_d_epp_flow_control_requests_total{outcome=~\"Evicted.*\"}[5m])) > 0";
    for metric in elements(url, evicted)? {
        let pool = metric["inference_pool"]
            .as_str()
            .unwrap_or("a pool")
            .to_owned();
        problems.push(Problem::new(
            1,
            format!(
                "the gateway of {pool} gave up queued requests within 5 minutes: a queue TTL (60 s by default) that \
                 is shorter than the cold start loses them, and the signal with them; raise it above the cold start"
            ),
        ));
    }
    Ok(problems)
}

/// Why a selector fits no series that the server there has: its metric, a label or a value, with the nearest that there is.
fn matches_nothing(
    matchers: &[Matcher],
    labels: &BTreeSet<String>,
    url: &str,
) -> Result<Option<String>, String> {
    let is_name = |one: &&Matcher| one.name() == METRIC_NAME && one.op() == MatchOp::Equal;
    let metric = matchers.iter().find(is_name).map(Matcher::value);
    if let Some(metric) = metric {
        let names = values(url, METRIC_NAME, None)?;
        let others = Names::default().equivalents(metric);
        if !names.contains(metric) && !others.iter().any(|(other, _)| names.contains(other)) {
            let near = nearest(metric, names.iter().map(String::as_str));
            let near = match near {
                Some(near) => format!("; did you mean {near}?"),
                None if metric.starts_with("kube_") => {
                    "; kube-state-metrics shows such series, and `kube_state: {}` those of workloads".to_owned()
                }
                None => String::new(),
            };
            return Ok(Some(format!("no scraped series is called {metric}{near}")));
        }
        if !names.contains(metric) {
            return Ok(None); // it is read under another name, with that one's labels
        }
    }
    for matcher in matchers
        .iter()
        .filter(|m| m.name() != METRIC_NAME && !m.matches(""))
    {
        let label = matcher.name();
        if !labels.contains(label) {
            let near = nearest(label, labels.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            return Ok(Some(format!(
                "no scraped series has the label {label:?}{near}"
            )));
        }
        let seen = values(url, label, metric)?;
        if !seen.iter().any(|value| matcher.matches(value)) {
            let near = nearest(matcher.value(), seen.iter().map(String::as_str));
            let near: Vec<&str> = match near {
                Some(near) => vec![near],
                None => seen
                    .iter()
                    .take(VALUES_LISTED_MAX)
                    .map(String::as_str)
                    .collect(),
            };
            let of = metric.map_or(String::new(), |metric| format!(" of {metric}"));
            let seen = match near.is_empty() {
                true => "it has no such label".to_owned(),
                false => format!("seen: {near:?}"),
            };
            return Ok(Some(format!("no scraped series{of} has {matcher}; {seen}")));
        }
    }
    Ok(None)
}

/// Windows that reach further back than the server there keeps samples: they are never covered.
fn longer_than_history(config: &Config, url: &str) -> Result<Vec<Problem>, String> {
    let info = ask(&format!("{url}/api/v1/status/runtimeinfo"))?;
    // Prometheus writes "15d or 1GiB".
    let retention = info["storageRetention"].as_str().unwrap_or("");
    let retention = retention.split(' ').next().unwrap_or("");
    let Ok(retention_ms) = duration_ms(retention) else {
        return Ok(Vec::new()); // nothing is said of it
    };
    let longer = config.signals.iter().filter_map(|signal| {
        let why = signal.longer_than(i64::try_from(retention_ms).ok()?)?;
        Some(about(signal, &why))
    });
    Ok(longer.collect())
}

/// Labels by which a signal is grouped with values that no selector of Kubernetes can hold, and the two ways out.
fn unselectable(signal: &SignalSpec, url: &str) -> Result<Option<Problem>, String> {
    let Ok(query) = Query::parse(&signal.expr, &Features::all()) else {
        return Ok(None);
    };
    let ExprKind::Aggregate(aggregate) = &query.plan().kind else {
        return Ok(None);
    };
    if aggregate.without || signal.sanitized || !signal.for_each.is_empty() {
        return Ok(None);
    }
    let selectable = |value: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        value.len() <= 63 && value.chars().all(plain)
    };
    for label in &aggregate.grouping {
        for used in query.selectors() {
            let is_name = |one: &&Matcher| one.name() == METRIC_NAME && one.op() == MatchOp::Equal;
            let metric = used.matchers.iter().find(is_name).map(Matcher::value);
            let seen = values(url, label, metric)?;
            if let Some(value) = seen.iter().find(|value| !selectable(value)) {
                let why = format!(
                    "{label}={value:?} cannot stand in an HPA's selector: with `selector: sanitized` \
                     {label}={} selects it, with `for_each: [{label}]` it is the metric {}",
                    sanitized(value),
                    name_of(&signal.name, [value.as_str()]),
                );
                return Ok(Some(about(signal, &why)));
            }
        }
    }
    Ok(None)
}

/// The text that selects a value under `selector: sanitized`.
fn sanitized(value: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let chars = value.chars();
    chars.map(|c| if allowed(c) { c } else { '_' }).collect()
}

/// Values of a label, of the series of one metric or of all.
fn values(url: &str, label: &str, metric: Option<&str>) -> Result<BTreeSet<String>, String> {
    let mut address = format!("{url}/api/v1/label/{label}/values");
    if let Some(metric) = metric {
        address.push_str("?match[]=");
        encode_query(metric, &mut address);
    }
    let values = ask(&address)?;
    let values = values.as_array().into_iter().flatten();
    Ok(values
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect())
}

/// Targets of the configured jobs that the server there cannot scrape, in its own words: a token that a gateway refuses is
/// told before signals miss it.
fn failing_targets(config: &Config, url: &str) -> Result<Vec<Problem>, String> {
    let targets = ask(&format!("{url}/api/v1/targets?state=active"))?;
    let targets = targets["activeTargets"].as_array().cloned();
    let mut problems = Vec::new();
    for target in targets.into_iter().flatten() {
        let text = |name: &str| target[name].as_str().unwrap_or("");
        let job = config
            .jobs
            .iter()
            .find(|job| job.name == text("scrapePool"));
        if let (Some(job), "down") = (job, text("health")) {
            let why = format!(
                "target {} is down: {}",
                text("scrapeUrl"),
                text("lastError")
            );
            problems.push(Problem::new(
                job.line.0,
                format!("job {:?}: {why}", job.name),
            ));
        }
    }
    Ok(problems)
}

fn elements(url: &str, query: &str) -> Result<Vec<Value>, String> {
    let mut address = format!("{url}/api/v1/query?query=");
    encode_query(query, &mut address);
    let mut data = ask(&address)?;
    let items = data["result"]
        .as_array_mut()
        .map(std::mem::take)
        .unwrap_or_default();
    Ok(items
        .into_iter()
        .map(|mut item| item["metric"].take())
        .collect())
}

fn about(signal: &SignalSpec, why: &str) -> Problem {
    Problem::new(signal.line.0, format!("signal {:?}: {why}", signal.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    #[test]
    fn files_that_are_not_there_are_named_once_with_their_line() {
        let text = "scrape_configs:
- job_name: a
  authorization: {credentials_file: gone/token}
  tls_config: &tls {ca_file: gone/ca.pem, cert_file: there.pem, key_file: there.pem}
- job_name: b
  tls_config: *tls
  bearer_token_file: /var/run/secrets/kubernetes.io/serviceaccount/token
";
        let folder = std::env::temp_dir().join(format!("stillwell-named-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("it can be made");
        std::fs::write(folder.join("there.pem"), "").expect("it is writable");
        let (_, report) = load(text);
        let missing = missing_files(&report.named_files, &folder);
        std::fs::remove_dir_all(&folder).expect("it was made");
        let said: Vec<_> = missing
            .iter()
            .map(|problem| (problem.line, problem.message.split(',').next()))
            .collect();
        assert_eq!(
            said,
            [
                (3, Some("credentials_file names gone/token")),
                (4, Some("ca_file names gone/ca.pem")),
            ]
        );
    }

    /// A queue of 30 was 0 after a restart of a gateway whose job kept its queue alone, and nothing had said so.
    #[test]
    fn a_job_that_keeps_its_queue_and_drops_its_start_time_is_named() {
        for (keeps, signals, count) in [
            ("llm_d_epp_.*", "sum(llm_d_epp_flow_control_queue_size)", 1),
            (
                "llm_d_epp_.*|process_start_time_seconds",
                "sum(llm_d_epp_flow_control_queue_size)",
                0,
            ),
            ("container_.*", "sum(llm_d_epp_flow_control_queue_size)", 0),
            ("llm_d_epp_.*", "", 0),
        ] {
            let rule = format!("{{source_labels: [__name__], regex: '{keeps}', action: keep}}");
            let signals = match signals {
                "" => String::new(),
                expr => format!("signals: [{{name: q, expr: '{expr}'}}]\n"),
            };
            let text = format!(
                "scrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['h:1']}}]\n  metric_relabel_configs: [{rule}]\n{signals}"
            );
            let (config, report) = load(&text);
            let config = config.unwrap_or_else(|| panic!("{report:?}"));
            let found: Vec<Problem> = restarts_unnoticed(&config).collect();
            assert_eq!(found.len(), count, "{keeps}: {found:?}");
        }
    }
}
