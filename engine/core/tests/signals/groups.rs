//! Grouped signals (S5, S9c): each group is judged by the targets that could have it.

use crate::scenario::{Gateway, Reported, Scenario, unknown, value};

#[test]
fn groups_are_judged_one_by_one() {
    let mut scenario = Scenario::new();
    let grouped =
        scenario.register("sum by (inference_pool) (inference_extension_flow_control_queue_size)");
    let (a, b) = (scenario.target("a:1"), scenario.target("b:1"));
    let (page_a, page_b) = (Gateway::of("a"), Gateway::of("b"));
    scenario.rounds(3, &[(a, Some(&page_a)), (b, Some(&page_b))]);
    assert_eq!(scenario.reported(grouped), Reported::Value(vec![5.0, 5.0]));
    scenario.rounds(50, &[(a, Some(&page_a)), (b, None)]);
    assert_eq!(
        scenario.reported_pinned(grouped, &[("inference_pool", "a")]),
        value(5.0)
    );
    unknown(&scenario.reported(grouped), &["b:1"]);
    unknown(
        &scenario.reported_pinned(grouped, &[("inference_pool", "typo")]),
        &["no target is in scope"],
    );
    let mut idle = page_a.clone();
    idle.queue = None;
    scenario.rounds(3, &[(a, Some(&idle)), (b, Some(&page_b))]);
    assert_eq!(
        scenario.reported_pinned(grouped, &[("inference_pool", "a")]),
        value(0.0)
    );
}

#[test]
fn a_group_that_vanishes_in_a_restart_is_held() {
    let mut scenario = Scenario::new();
    let grouped =
        scenario.register("sum by (inference_pool) (inference_extension_flow_control_queue_size)");
    let (a, b) = (scenario.target("a:1"), scenario.target("b:1"));
    let (mut page_a, page_b) = (Gateway::of("a"), Gateway::of("b"));
    scenario.rounds(3, &[(a, Some(&page_a)), (b, Some(&page_b))]);
    (page_a.start, page_a.queue) = (2000.0, None);
    scenario.rounds(3, &[(a, Some(&page_a)), (b, Some(&page_b))]);
    assert_eq!(scenario.reported(grouped), Reported::Held(vec![5.0, 5.0]));
}

/// An exporter whose own pod is another than the pods that its series tell of was taken for out of scope: its outage was never
/// noticed, and where it was the only one, its numbers were refused.
#[test]
fn a_label_that_the_query_writes_rules_no_target_out() {
    let join = "sum by (owner, pod) (vllm:num_requests_waiting * on (pod) group_left (owner) \
                label_replace(kube_pod_owner, \"pod\", \"$1\", \"exported_pod\", \"(.+)\"))";
    let written =
        "sum by (pod) (label_replace(kube_pod_owner, \"pod\", \"$1\", \"exported_pod\", \"(.+)\"))";
    let mut scenario = Scenario::new();
    let (join, written) = (scenario.register(join), scenario.register(written));
    let server = scenario.target_of("vllm", "a:1", &[("pod", "p0")]);
    let state = scenario.target_of("kube-state-metrics", "b:1", &[("pod", "ksm-0")]);
    let page = "vllm:num_requests_waiting{model_name=\"m\"} 21\n";
    let owners = "kube_pod_owner{exported_pod=\"p0\",owner=\"d\"} 1\n";
    for _ in 0..3 {
        scenario.take_now(server, page);
        scenario.take(state, owners);
    }
    assert_eq!(scenario.reported(join), value(21.0));
    assert_eq!(scenario.reported(written), value(1.0));
    for _ in 0..30 {
        scenario.now_ms += 100;
        scenario.take_now(server, page);
        scenario.fail_now(state);
    }
    for signal in [join, written] {
        unknown(
            &scenario.reported(signal),
            &["b:1 (job kube-state-metrics)"],
        );
    }
    // Who asks for one of them is told the same.
    unknown(
        &scenario.reported_pinned(written, &[("pod", "p0")]),
        &["b:1"],
    );
}
