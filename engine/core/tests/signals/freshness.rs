//! Fresh and frozen targets (S2, S5): a number is told while its pages are new, held a little while longer, and then
//! nothing is told.

use crate::scenario::{Gateway, QUEUE, RUNNING, Scenario, held, unknown, value};

#[test]
fn a_fresh_target_gives_a_value() {
    let mut scenario = Scenario::new();
    let (queue, running) = (scenario.register(QUEUE), scenario.register(RUNNING));
    let epp = scenario.target("a:1");
    unknown(
        &scenario.reported(queue),
        &["waiting for the first scrape", "a:1"],
    );
    scenario.scrape(&[(epp, Some(&Gateway::of("a")))]);
    assert_eq!(
        (scenario.reported(queue), scenario.reported(running)),
        (value(5.0), value(7.0))
    );
}

#[test]
fn an_outage_is_held_then_unknown_and_one_good_scrape_recovers() {
    let mut scenario = Scenario::new();
    let (queue, guarded) = (
        scenario.register(QUEUE),
        scenario.register(&format!("{QUEUE} or vector(0)")),
    );
    let epp = scenario.target("a:1");
    let page = Gateway::of("a");
    scenario.rounds(3, &[(epp, Some(&page))]);
    scenario.rounds(1, &[(epp, None)]);
    assert_eq!(
        (scenario.reported(queue), scenario.reported(guarded)),
        (held(5.0), held(5.0))
    );
    scenario.rounds(18, &[(epp, None)]);
    assert_eq!(scenario.reported(queue), held(5.0));
    scenario.rounds(1, &[(epp, None)]);
    unknown(
        &scenario.reported(queue),
        &["a:1", "fails since 1970-01-01T02:46:40Z"],
    );
    unknown(
        &scenario.reported(guarded),
        &["a:1", "fails since 1970-01-01T02:46:40Z"],
    );
    scenario.rounds(36_000, &[(epp, None)]);
    unknown(&scenario.reported(guarded), &["a:1"]);
    scenario.scrape(&[(epp, Some(&page))]);
    assert_eq!(
        (scenario.reported(queue), scenario.reported(guarded)),
        (value(5.0), value(5.0))
    );
}

#[test]
fn a_scrape_that_never_ends_does_not_keep_its_target_fresh() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    scenario.rounds(3, &[(epp, Some(&Gateway::of("a")))]);
    scenario.now_ms += 250;
    assert_eq!(scenario.reported(queue), held(5.0));
    scenario.now_ms += 2_000;
    unknown(&scenario.reported(queue), &["a:1", "not ended"]);
}
