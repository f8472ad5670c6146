//! Model servers (`names/engines.rs`): their families under every name, and what is demand of them.

use stillwell_engine::labels::Labels;
use stillwell_engine::signal::{Class, FAMILIES, Measure, Names};
use stillwell_engine::{Retain, TargetSpec};

use crate::scenario::{INTERVAL_MS, Reported, Scenario, unknown, value};

#[test]
fn a_family_is_read_under_each_of_its_names() {
    for (query, page, expected) in [
        (
            "sum(vllm:num_requests_waiting)",
            "ray_vllm_num_requests_waiting{model_name=\"m\"} 3\n",
            3.0,
        ),
        (
            "sum(vllm:num_requests_waiting)",
            "kserve_vllm:num_requests_waiting{model_name=\"m\"} 4\n",
            4.0,
        ),
        (
            "max(vllm:gpu_cache_usage_perc)",
            "vllm:kv_cache_usage_perc{model_name=\"m\",engine=\"0\"} 0.5\n",
            0.5,
        ),
        (
            "max(vllm:kv_cache_usage_perc)",
            "vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.25\n",
            0.25,
        ),
        (
            "sum(sglang:num_queue_reqs)",
            "sglang_num_queue_reqs{model_name=\"m\"} 2\n",
            2.0,
        ),
        (
            "sum(sglang_num_queue_reqs)",
            "sglang:num_queue_reqs{model_name=\"m\"} 1\n",
            1.0,
        ),
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register(query);
        let target = scenario.target("pod:8000");
        for _ in 0..3 {
            scenario.scrape_text(target, page);
        }
        assert_eq!(scenario.reported(signal), value(expected), "{query} {page}");
    }
}

#[test]
fn what_waits_is_demand_and_a_restart_is_smoothed_over() {
    for (metric, labels) in [
        ("vllm:num_requests_waiting", "model_name=\"m\""),
        ("sglang:num_queue_reqs", "model_name=\"m\""),
        ("tgi_queue_size", ""),
        (
            "nv_inference_pending_request_count",
            "model=\"m\",version=\"1\"",
        ),
        ("dynamo_frontend_queued_requests", "model=\"m\""),
        ("llamacpp:requests_deferred", ""),
        ("jetstream_prefill_backlog_size", ""),
        ("ray_serve_deployment_queued_queries", "deployment=\"d\""),
        ("async_broker_backlog", ""),
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register(&format!("sum({metric})"));
        let target = scenario.target("pod:8000");
        let page = |start: u32, waits: u32| {
            format!("process_start_time_seconds {start}\n{metric}{{{labels}}} {waits}\n")
        };
        for _ in 0..3 {
            scenario.scrape_text(target, &page(1, 5));
        }
        assert_eq!(scenario.reported(signal), value(5.0), "{metric}");
        scenario.scrape_text(target, &page(20, 0));
        assert_eq!(
            scenario.reported(signal),
            Reported::Held(vec![5.0]),
            "{metric}"
        );
    }
}

/// Triton's queue ends with `_count` and its page has no start time: each fall of it counted as another process, and after three
/// within five minutes rates were unknown as of a crash loop.
#[test]
fn a_gauge_that_is_named_like_a_counter_falls_without_a_restart() {
    let typed = "# TYPE my_waiting_count gauge\nmy_waiting_count";
    for (metric, gauge) in [
        (
            "nv_inference_pending_request_count",
            "nv_inference_pending_request_count",
        ),
        ("my_waiting_count", typed),
    ] {
        for retain in [Retain::All, Retain::Signals] {
            let mut scenario = Scenario::new();
            let waiting = scenario.register(&format!("sum({metric})"));
            let rate = scenario.register("sum(rate(nv_inference_request_success[1s]))");
            let target = scenario.target_with(TargetSpec {
                labels: Labels::from_pairs([("instance", "pod:8002"), ("job", "triton")]),
                interval_ms: INTERVAL_MS as u64,
                retain,
                ..TargetSpec::default()
            });
            let page = |waits: u32, done: u32| {
                format!(
                    "{gauge}{{model=\"m\"}} {waits}\nnv_inference_request_success{{model=\"m\"}} 7\nnv_inference_count{{model=\"m\"}} {done}\n"
                )
            };
            for round in 0..20 {
                // One begins while none ends, and later some end.
                scenario.scrape_text(target, &page(9 - round % 4, 10 + round / 4));
            }
            scenario.scrape_text(target, &page(0, 10 + 19 / 4));
            assert_eq!(
                scenario.reported(waiting),
                value(0.0),
                "{metric} {retain:?}"
            );
            assert_eq!(scenario.reported(rate), value(0.0), "{metric} {retain:?}");
        }
    }
}

#[test]
fn a_server_whose_page_lacks_a_gauge_is_known_as_one_and_its_absence_is_no_zero() {
    let mut scenario = Scenario::new();
    let waiting = scenario.register("sum(vllm:num_requests_waiting)");
    let queued = scenario.register("sum(dynamo_frontend_queued_requests)");
    let (pod, frontend) = (
        scenario.target_of("vllm", "pod:8000", &[]),
        scenario.target_of("dynamo", "front:8000", &[]),
    );
    scenario.take(pod, "vllm:num_requests_running{model_name=\"m\"} 0\n");
    scenario.take_now(
        frontend,
        "dynamo_frontend_model_context_length{model=\"m\"} 4096\n",
    );
    unknown(
        &scenario.reported(waiting),
        &[
            "the page of pod:8000 (job vllm) has neither vllm:num_requests_waiting nor anything that proves its absence",
        ],
    );
    // A frontend lists its models before they are asked for: nothing of one of them has waited yet.
    assert_eq!(scenario.reported(queued), value(0.0));
}

#[test]
fn labels_that_only_some_pods_have_are_no_reason_against_a_number() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum(vllm:num_requests_waiting{app=\"x\"})");
    let (one, other) = (
        scenario.target_of("vllm", "a:1", &[("app", "x")]),
        scenario.target_of("vllm", "b:1", &[]),
    );
    for target in [one, other] {
        scenario.take_now(target, "vllm:num_requests_waiting{model_name=\"m\"} 2\n");
        scenario.now_ms += 1;
    }
    assert_eq!(scenario.reported(signal), value(2.0));
}

#[test]
fn every_family_of_an_engine_says_what_it_measures() {
    let names = Names::default();
    for family in FAMILIES
        .iter()
        .filter(|family| matches!(family.class, Class::Engine(_)))
    {
        let first = family.names[0].family;
        assert_ne!(family.measure, Measure::Other, "{first}");
        let waits = matches!(family.measure, Measure::Queue | Measure::Running);
        assert_eq!(family.demand, waits, "{first}");
        assert_eq!(
            family.unit.is_empty(),
            family.measure == Measure::Utilisation,
            "{first}"
        );
        assert_eq!(names.is_demand(first), waits, "{first}");
    }
}
