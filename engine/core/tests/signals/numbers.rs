//! Numbers that are none (S5): not a number, infinite, or past what an autoscaler can reckon with.

use stillwell_engine::signal::{Nan, Policy};

use crate::scenario::{Gateway, QUEUE, Scenario, unknown, value};

#[test]
fn numbers_that_are_none() {
    let mut scenario = Scenario::new();
    let policy = |nan| Policy {
        nan,
        ..Policy::default()
    };
    let ratio =
        "sum(inference_objective_running_requests) / sum(inference_objective_running_requests)";
    let (plain, zero) = (
        scenario.register(ratio),
        scenario.register_with(ratio, policy(Nan::Zero)),
    );
    let last = scenario.register_with(ratio, policy(Nan::Last));
    let huge = scenario.register("sum(inference_objective_running_requests) * 1e17");
    let infinite = scenario.register("sum(inference_objective_running_requests) / 0");
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = Some(-2.0);
    scenario.rounds(3, &[(epp, Some(&page))]);
    assert_eq!(
        (scenario.reported(plain), scenario.reported(last)),
        (value(1.0), value(1.0))
    );
    unknown(&scenario.reported(huge), &["quantity"]);
    unknown(&scenario.reported(infinite), &["quantity"]);
    assert_eq!(
        scenario.reported(queue),
        value(0.0),
        "a negative queue is the gateway's race"
    );
    page.running = Some(0.0);
    scenario.rounds(3, &[(epp, Some(&page))]);
    unknown(&scenario.reported(plain), &["NaN", "nan: zero"]);
    assert_eq!(
        (scenario.reported(zero), scenario.reported(last)),
        (value(0.0), value(1.0))
    );
}
