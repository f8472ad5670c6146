//! Which targets count (S3a to S3c): what is wrong with one pool, job or group is not another's trouble.

use stillwell_engine::signal::Policy;

use crate::world::{Gateway, QUEUE, World, held, unknown, value};

#[test]
fn first_start_with_two_gateways_one_down_tells_nothing_and_names_it() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let (up, down) = (world.target("a:1"), world.target("a:2"));
    world.rounds(50, &[(up, Some(&Gateway::of("a"))), (down, None)]);
    unknown(
        &world.says(queue),
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
    let mut world = World::new();
    let queue_a = world.watch(QUEUE);
    let queue_b = world.watch(&QUEUE.replace("\"a\"", "\"b\""));
    let queue_c = world.watch(&QUEUE.replace("\"a\"", "\"c\""));
    let (a, b, c) = (
        world.target("a:1"),
        world.target("b:1"),
        world.target("c:1"),
    );
    let (page_a, page_b, mut page_c) = (Gateway::of("a"), Gateway::of("b"), Gateway::of("c"));
    world.rounds(
        3,
        &[(a, Some(&page_a)), (b, Some(&page_b)), (c, Some(&page_c))],
    );
    page_c.start = world.start_now();
    page_c.queue = None;
    world.rounds(100, &[(a, Some(&page_a)), (b, None), (c, Some(&page_c))]);
    assert_eq!(world.says(queue_a), value(5.0));
    unknown(
        &world.says(queue_b),
        &["b:1", "fails since", "connection refused"],
    );
    assert_eq!(world.says(queue_c), held(5.0));
}

#[test]
fn a_dead_pool_with_a_label_of_its_own_disturbs_nobody() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let up = world.target("a:1");
    let down = world.target_of("epp", "b:1", &[("inference_pool", "b")]);
    world.rounds(30, &[(up, Some(&Gateway::of("a"))), (down, None)]);
    assert_eq!(world.says(queue), value(5.0));
}

#[test]
fn discovery_that_is_lost_takes_nothing_away() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    world.rounds(36_000, &[(epp, Some(&Gateway::of("a")))]);
    assert_eq!(world.says(queue), value(5.0));
    world.remove(epp);
    unknown(&world.says(queue), &["no target is in scope"]);
    world.now_ms += 100_000;
    world.writer.maintain(world.at());
    unknown(&world.says(queue), &["never seen"]);
}

#[test]
fn targets_of_other_jobs_are_not_summed() {
    let mut world = World::new();
    let policy = Policy {
        jobs: vec!["epp".to_owned()],
        ..Policy::default()
    };
    let signal = world.watch_with("sum(inference_extension_flow_control_queue_size)", policy);
    let (ours, other) = (world.target("a:1"), world.target_of("other", "b:1", &[]));
    let mut page = Gateway::of("a");
    page.queue = Some(0.0);
    world.rounds(3, &[(ours, Some(&page)), (other, Some(&Gateway::of("b")))]);
    world.rounds(30, &[(ours, Some(&page)), (other, None)]);
    assert_eq!(world.says(signal), value(0.0));
}

#[test]
fn a_job_that_never_gave_a_page_keeps_nobody_else_waiting_for_ever() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let pinned = world.watch(&QUEUE.replace('{', "{job=\"openmetrics\","));
    let (epp, never) = (
        world.target("a:1"),
        world.target_of("openmetrics", "b:1", &[]),
    );
    let page = Gateway::of("a");
    world.rounds(15, &[(epp, Some(&page)), (never, None)]);
    unknown(
        &world.says(queue),
        &["b:1 (job openmetrics) has never given a good page"],
    );
    world.rounds(10, &[(epp, Some(&page)), (never, None)]);
    assert_eq!(world.says(queue), value(5.0));
    unknown(
        &world.says(pinned),
        &["b:1 (job openmetrics) has never given a good page"],
    );
    let explained = world.reader.explain(queue, world.at()).expect("watched");
    let warning = &explained.warnings[..];
    assert!(
        matches!(warning, [one] if one.contains("b:1 (job openmetrics)") && one.contains("connection refused")),
        "{warning:?}"
    );
}

/// The same job: it stands in for the others of it, whatever they serve, until a label says otherwise.
#[test]
fn a_target_of_the_same_job_is_waited_for() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let (epp, never) = (world.target("a:1"), world.target("b:1"));
    world.rounds(600, &[(epp, Some(&Gateway::of("a"))), (never, None)]);
    unknown(
        &world.says(queue),
        &["b:1 (job epp) has never given a good page"],
    );
}
