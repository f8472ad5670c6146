//! One family under several names (S8).

use crate::scenario::{Gateway, QUEUE, RUNNING, Scenario, unknown, value};

#[test]
fn names_follow_a_rolling_upgrade() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let running = scenario.register(RUNNING);
    let per_model = scenario.register("sum by (model_name) (inference_objective_running_requests)");
    let new_name = scenario.register("sum(llm_d_epp_request_running)");
    let wants_label = scenario.register("sum(llm_d_epp_request_running{fairness_id=\"f\"})");
    let (old, new) = (scenario.target("old:1"), scenario.target("new:1"));
    let page_old = Gateway::of("a");
    let mut page_new = Gateway::of("a");
    page_new.prefix = "llm_d_epp";
    scenario.rounds(3, &[(old, Some(&page_old)), (new, Some(&page_new))]);
    for signal in [queue, running, new_name, per_model] {
        let double = if signal == queue { 10.0 } else { 14.0 };
        assert_eq!(scenario.reported(signal), value(double));
    }
    unknown(
        &scenario.reported(wants_label),
        &["fairness_id", "inference_objective_running_requests"],
    );
    page_new.queue = None;
    scenario.rounds(3, &[(old, Some(&page_old)), (new, Some(&page_new))]);
    assert_eq!(
        scenario.reported(queue),
        value(5.0),
        "series of the new name end with their page"
    );
}
