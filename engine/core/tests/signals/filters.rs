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
