//! A reason names what is so and what to do, and stays as it is while the state does: the HPA writes its status and an
//! event whenever the text changes.

use crate::scenario::{Gateway, QUEUE, RUNNING, Reported, Scenario, unknown};

#[test]
fn a_reason_is_the_same_for_as_long_as_its_state_lasts() {
    let mut scenario = Scenario::new();
    let (queue, infinite) = (
        scenario.register(QUEUE),
        scenario.register("sum(my_time) * 1e13"),
    );
    let epp = scenario.target("a:1");
    let page = |time: i64| format!("{}my_time {time}\n", Gateway::of("a").page());
    for _ in 0..3 {
        scenario.take(epp, &page(scenario.now_ms));
    }
    let beyond = scenario.reported(infinite);
    unknown(&beyond, &["beyond 9.2e15"]);
    scenario.take(epp, &page(scenario.now_ms));
    assert_eq!(scenario.reported(infinite), beyond);
    let mut reasons = std::collections::BTreeSet::new();
    for round in 0..600 {
        scenario.now_ms += 100;
        scenario.fail_now_with(epp, &format!("timeout after {round} ms"));
        if let Reported::Unknown(why) = scenario.reported(queue) {
            reasons.insert(why);
        }
    }
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    unknown(
        &scenario.reported(queue),
        &["a:1 (job epp) fails since 1970-01-01T02:46:40Z: timeout after 0 ms"],
    );
}

#[test]
fn a_page_without_what_is_asked_for_is_named() {
    let mut scenario = Scenario::new();
    let (blank, other) = (
        scenario.target_of("blank", "b:1", &[]),
        scenario.target_of("vllm", "v:1", &[]),
    );
    let signal = scenario.register("sum(vllm:num_requests_waiting{job=\"blank\"})");
    let at_end = scenario.register("sum(vllm:num_requests_waiting @ end())");
    let absent = scenario.register("absent(vllm:num_requests_waiting)");
    for _ in 0..3 {
        scenario.take(blank, "\n");
        scenario.take_now(other, "vllm:num_requests_waiting 2\n");
    }
    unknown(
        &scenario.reported(signal),
        &["the page of b:1 (job blank) has neither vllm:num_requests_waiting"],
    );
    assert_eq!(scenario.reported(at_end), crate::scenario::value(2.0));
    unknown(&scenario.reported(absent), &["absent()"]);
}

#[test]
fn a_pin_that_fits_nobody_names_what_is_there() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(&QUEUE.replace("\"a\"", "\"vllm-llama3-8b-instruct\""));
    let running = scenario.register(&RUNNING.replace(')', "{job=\"eep\"})"));
    let epp = scenario.target("a:1");
    scenario.rounds(
        3,
        &[(epp, Some(&Gateway::of("vllm-llama-3-1-8b-instruct")))],
    );
    unknown(
        &scenario.reported(queue),
        &[
            "a:1 now serves \"vllm-llama-3-1-8b-instruct\"",
            "not \"vllm-llama3-8b-instruct\"",
        ],
    );
    unknown(
        &scenario.reported(running),
        &["job=\"eep\" does not fit a:1, which has job=\"epp\""],
    );
}
