//! Restarts, replacements and our own start (S6): for a while after a change, less is told and lower numbers are not.

use stillwell_engine::signal::Policy;

use crate::world::{Gateway, QUEUE, Said, World, held, unknown, value};

#[test]
fn a_restart_is_smoothed_over_and_ends() {
    let mut world = World::new();
    let (queue, rate) = (
        world.watch(QUEUE),
        world.watch("sum(rate(process_start_time_seconds[1s]))"),
    );
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    world.rounds(30, &[(epp, Some(&page))]);
    world.rounds(5, &[(epp, None)]);
    page.start = 2000.0;
    page.queue = None;
    world.scrape(&[(epp, Some(&page))]);
    assert_eq!(world.says(queue), held(5.0));
    unknown(&world.says(rate), &["a:1", "restarted"]);
    page.queue = Some(9.0);
    world.rounds(10, &[(epp, Some(&page))]);
    assert_eq!(
        world.says(queue),
        held(9.0),
        "more than before the restart is told as it is"
    );
    page.queue = Some(2.0);
    world.rounds(588, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), held(5.0), "59.8 s after the restart");
    world.rounds(2, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), value(2.0));
    assert!(
        matches!(world.says(rate), Said::Value(_)),
        "{:?}",
        world.says(rate)
    );
}

#[test]
fn a_crash_loop_is_told_as_such() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    world.rounds(3, &[(epp, Some(&page))]);
    for restart in 1..=3 {
        page.start += 1.0;
        world.rounds(300, &[(epp, Some(&page))]);
        if restart < 3 {
            assert!(
                !matches!(world.says(queue), Said::Unknown(_)),
                "restart {restart}: {:?}",
                world.says(queue)
            );
        }
    }
    unknown(&world.says(queue), &["crash loop", "a:1", "3 times"]);
    world.rounds(3_000, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), value(5.0));
}

#[test]
fn pods_that_replace_one_another_are_no_crash_loop() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let mut old = world.target("pod-0:1");
    let mut page = Gateway::of("a");
    world.rounds(3, &[(old, Some(&page))]);
    for pod in 1..10 {
        let new = world.target(&format!("pod-{pod}:1"));
        page.start += 1.0;
        world.rounds(20, &[(old, Some(&page)), (new, Some(&page))]);
        world.remove(old);
        old = new;
        world.rounds(20, &[(old, Some(&page))]);
        match world.says(queue) {
            Said::Value(values) | Said::Held(values) => assert!(values[0] >= 5.0),
            Said::Unknown(why) => panic!("pod {pod}: {why}"),
        }
    }
    world.rounds(700, &[(old, Some(&page))]);
    assert_eq!(world.says(queue), value(5.0));
}

#[test]
fn a_policy_that_changes_keeps_what_was_seen() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    world.rounds(10, &[(epp, Some(&page))]);
    page.start = 2000.0;
    page.queue = Some(1.0);
    world.rounds(10, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), held(5.0));
    world.reader.set_policy(
        queue,
        Policy {
            hold_ms: Some(10_000),
            ..Policy::default()
        },
    );
    assert_eq!(world.says(queue), held(5.0), "the grace goes on");
    world.rounds(80, &[(epp, None)]);
    assert_eq!(
        world.says(queue),
        held(5.0),
        "the longer hold counts at once"
    );
}

#[test]
fn our_own_start_tells_nothing_that_is_not_covered() {
    let mut world = World::new();
    let rate = world.watch("sum(rate(inference_objective_running_requests[10s]))");
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    let page = Gateway::of("a");
    world.rounds(50, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), value(5.0));
    unknown(&world.says(rate), &["10.0 s", "not covered"]);
    world.rounds(60, &[(epp, Some(&page))]);
    assert!(
        matches!(world.says(rate), Said::Value(_)),
        "{:?}",
        world.says(rate)
    );
}

#[test]
fn subqueries_look_back_too() {
    let mut world = World::new();
    let signal = world.watch("max_over_time(sum(rate(x_total[1s]))[10m:1s])");
    let target = world.target("a:1");
    for count in 0..50 {
        world.scrape_text(target, &format!("x_total {count}\n"));
    }
    unknown(&world.says(signal), &["601.0 s"]);
}
