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
