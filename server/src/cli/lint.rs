//! Lints of `check config`: what is valid and likely wrong all the same, from the file alone or with a look at a
//! running server.

use std::collections::BTreeSet;

use serde_json::Value;
use stillwell_engine::labels::METRIC_NAME;
use stillwell_engine::promql::{Features, Query};
use stillwell_engine::signal::{Names, lint};

use super::query::ask;
use crate::config::{Config, Problem, SignalSpec};
use crate::http_client::encode_query;

/// From the file alone.
pub(super) fn offline(config: &Config) -> Vec<Problem> {
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
        // A query that does not parse is an error already.
        problems.extend(
            linted
                .unwrap_or_default()
                .into_iter()
                .map(|why| about(signal, &why)),
        );
    }
    problems
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
            for matcher in used.matchers.iter().filter(|m| m.name() != METRIC_NAME) {
                if !labels.contains(matcher.name()) && !matcher.matches("") {
                    let why = format!("no scraped series has the label {:?}", matcher.name());
                    problems.push(about(signal, &why));
                }
            }
        }
    }
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
    Problem::new(signal.line, format!("signal {:?}: {why}", signal.name))
}
