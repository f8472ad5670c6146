//! Sources behind a page that whoever wrote it could not read, as its own `up` says (S2e).

use stillwell_engine::labels::Labels;
use stillwell_engine::{Retain, TargetSpec};

use crate::scenario::{INTERVAL_MS, Reported, Scenario, held, unknown, value};

const QUEUE: &str = "llm_d_epp_flow_control_queue_size";

fn federated(retain: Retain) -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs([("job", "federate"), ("instance", "prom:9090")]),
        honor_labels: true,
        interval_ms: INTERVAL_MS as u64,
        retain,
        ..TargetSpec::default()
    }
}

/// What the page says of a gateway: what waits at it, where it could be read, and `up`.
fn gateway(name: &str, waiting: Option<u32>, up: Option<u32>) -> String {
    let of = format!("instance=\"{name}\",job=\"epp\"");
    let mut page = String::new();
    if let Some(waiting) = waiting {
        page += &format!(
            "{QUEUE}{{{of},inference_pool=\"p\"}} {waiting}\nvllm:num_requests_waiting{{{of}}} {waiting}\nmy_queue{{{of}}} {waiting}\n"
        );
    }
    if let Some(up) = up {
        page += &format!("up{{{of}}} {up}\nscrape_samples_scraped{{{of}}} 3\n");
    }
    page
}

/// A gateway with 30 waiting that a Prometheus behind us could not reach was held for a grace, and then told as 0.
#[test]
fn what_a_source_had_that_is_down_is_held_and_then_unknown() {
    for retain in [Retain::All, Retain::Signals] {
        let mut scenario = Scenario::new();
        let queue = format!("sum({QUEUE})");
        let signals = [
            scenario.register(&queue),
            scenario.register(&format!(
                "sum({QUEUE}{{inference_pool=\"p\"}}) or vector(0)"
            )),
            scenario.register("sum(vllm:num_requests_waiting)"),
        ];
        let own = scenario.register("sum(my_queue)");
        let of_other = scenario.register("sum(my_queue{instance=\"b\"})");
        let target = scenario.target_with(federated(retain));
        let told = |scenario: &Scenario| signals.map(|signal| scenario.reported(signal));
        let both = gateway("a", Some(30), Some(1)) + &gateway("b", Some(0), Some(1));
        for _ in 0..3 {
            scenario.take(target, &both);
        }
        assert_eq!(told(&scenario), [value(30.0), value(30.0), value(30.0)]);
        // One that never showed what is read is nobody's queue.
        let idle = gateway("c", None, Some(0));
        let down = gateway("a", None, Some(0)) + &gateway("b", Some(0), Some(1)) + &idle;
        for _ in 0..3 {
            scenario.take(target, &down);
            assert_eq!(told(&scenario), [held(30.0), held(30.0), held(30.0)]);
            unknown(
                &scenario.reported(own),
                &["a is down according to `up`", "prom:9090"],
            );
            assert_eq!(scenario.reported(of_other), value(0.0));
        }
        scenario.now_ms += 61_000;
        for _ in 0..3 {
            scenario.take(target, &down);
            for reported in told(&scenario) {
                unknown(&reported, &["a is down according to `up`"]);
            }
        }
        // Who asks now knows it as well, and what it had is missing until it comes.
        let asked_now = scenario.register(&format!("{queue} * 1"));
        scenario.take(target, &down);
        unknown(&scenario.reported(asked_now), &["a is down"]);
        let up = gateway("a", None, Some(1)) + &gateway("b", Some(0), Some(1));
        scenario.take(target, &up);
        unknown(&scenario.reported(signals[0]), &["a is down"]);
        for _ in 0..2 {
            scenario.take(target, &both);
        }
        assert_eq!(told(&scenario), [value(30.0), value(30.0), value(30.0)]);
        // With its `up` it has left, and is told of no more once the grace is over.
        scenario.take(target, &down);
        scenario.take(target, &gateway("b", Some(0), Some(1)));
        assert_eq!(scenario.reported(own), value(0.0));
        assert_eq!(scenario.reported(signals[0]), held(30.0));
        scenario.now_ms += 61_000;
        for _ in 0..2 {
            scenario.take(target, &gateway("b", Some(0), Some(1)));
        }
        assert_eq!(scenario.reported(signals[0]), value(0.0));
    }
}

/// One that comes back without what it had, as a gateway does whose queue is empty, is not waited for longer than two intervals.
#[test]
fn a_source_that_is_up_again_is_what_it_shows() {
    let mut scenario = Scenario::new();
    let own = scenario.register("sum(my_queue)");
    let target = scenario.target_with(federated(Retain::All));
    let other = gateway("b", Some(7), Some(1));
    for (of_first, told) in [
        (gateway("a", Some(30), Some(1)), Some(37.0)),
        (gateway("a", None, Some(0)), None),
        (gateway("a", None, Some(0)), None),
        (gateway("a", None, Some(1)), None),
        (gateway("a", None, Some(1)), None),
        (gateway("a", None, Some(1)), None),
        (gateway("a", None, Some(1)), Some(7.0)),
        // What it has once had it may have again.
        (gateway("a", None, Some(0)), None),
    ] {
        scenario.take(target, &(of_first + &other));
        match (scenario.reported(own), told) {
            (Reported::Unknown(_), None) => {}
            (reported, Some(told)) => assert_eq!(reported, value(told)),
            (reported, None) => panic!("{reported:?}"),
        }
    }
}

/// Without `up` on the page nothing is known of its sources, and a series that leaves is one that has ended.
#[test]
fn without_up_a_series_that_leaves_has_ended() {
    let mut scenario = Scenario::new();
    let own = scenario.register("sum(my_queue)");
    let target = scenario.target_with(federated(Retain::All));
    let other = gateway("b", Some(7), None);
    scenario.take(target, &(gateway("a", Some(30), None) + &other));
    assert_eq!(scenario.reported(own), value(37.0));
    scenario.take(target, &other);
    assert_eq!(scenario.reported(own), value(7.0));
}
