//! Which targets count (S3a to S3c): what is wrong with one pool, job or group is not another's trouble.

use stillwell_engine::signal::Policy;

use crate::scenario::{Gateway, QUEUE, Scenario, held, unknown, value};

#[test]
fn first_start_with_two_gateways_one_down_tells_nothing_and_names_it() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let (up, down) = (scenario.target("a:1"), scenario.target("a:2"));
    scenario.rounds(50, &[(up, Some(&Gateway::of("a"))), (down, None)]);
    unknown(
        &scenario.reported(queue),
        &[
            "a:2",
            "never given a good page",
            "connection refused",
            "inference_pool",
        ],
    );
}

#[test]
fn one_pool_s_outage_is_not_another_s() {
    let mut scenario = Scenario::new();
    let queue_a = scenario.register(QUEUE);
    let queue_b = scenario.register(&QUEUE.replace("\"a\"", "\"b\""));
    let queue_c = scenario.register(&QUEUE.replace("\"a\"", "\"c\""));
    let (a, b, c) = (
        scenario.target("a:1"),
        scenario.target("b:1"),
        scenario.target("c:1"),
    );
    let (page_a, page_b, mut page_c) = (Gateway::of("a"), Gateway::of("b"), Gateway::of("c"));
    scenario.rounds(
        3,
        &[(a, Some(&page_a)), (b, Some(&page_b)), (c, Some(&page_c))],
    );
    page_c.start = scenario.start_now();
    page_c.queue = None;
    scenario.rounds(100, &[(a, Some(&page_a)), (b, None), (c, Some(&page_c))]);
    assert_eq!(scenario.reported(queue_a), value(5.0));
    unknown(
        &scenario.reported(queue_b),
        &["b:1", "fails since", "connection refused"],
    );
    assert_eq!(scenario.reported(queue_c), held(5.0));
}

#[test]
fn a_dead_pool_with_a_label_of_its_own_disturbs_nobody() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let up = scenario.target("a:1");
    let down = scenario.target_of("epp", "b:1", &[("inference_pool", "b")]);
    scenario.rounds(30, &[(up, Some(&Gateway::of("a"))), (down, None)]);
    assert_eq!(scenario.reported(queue), value(5.0));
}

#[test]
fn discovery_that_is_lost_takes_nothing_away() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    scenario.rounds(36_000, &[(epp, Some(&Gateway::of("a")))]);
    assert_eq!(scenario.reported(queue), value(5.0));
    scenario.remove(epp);
    unknown(&scenario.reported(queue), &["no target is in scope"]);
    scenario.now_ms += 100_000;
    scenario.writer.maintain(scenario.at());
    unknown(&scenario.reported(queue), &["never seen"]);
}

#[test]
fn targets_of_other_jobs_are_not_summed() {
    let mut scenario = Scenario::new();
    let policy = Policy {
        jobs: vec!["epp".to_owned()],
        ..Policy::default()
    };
    let signal = scenario.register_with("sum(inference_extension_flow_control_queue_size)", policy);
    let (ours, other) = (
        scenario.target("a:1"),
        scenario.target_of("other", "b:1", &[]),
    );
    let mut page = Gateway::of("a");
    page.queue = Some(0.0);
    scenario.rounds(3, &[(ours, Some(&page)), (other, Some(&Gateway::of("b")))]);
    scenario.rounds(30, &[(ours, Some(&page)), (other, None)]);
    assert_eq!(scenario.reported(signal), value(0.0));
}

#[test]
fn a_job_that_never_gave_a_page_keeps_nobody_else_waiting_for_ever() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let pinned = scenario.register(&QUEUE.replace('{', "{job=\"openmetrics\","));
    let (epp, never) = (
        scenario.target("a:1"),
        scenario.target_of("openmetrics", "b:1", &[]),
    );
    let page = Gateway::of("a");
    scenario.rounds(15, &[(epp, Some(&page)), (never, None)]);
    unknown(
        &scenario.reported(queue),
        &["b:1 (job openmetrics) has never given a good page"],
    );
    scenario.rounds(10, &[(epp, Some(&page)), (never, None)]);
    assert_eq!(scenario.reported(queue), value(5.0));
    unknown(
        &scenario.reported(pinned),
        &["b:1 (job openmetrics) has never given a good page"],
    );
    let explained = scenario
        .reader
        .explain(queue, scenario.at())
        .expect("registered");
    let warning = &explained.warnings[..];
    assert!(
        matches!(warning, [one] if one.contains("b:1 (job openmetrics)") && one.contains("connection refused")),
        "{warning:?}"
    );
}

/// The same job: it stands in for the others of it, whatever they serve, until a label says otherwise.
#[test]
fn a_target_of_the_same_job_is_waited_for() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let (epp, never) = (scenario.target("a:1"), scenario.target("b:1"));
    scenario.rounds(600, &[(epp, Some(&Gateway::of("a"))), (never, None)]);
    unknown(
        &scenario.reported(queue),
        &["b:1 (job epp) has never given a good page"],
    );
}
