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

/// A pod with 500 waiting was nothing where `ready` lacked it and the peak of the others was compared.
#[test]
fn what_is_left_out_below_a_subquery_is_no_answer() {
    let mut scenario = Scenario::new();
    let target = scenario.target("a:1");
    let [whole, in_part] = ["my_queue", "my_queue and on (pod) ready"]
        .map(|read| scenario.register(&format!("max_over_time(sum({read})[200ms:100ms]) > 5000")));
    for _ in 0..5 {
        scenario.scrape_text(
            target,
            "my_queue{pod=\"a\"} 500\nmy_queue{pod=\"b\"} 3\nready{pod=\"b\"} 1\n",
        );
    }
    assert_eq!(scenario.reported(whole), nothing());
    unknown(&scenario.reported(in_part), &["empty"]);
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

const RUNNING: &str = "sum(inference_objective_running_requests)";

/// Whoever wrote `(sum(queue) > 100) * 2` or counted busy pods was told of an error for as long as the system was idle.
#[test]
fn combinations_of_comparisons_that_leave_out_what_was_measured_yield_nothing() {
    let mut scenario = Scenario::new();
    let target = scenario.target("a:1");
    let mut gateway = Gateway::of("a");
    let texts = [
        (format!("({QUEUE} > 100) * 2"), nothing()),
        (format!("({QUEUE} > 4) * 2"), value(10.0)),
        (format!("{QUEUE} > 100 and {RUNNING} > 5"), nothing()),
        (format!("{QUEUE} > 4 and {RUNNING} > 5"), value(5.0)),
        (format!("{QUEUE} > 100 or {RUNNING} > 100"), nothing()),
        (format!("{QUEUE} > {RUNNING}"), nothing()),
        (format!("{RUNNING} > {QUEUE}"), value(7.0)),
        (format!("{QUEUE} unless {RUNNING} > 1"), nothing()),
        (
            "count(inference_extension_flow_control_queue_size > 100)".to_owned(),
            nothing(),
        ),
        (
            "count(inference_extension_flow_control_queue_size > 100) > 2".to_owned(),
            nothing(),
        ),
        (
            "sum by (model_name) (inference_extension_flow_control_queue_size > 100)".to_owned(),
            nothing(),
        ),
        (
            format!("ceil(({QUEUE} > 100) / 5) or vector(3)"),
            value(3.0),
        ),
    ];
    let signals = texts.map(|(text, expected)| (scenario.register(&text), text, expected));
    scenario.rounds(5, &[(target, Some(&gateway))]);
    for (signal, text, expected) in &signals {
        assert_eq!(&scenario.reported(*signal), expected, "{text}");
    }
    // An idle queue that is proven is none that is above anything.
    gateway.queue = None;
    scenario.rounds(3, &[(target, Some(&gateway))]);
    for at in [0, 2, 5] {
        assert_eq!(
            scenario.reported(signals[at].0),
            nothing(),
            "{}",
            signals[at].1
        );
    }
    // What is compared may have been there where nothing is proven of it.
    gateway.flow_control = false;
    scenario.rounds(3, &[(target, Some(&gateway))]);
    for at in [0, 2, 5, 8] {
        unknown(&scenario.reported(signals[at].0), &[""]);
    }
}

/// What never finds a partner leaves nothing whatever waits, and 0 below a limit is a number.
#[test]
fn an_empty_combination_that_no_comparison_explains_is_unknown() {
    let mut scenario = Scenario::new();
    let target = scenario.target("a:1");
    let mut gateway = Gateway::of("a");
    let queue = "inference_extension_flow_control_queue_size";
    let texts = [
        (
            format!("(sum by (model_name) ({queue}) > 0) * {RUNNING}"),
            "no group exists",
        ),
        (format!("({QUEUE} > 100) * sum(unheard_of)"), "unheard_of"),
        (
            format!("max_over_time(({QUEUE} > 100)[1s:100ms])"),
            "the result is empty",
        ),
        (format!("absent({QUEUE} < 100)"), "absent"),
    ];
    let signals = texts.map(|(text, says)| (scenario.register(&text), text, says));
    let idle = scenario.register(&format!("({QUEUE} < 3) + 1"));
    scenario.rounds(20, &[(target, Some(&gateway))]);
    for (signal, text, says) in &signals {
        let told = scenario.reported(*signal);
        assert!(matches!(told, Reported::Unknown(_)), "{text}: {told:?}");
        unknown(&told, &[says]);
    }
    assert_eq!(scenario.reported(idle), nothing());
    gateway.queue = None;
    scenario.rounds(3, &[(target, Some(&gateway))]);
    unknown(&scenario.reported(idle), &["the result is empty"]);
}

/// An outage, a restart or a page that lost what is compared is never an idle system.
#[test]
fn a_combination_of_comparisons_is_held_and_unknown_as_its_operands() {
    let texts = [
        format!("({QUEUE} > 100) * 2"),
        format!("{QUEUE} > 100 and {RUNNING} > 5"),
        format!("{QUEUE} > {RUNNING} * 10"),
        "count(inference_extension_flow_control_queue_size > 100)".to_owned(),
    ];
    for text in texts {
        let mut scenario = Scenario::new();
        let (target, other) = (scenario.target("a:1"), scenario.target("b:1"));
        let signal = scenario.register(&text);
        let gateway = Gateway::of("a");
        let round = |scenario: &mut Scenario, first: Option<&Gateway>| {
            scenario.scrape(&[(target, first), (other, Some(&gateway))]);
        };
        for _ in 0..3 {
            round(&mut scenario, Some(&gateway));
        }
        assert_eq!(scenario.reported(signal), nothing(), "{text}");
        // One that is not reached may have more than it had.
        round(&mut scenario, None);
        assert_eq!(
            scenario.reported(signal),
            Reported::Held(Vec::new()),
            "{text}"
        );
        for _ in 0..30 {
            round(&mut scenario, None);
        }
        unknown(&scenario.reported(signal), &["a:1"]);
        for _ in 0..3 {
            round(&mut scenario, Some(&gateway));
        }
        // A page that goes on without what is compared has lost it.
        let lost = Gateway {
            queue: None,
            flow_control: false,
            ..gateway.clone()
        };
        scenario.now_ms += 200_000;
        for _ in 0..3 {
            round(&mut scenario, Some(&lost));
        }
        unknown(&scenario.reported(signal), &["a:1"]);
    }
}

/// The pods of a model server, whose gauges nobody's table knows: a count of busy ones.
#[test]
fn a_count_of_busy_pods_is_nothing_while_all_are_measured_and_idle() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("count(my_queue > 0)");
    let pods = ["a:1", "b:1"].map(|pod| scenario.target_of("v", pod, &[]));
    let page = |queue: f64| format!("process_start_time_seconds 1\nother 1\nmy_queue {queue}\n");
    for _ in 0..3 {
        scenario.take(pods[0], &page(0.0));
        scenario.take(pods[1], &page(0.0));
    }
    assert_eq!(scenario.reported(signal), nothing());
    scenario.take(pods[0], &page(3.0));
    scenario.take(pods[1], &page(0.0));
    assert_eq!(scenario.reported(signal), value(1.0));
    // NaN is no idle pod.
    scenario.take(pods[0], &page(f64::NAN));
    scenario.take(pods[1], &page(0.0));
    unknown(&scenario.reported(signal), &["NaN"]);
}

/// A query that fitted was evaluated from its plan at each page, because what tells why it is empty did not fit beside it.
#[test]
fn a_query_is_compiled_with_what_tells_why_its_comparisons_leave_nothing() {
    let mut scenario = Scenario::new();
    let target = scenario.target("a:1");
    let all = |limit: i64| {
        let one = |at: usize| format!("sum(q{at}) > {limit}");
        (0..70).map(one).collect::<Vec<_>>().join(" and ")
    };
    let signals = [all(1), all(5)].map(|text| scenario.register(&text));
    let page = (0..70).map(|at| format!("q{at} 3\n"));
    let page: String = page.collect();
    for _ in 0..3 {
        scenario.take(target, &page);
    }
    for (signal, told) in signals.into_iter().zip([value(3.0), nothing()]) {
        let outline = scenario.reader.outline(signal).expect("it stands");
        assert!(!outline.plan.starts_with("not"), "{}", outline.plan_reason);
        assert_eq!(scenario.reported(signal), told);
    }
}

/// That others were compared says nothing of the model that a caller pins.
#[test]
fn a_group_that_found_nothing_to_be_compared_with_is_unknown_to_who_pins_it() {
    let mut scenario = Scenario::new();
    let target = scenario.target("a:1");
    let text = "sum by (model_name) (q) > on (model_name) limit";
    let one_sided = "sum by (model_name) (q) > 100";
    let signals = [text, one_sided].map(|text| scenario.register(text));
    for _ in 0..3 {
        scenario.take(
            target,
            "q{model_name=\"a\"} 3\nq{model_name=\"b\"} 500\nq{model_name=\"c\"} 50\nlimit{model_name=\"a\"} 10\nlimit{model_name=\"c\"} 10\n",
        );
    }
    let told = |signal, model: &str| scenario.reported_pinned(signal, &[("model_name", model)]);
    assert_eq!(told(signals[0], "c"), value(50.0));
    // `b` has no limit, and that `a` is below its own is not told apart from it.
    for model in ["a", "b"] {
        unknown(&told(signals[0], model), &["the result is empty"]);
    }
    unknown(&told(signals[0], "d"), &["model_name"]);
    assert_eq!(told(signals[1], "b"), value(500.0));
    assert_eq!(told(signals[1], "a"), nothing());
    unknown(
        &told(signals[1], "d"),
        &["no series ever had model_name=\"d\""],
    );
}

/// Of two pools the one whose queue was below the bound did not answer, or said NaN: the other's 30 were told as all there is.
#[test]
fn a_group_that_a_comparison_leaves_out_is_a_part_of_the_answer() {
    let queue = "inference_extension_flow_control_queue_size";
    for text in [
        format!("sum by (inference_pool) ({queue}) > 10"),
        format!("(sum by (inference_pool) ({queue}) > 10) * 2"),
        format!("sum by (inference_pool) ({queue} > 10)"),
        format!("max_over_time((sum by (inference_pool) ({queue}) > 10)[100ms:100ms])"),
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register(&text);
        let (a, b) = (scenario.target("a:1"), scenario.target("b:1"));
        let (small, mut large) = (Gateway::of("a"), Gateway::of("b"));
        large.queue = Some(30.0);
        let mut of_nan = small.clone();
        of_nan.queue = Some(f64::NAN);
        let all = if text.ends_with("* 2") { 60.0 } else { 30.0 };
        scenario.rounds(3, &[(a, Some(&small)), (b, Some(&large))]);
        assert_eq!(scenario.reported(signal), value(all), "{text}");
        scenario.rounds(3, &[(a, Some(&of_nan)), (b, Some(&large))]);
        unknown(&scenario.reported(signal), &["NaN"]);
        scenario.rounds(3, &[(a, Some(&small)), (b, Some(&large))]);
        scenario.rounds(2, &[(a, None), (b, Some(&large))]);
        assert_eq!(scenario.reported(signal), held(all), "{text}");
        scenario.rounds(60, &[(a, None), (b, Some(&large))]);
        unknown(&scenario.reported(signal), &["a:1", "fails since"]);
        let of_other = scenario.reported_pinned(signal, &[("inference_pool", "b")]);
        assert_eq!(of_other, value(all), "{text}");
    }
}
