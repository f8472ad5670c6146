//! A reason names what is so and what to do, and stays as it is while the state does: the HPA writes its status and an
//! event whenever the text changes.

use crate::world::{Gateway, QUEUE, RUNNING, Said, World, unknown};

#[test]
fn a_reason_is_the_same_for_as_long_as_its_state_lasts() {
    let mut world = World::new();
    let (queue, infinite) = (world.watch(QUEUE), world.watch("sum(my_time) * 1e13"));
    let epp = world.target("a:1");
    let page = |time: i64| format!("{}my_time {time}\n", Gateway::of("a").page());
    for _ in 0..3 {
        world.take(epp, &page(world.now_ms));
    }
    let beyond = world.says(infinite);
    unknown(&beyond, &["beyond 9.2e15"]);
    world.take(epp, &page(world.now_ms));
    assert_eq!(world.says(infinite), beyond);
    let mut reasons = std::collections::BTreeSet::new();
    for round in 0..600 {
        world.now_ms += 100;
        world.fail_now_with(epp, &format!("timeout after {round} ms"));
        if let Said::Unknown(why) = world.says(queue) {
            reasons.insert(why);
        }
    }
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    unknown(
        &world.says(queue),
        &["a:1 (job epp) fails since 1970-01-01T02:46:40Z: timeout after 0 ms"],
    );
}

#[test]
fn a_page_without_what_is_asked_for_is_named() {
    let mut world = World::new();
    let (blank, other) = (
        world.target_of("blank", "b:1", &[]),
        world.target_of("vllm", "v:1", &[]),
    );
    let signal = world.watch("sum(vllm:num_requests_waiting{job=\"blank\"})");
    let at_end = world.watch("sum(vllm:num_requests_waiting @ end())");
    let absent = world.watch("absent(vllm:num_requests_waiting)");
    for _ in 0..3 {
        world.take(blank, "\n");
        world.take_now(other, "vllm:num_requests_waiting 2\n");
    }
    unknown(
        &world.says(signal),
        &["the page of b:1 (job blank) has neither vllm:num_requests_waiting"],
    );
    assert_eq!(world.says(at_end), crate::world::value(2.0));
    unknown(&world.says(absent), &["absent()"]);
}

#[test]
fn a_pin_that_fits_nobody_names_what_is_there() {
    let mut world = World::new();
    let queue = world.watch(&QUEUE.replace("\"a\"", "\"vllm-llama3-8b-instruct\""));
    let running = world.watch(&RUNNING.replace(')', "{job=\"eep\"})"));
    let epp = world.target("a:1");
    world.rounds(
        3,
        &[(epp, Some(&Gateway::of("vllm-llama-3-1-8b-instruct")))],
    );
    unknown(
        &world.says(queue),
        &[
            "a:1 now serves \"vllm-llama-3-1-8b-instruct\"",
            "not \"vllm-llama3-8b-instruct\"",
        ],
    );
    unknown(
        &world.says(running),
        &["job=\"eep\" does not fit a:1, which has job=\"epp\""],
    );
}
