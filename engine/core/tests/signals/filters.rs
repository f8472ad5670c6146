//! Comparisons with a number that leave out what was measured (S4): nothing is what there is then, and it is no zero.

use crate::scenario::{Gateway, QUEUE, Reported, Scenario, held, unknown, value};

fn nothing() -> Reported {
    Reported::Value(Vec::new())
}

/// `sum(queue) > 100` was unknown while 5 waited, and a scaler was told of an error.
#[test]
fn a_comparison_that_leaves_out_what_was_measured_yields_nothing() {
    let mut scenario = Scenario::new();
    let target = scenario.target("a:1");
    let mut gateway = Gateway::of("a");
    let texts = [
        (format!("{QUEUE} > 100"), nothing()),
        (format!("100 < {QUEUE}"), nothing()),
        (format!("{QUEUE} > 4"), value(5.0)),
        (format!("4 < {QUEUE}"), value(5.0)),
        (format!("{QUEUE} == 4"), nothing()),
        (format!("{QUEUE} > bool 100"), value(0.0)),
        (format!("{QUEUE} > 100 or vector(0)"), value(0.0)),
        (
            "inference_extension_flow_control_queue_size > 100".to_owned(),
            nothing(),
        ),
        (
            "sum(rate(inference_objective_running_requests[200ms])) > 100".to_owned(),
            nothing(),
        ),
    ];
    let signals: Vec<_> = texts
        .iter()
        .map(|(text, _)| scenario.register(text))
        .collect();
    scenario.rounds(5, &[(target, Some(&gateway))]);
    for (signal, (text, expected)) in signals.iter().zip(&texts) {
        assert_eq!(&scenario.reported(*signal), expected, "{text}");
    }
    // A queue that is proven to be idle is compared as 0.
    let idle = scenario.register(&format!("{QUEUE} < 3"));
    gateway.queue = None;
    scenario.rounds(3, &[(target, Some(&gateway))]);
    assert_eq!(scenario.reported(signals[0]), nothing());
    assert_eq!(scenario.reported(idle), value(0.0));
    // One of which nothing is known is not.
    gateway.flow_control = false;
    scenario.rounds(3, &[(target, Some(&gateway))]);
    for signal in [signals[0], idle] {
        unknown(&scenario.reported(signal), &["flow control"]);
    }
    let nowhere = scenario.register("sum(unheard_of) > 3");
    unknown(&scenario.reported(nowhere), &["never seen"]);
}

#[test]
fn a_comparison_is_held_and_unknown_as_what_it_compares() {
    let mut scenario = Scenario::new();
    let (target, other) = (scenario.target("a:1"), scenario.target("b:1"));
    let signal = scenario.register(&format!("{QUEUE} > 100"));
    let mut gateway = Gateway::of("a");
    gateway.queue = Some(60.0);
    let round = |scenario: &mut Scenario, first: Option<&Gateway>, second: &Gateway| {
        scenario.scrape(&[(target, first), (other, Some(second))]);
    };
    for _ in 0..3 {
        round(&mut scenario, Some(&gateway), &gateway);
    }
    assert_eq!(scenario.reported(signal), value(120.0));
    // One restarts with an empty queue: it is what it was.
    let restarted = Gateway {
        queue: None,
        start: 2000.0,
        ..gateway.clone()
    };
    round(&mut scenario, Some(&restarted), &gateway);
    assert_eq!(scenario.reported(signal), held(120.0));
    scenario.now_ms += 61_000;
    for _ in 0..2 {
        round(&mut scenario, Some(&restarted), &gateway);
    }
    assert_eq!(scenario.reported(signal), nothing());
    // One that is not reached may have more than it had.
    round(&mut scenario, None, &gateway);
    assert_eq!(scenario.reported(signal), Reported::Held(Vec::new()));
    for _ in 0..30 {
        round(&mut scenario, None, &gateway);
    }
    unknown(&scenario.reported(signal), &["a:1"]);
}

/// The first pages of a process lack the gauge: a sum by model was held, and the same compared with a number refused.
#[test]
fn a_grouped_comparison_holds_what_vanished_as_what_it_compares() {
    let mut scenario = Scenario::new();
    let by = "sum by (model_name) (vllm:num_requests_waiting)";
    let signals = [by.to_owned(), format!("{by} > 3")].map(|text| scenario.register(&text));
    let target = scenario.target_of("v", "a:1", &[]);
    for _ in 0..3 {
        scenario.take(
            target,
            "process_start_time_seconds 1\nvllm:num_requests_waiting{model_name=\"m\"} 30\n",
        );
    }
    for signal in signals {
        assert_eq!(scenario.reported(signal), value(30.0));
    }
    for _ in 0..2 {
        scenario.take(
            target,
            "process_start_time_seconds 9000\nvllm:cache_config_info{x=\"y\"} 1\n",
        );
        for signal in signals {
            assert_eq!(scenario.reported(signal), held(30.0));
        }
    }
    scenario.now_ms += 61_000;
    for _ in 0..2 {
        scenario.take(
            target,
            "process_start_time_seconds 9000\nvllm:cache_config_info{x=\"y\"} 1\n",
        );
    }
    unknown(&scenario.reported(signals[0]), &["no group exists"]);
    unknown(&scenario.reported(signals[1]), &["the page of a:1"]);
}

/// Of a model that nobody has a comparison said that nothing of it is above the limit.
#[test]
fn a_mistyped_pin_is_nothing_that_a_comparison_has_left_out() {
    let mut scenario = Scenario::new();
    let target = scenario.target("a:1");
    let by = "sum by (model_name) (inference_extension_flow_control_queue_size)";
    let signals = [by.to_owned(), format!("{by} > 1"), format!("{by} > 100")];
    let signals = signals.map(|text| scenario.register(&text));
    scenario.rounds(3, &[(target, Some(&Gateway::of("a")))]);
    for (signal, expected) in signals.into_iter().zip([value(2.5), value(2.5), nothing()]) {
        let of = |model: &str| scenario.reported_pinned(signal, &[("model_name", model)]);
        assert_eq!(of("m"), expected);
        unknown(
            &of("nobody"),
            &["no series ever had model_name=\"nobody\"", "\"m\""],
        );
    }
}

/// What a part says itself for nothing was compared as 0.
#[test]
fn the_constant_of_what_is_compared_is_compared() {
    let mut scenario = Scenario::new();
    let target = scenario.target("a:1");
    let mut gateway = Gateway::of("a");
    let texts = [
        (format!("({QUEUE} or vector(10)) < 5"), nothing()),
        (format!("({QUEUE} or vector(10)) > 5"), value(10.0)),
        (format!("({QUEUE} or vector(2)) < 5"), value(2.0)),
        (format!("{QUEUE} < 5"), value(0.0)),
    ];
    let signals = texts.map(|(text, expected)| (scenario.register(&text), text, expected));
    scenario.rounds(3, &[(target, Some(&gateway))]);
    gateway.queue = None;
    scenario.rounds(3, &[(target, Some(&gateway))]);
    for (signal, text, expected) in &signals {
        assert_eq!(&scenario.reported(*signal), expected, "{text}");
    }
    gateway.flow_control = false;
    scenario.rounds(3, &[(target, Some(&gateway))]);
    for (signal, ..) in &signals {
        unknown(&scenario.reported(*signal), &["flow control"]);
    }
}
