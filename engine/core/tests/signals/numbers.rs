//! Numbers that are none (S5): not a number, infinite, or past what an autoscaler can reckon with.

use stillwell_engine::signal::{Nan, Policy};

use crate::world::{Gateway, QUEUE, World, unknown, value};

#[test]
fn numbers_that_are_none() {
    let mut world = World::new();
    let policy = |nan| Policy {
        nan,
        ..Policy::default()
    };
    let ratio =
        "sum(inference_objective_running_requests) / sum(inference_objective_running_requests)";
    let (plain, zero) = (
        world.watch(ratio),
        world.watch_with(ratio, policy(Nan::Zero)),
    );
    let last = world.watch_with(ratio, policy(Nan::Last));
    let huge = world.watch("sum(inference_objective_running_requests) * 1e17");
    let infinite = world.watch("sum(inference_objective_running_requests) / 0");
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = Some(-2.0);
    world.rounds(3, &[(epp, Some(&page))]);
    assert_eq!(
        (world.says(plain), world.says(last)),
        (value(1.0), value(1.0))
    );
    unknown(&world.says(huge), &["quantity"]);
    unknown(&world.says(infinite), &["quantity"]);
    assert_eq!(
        world.says(queue),
        value(0.0),
        "a negative queue is the gateway's race"
    );
    page.running = Some(0.0);
    world.rounds(3, &[(epp, Some(&page))]);
    unknown(&world.says(plain), &["NaN", "nan: zero"]);
    assert_eq!(
        (world.says(zero), world.says(last)),
        (value(0.0), value(1.0))
    );
}
