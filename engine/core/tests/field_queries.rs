//! Published queries of scalers, dashboards and alerts against the compiler: which of them a program evaluates, and what in
//! the others stops it.

use std::collections::BTreeMap;

use stillwell_engine::signal::Policy;
use stillwell_engine::{Engine, Limits};
use stillwell_testing::outside::FIELD;

/// Kinds of queries that scalers ask, and that stand in no file of ours.
const KINDS: &[&str] = &[
    "sum(vllm:num_requests_waiting) or on() vector(0)",
    "sum(vllm:num_requests_waiting) >= bool 5",
    "sum by (pod) (vllm:num_requests_waiting) * on (pod) group_left (node) kube_pod_info",
    "kube_pod_info * on (pod) group_right () max by (pod, model_name) (vllm:num_requests_running)",
    "topk(3, sum by (pod) (vllm:num_requests_waiting))",
    "bottomk by (model_name) (1, vllm:kv_cache_usage_perc)",
    "quantile(0.9, vllm:kv_cache_usage_perc)",
    "stddev by (model_name) (vllm:kv_cache_usage_perc)",
    "label_join(vllm:num_requests_waiting, \"key\", \"/\", \"namespace\", \"pod\")",
    "sort_desc(sum by (pod) (vllm:num_requests_waiting))",
    "absent(llm_d_epp_ready_endpoints{name=\"p\"})",
    "ceil(sum(vllm:num_requests_waiting) / scalar(count(vllm:num_requests_waiting)))",
    "sum(vllm:num_requests_waiting) and on() hour() >= 8 < 20",
    "sum(vllm:num_requests_waiting) - sum(vllm:num_requests_waiting offset 5m)",
    "sum(rate(vllm:request_success_total[1m] @ end()))",
    "max_over_time(sum(vllm:num_requests_waiting)[5m:])",
    "avg_over_time(sum by (model_name) (vllm:num_requests_waiting)[10m:30s])",
    "count(up{job=\"vllm\"} == 1)",
    "sum({__name__=~\"vllm:num_requests_(waiting|running)\"})",
    "sum by (le) ({\"vllm:time_to_first_token_seconds_bucket\", pod!=\"\"})",
];

/// What stops a query, by query; `None` where nothing does.
fn stops(queries: &[String]) -> Vec<(&str, Option<String>)> {
    let (_writer, reader) = Engine::new(Limits::default());
    let stop = |query: &String| {
        let id = reader.register(query, Policy::default()).ok()?;
        let outline = reader.outline(id)?;
        reader.remove(id);
        let not_compiled = outline.plan.starts_with("not compiled");
        Some(not_compiled.then_some(outline.plan_reason))
    };
    let stops = queries.iter().map(|query| (query.as_str(), stop(query)));
    // What does not parse is no signal.
    stops
        .filter_map(|(query, stop)| Some((query, stop?)))
        .collect()
}

#[test]
fn kinds_of_queries_of_scalers_are_compiled() {
    let kinds: Vec<String> = KINDS.iter().map(|query| (*query).to_owned()).collect();
    let stops = stops(&kinds);
    assert_eq!(stops.len(), KINDS.len(), "each parses");
    for (query, stop) in stops {
        assert_eq!(stop, None, "{query}");
    }
}

#[test]
fn published_queries_are_compiled_but_for_fixed_times() {
    let Some(path) = FIELD.find() else { return };
    let text = std::fs::read_to_string(path).expect("the file is read");
    let mut queries = Vec::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        if row["kind"] == "promql" {
            queries.push(row["text"].as_str().expect("a text").to_owned());
        }
    }
    let stops = stops(&queries);
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (query, stop) in &stops {
        if let Some(why) = stop {
            by_reason.entry(why).or_default().push(query);
        }
    }
    let compiled = stops.iter().filter(|(_, stop)| stop.is_none()).count();
    println!(
        "{} queries, {} parse, {compiled} are compiled; {by_reason:#?}",
        queries.len(),
        stops.len()
    );
    assert!(!stops.is_empty(), "the file has queries");
    for (why, queries) in by_reason {
        let all_fixed = queries.iter().all(|query| query.contains('@'));
        assert!(all_fixed, "{why}: {queries:#?}");
    }
}
