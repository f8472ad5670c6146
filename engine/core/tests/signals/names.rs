//! One family under several names (S8).

use crate::world::{Gateway, QUEUE, RUNNING, World, unknown, value};

#[test]
fn names_follow_a_rolling_upgrade() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let running = world.watch(RUNNING);
    let per_model = world.watch("sum by (model_name) (inference_objective_running_requests)");
    let new_name = world.watch("sum(llm_d_epp_request_running)");
    let wants_label = world.watch("sum(llm_d_epp_request_running{fairness_id=\"f\"})");
    let (old, new) = (world.target("old:1"), world.target("new:1"));
    let page_old = Gateway::of("a");
    let mut page_new = Gateway::of("a");
    page_new.prefix = "llm_d_epp";
    world.rounds(3, &[(old, Some(&page_old)), (new, Some(&page_new))]);
    for signal in [queue, running, new_name, per_model] {
        let double = if signal == queue { 10.0 } else { 14.0 };
        assert_eq!(world.says(signal), value(double));
    }
    unknown(
        &world.says(wants_label),
        &["fairness_id", "inference_objective_running_requests"],
    );
    page_new.queue = None;
    world.rounds(3, &[(old, Some(&page_old)), (new, Some(&page_new))]);
    assert_eq!(
        world.says(queue),
        value(5.0),
        "series of the new name end with their page"
    );
}
