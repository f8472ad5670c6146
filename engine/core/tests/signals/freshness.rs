//! Fresh and frozen targets (S2, S5): a number is told while its pages are new, held a little while longer, and then
//! nothing is told.

use crate::world::{Gateway, QUEUE, RUNNING, World, held, unknown, value};

#[test]
fn a_fresh_target_gives_a_value() {
    let mut world = World::new();
    let (queue, running) = (world.watch(QUEUE), world.watch(RUNNING));
    let epp = world.target("a:1");
    unknown(&world.says(queue), &["waiting for the first scrape", "a:1"]);
    world.scrape(&[(epp, Some(&Gateway::of("a")))]);
    assert_eq!(
        (world.says(queue), world.says(running)),
        (value(5.0), value(7.0))
    );
}

#[test]
fn an_outage_is_held_then_unknown_and_one_good_scrape_recovers() {
    let mut world = World::new();
    let (queue, guarded) = (
        world.watch(QUEUE),
        world.watch(&format!("{QUEUE} or vector(0)")),
    );
    let epp = world.target("a:1");
    let page = Gateway::of("a");
    world.rounds(3, &[(epp, Some(&page))]);
    world.rounds(1, &[(epp, None)]);
    assert_eq!(
        (world.says(queue), world.says(guarded)),
        (held(5.0), held(5.0))
    );
    world.rounds(18, &[(epp, None)]);
    assert_eq!(world.says(queue), held(5.0));
    world.rounds(1, &[(epp, None)]);
    unknown(
        &world.says(queue),
        &["a:1", "fails since 1970-01-01T02:46:40Z"],
    );
    unknown(
        &world.says(guarded),
        &["a:1", "fails since 1970-01-01T02:46:40Z"],
    );
    world.rounds(36_000, &[(epp, None)]);
    unknown(&world.says(guarded), &["a:1"]);
    world.scrape(&[(epp, Some(&page))]);
    assert_eq!(
        (world.says(queue), world.says(guarded)),
        (value(5.0), value(5.0))
    );
}

#[test]
fn a_scrape_that_never_ends_does_not_keep_its_target_fresh() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    world.rounds(3, &[(epp, Some(&Gateway::of("a")))]);
    world.now_ms += 250;
    assert_eq!(world.says(queue), held(5.0));
    world.now_ms += 2_000;
    unknown(&world.says(queue), &["a:1", "not ended"]);
}
