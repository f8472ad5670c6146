//! Restarts, replacements and our own start (S6): for a while after a change, less is told and lower numbers are not.

use stillwell_engine::signal::Policy;

use crate::scenario::{Gateway, QUEUE, Reported, Scenario, held, unknown, value};

#[test]
fn a_restart_is_smoothed_over_and_ends() {
    let mut scenario = Scenario::new();
    let (queue, rate) = (
        scenario.register(QUEUE),
        scenario.register("sum(rate(process_start_time_seconds[1s]))"),
    );
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    scenario.rounds(30, &[(epp, Some(&page))]);
    scenario.rounds(5, &[(epp, None)]);
    page.start = scenario.start_now();
    page.queue = None;
    scenario.scrape(&[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), held(5.0));
    unknown(&scenario.reported(rate), &["a:1", "restarted"]);
    page.queue = Some(9.0);
    scenario.rounds(10, &[(epp, Some(&page))]);
    assert_eq!(
        scenario.reported(queue),
        held(9.0),
        "more than before the restart is told as it is"
    );
    page.queue = Some(2.0);
    scenario.rounds(588, &[(epp, Some(&page))]);
    assert_eq!(
        scenario.reported(queue),
        held(5.0),
        "59.8 s after the restart"
    );
    scenario.rounds(2, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), value(2.0));
    assert!(
        matches!(scenario.reported(rate), Reported::Value(_)),
        "{:?}",
        scenario.reported(rate)
    );
}

/// What was measured before a restart was told with the time of now for as long as it was held.
#[test]
fn what_is_held_in_a_grace_is_as_old_as_it_is() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let by_model =
        scenario.register("sum by (model_name) (inference_extension_flow_control_queue_size)");
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    scenario.rounds(3, &[(epp, Some(&page))]);
    let measured_ms = scenario.now_ms;
    page.start = scenario.start_now();
    let ages = |scenario: &Scenario, signal| {
        let reading = scenario.reader.signal(signal, scenario.at(), &[]);
        let elements = reading.expect("it is registered").elements;
        let times = elements.iter().map(|element| element.time.ms());
        times.collect::<Vec<i64>>()
    };
    for (shown, is_older) in [(Some(0.0), true), (None, true), (Some(9.0), false)] {
        page.queue = shown;
        scenario.rounds(20, &[(epp, Some(&page))]);
        let expected = if is_older {
            measured_ms
        } else {
            scenario.now_ms
        };
        assert_eq!(ages(&scenario, queue), [expected], "{shown:?}");
        assert_eq!(ages(&scenario, by_model), [expected; 2], "{shown:?}");
    }
}

#[test]
fn a_crash_loop_keeps_from_scaling_in_and_lets_a_queue_wake_its_pool() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    scenario.rounds(3, &[(epp, Some(&page))]);
    for _ in 0..3 {
        scenario.rounds(100, &[(epp, None)]);
        page.start = scenario.start_now();
        page.queue = None;
        scenario.rounds(3, &[(epp, Some(&page))]);
    }
    // The newest grace is over and the loop is not.
    scenario.rounds(700, &[(epp, Some(&page))]);
    assert_eq!(
        scenario.reported(queue),
        held(5.0),
        "what was measured before the first crash"
    );
    page.queue = Some(9.0);
    scenario.scrape(&[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), held(9.0), "more is told at once");
    scenario.rounds(3_000, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), value(9.0));
}

#[test]
fn three_restarts_at_zero_replicas_do_not_delay_the_wake() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("service:9090");
    let mut page = Gateway::of("a");
    page.queue = None;
    scenario.rounds(10, &[(epp, Some(&page))]);
    for _ in 0..3 {
        scenario.rounds(50, &[(epp, None)]);
        page.start = scenario.start_now();
        scenario.rounds(50, &[(epp, Some(&page))]);
    }
    unknown(
        &scenario.reported(queue),
        &["crash loop: service:9090 restarted 3 times or more within 300 s"],
    );
    page.queue = Some(5.0);
    scenario.scrape(&[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), held(5.0));
}

#[test]
fn pods_that_replace_one_another_behind_one_address_are_no_crash_loop() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("service:9090");
    let mut page = Gateway::of("a");
    page.queue = None;
    scenario.rounds(10, &[(epp, Some(&page))]);
    for _ in 0..5 {
        // The next pod starts while the one before still answers.
        let start = scenario.start_now();
        scenario.rounds(50, &[(epp, Some(&page))]);
        page.start = start;
        scenario.rounds(50, &[(epp, Some(&page))]);
    }
    scenario.rounds(700, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), value(0.0));
}

#[test]
fn a_crash_inside_a_grace_is_clamped_to_what_was_measured_in_it_and_ends() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    scenario.rounds(10, &[(epp, Some(&page))]);
    page.start = scenario.start_now();
    page.queue = Some(218.0);
    scenario.rounds(100, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), held(218.0));
    scenario.rounds(5, &[(epp, None)]);
    page.start = scenario.start_now();
    page.queue = Some(5.0);
    scenario.scrape(&[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), held(218.0));
    scenario.rounds(598, &[(epp, Some(&page))]);
    assert_eq!(
        scenario.reported(queue),
        held(218.0),
        "the second change begins a grace of its own"
    );
    scenario.rounds(2, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), value(5.0));
}

/// Two replicas of ours, one of which starts after the gateway has restarted: the older holds what was before, so the
/// younger must not tell 0 meanwhile.
#[test]
fn a_replica_that_starts_after_a_restart_tells_no_zero_until_the_other_would() {
    let (mut old, mut young) = (Scenario::new(), Scenario::new());
    let mut page = Gateway::of("a");
    page.queue = Some(700.0);
    let (signal, epp) = (old.register(QUEUE), old.target("a:1"));
    old.rounds(100, &[(epp, Some(&page))]);
    page.start = old.start_now();
    page.queue = None;
    old.rounds(100, &[(epp, Some(&page))]);
    assert_eq!(old.reported(signal), held(700.0));
    young.now_ms = old.now_ms;
    let (late, late_epp) = (young.register(QUEUE), young.target("a:1"));
    for _ in 0..499 {
        old.scrape(&[(epp, Some(&page))]);
        young.scrape(&[(late_epp, Some(&page))]);
        assert_eq!(old.reported(signal), held(700.0));
        unknown(
            &young.reported(late),
            &["a:1", "what was true before is not known here"],
        );
    }
    page.queue = Some(3.0);
    young.scrape(&[(late_epp, Some(&page))]);
    assert_eq!(
        young.reported(late),
        held(3.0),
        "for scaling out nobody waits"
    );
    page.queue = None;
    old.rounds(151, &[(epp, Some(&page))]);
    young.rounds(151, &[(late_epp, Some(&page))]);
    assert_eq!(
        (old.reported(signal), young.reported(late)),
        (value(0.0), value(0.0))
    );
}

/// A query that somebody asks for the first time inside a grace has no memory of what was before either.
#[test]
fn a_query_that_comes_after_a_restart_tells_no_zero_inside_the_grace() {
    let mut scenario = Scenario::new();
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    scenario.rounds(10, &[(epp, Some(&page))]);
    page.start = scenario.start_now();
    page.queue = None;
    scenario.rounds(10, &[(epp, Some(&page))]);
    let queue = scenario.register(QUEUE);
    unknown(&scenario.reported(queue), &["a:1", "started at"]);
    scenario.rounds(600, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), value(0.0));
}

#[test]
fn pods_that_replace_one_another_are_no_crash_loop() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let mut old = scenario.target("pod-0:1");
    let mut page = Gateway::of("a");
    scenario.rounds(3, &[(old, Some(&page))]);
    for pod in 1..10 {
        let new = scenario.target(&format!("pod-{pod}:1"));
        page.start = scenario.start_now();
        scenario.rounds(20, &[(old, Some(&page)), (new, Some(&page))]);
        scenario.remove(old);
        old = new;
        scenario.rounds(20, &[(old, Some(&page))]);
        match scenario.reported(queue) {
            Reported::Value(values) | Reported::Held(values) => assert!(values[0] >= 5.0),
            other => panic!("pod {pod}: {other:?}"),
        }
    }
    scenario.rounds(700, &[(old, Some(&page))]);
    assert_eq!(scenario.reported(queue), value(5.0));
}

#[test]
fn a_policy_that_changes_keeps_what_was_seen() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    scenario.rounds(10, &[(epp, Some(&page))]);
    page.start = scenario.start_now();
    page.queue = Some(1.0);
    scenario.rounds(10, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), held(5.0));
    scenario.reader.set_policy(
        queue,
        Policy {
            hold_ms: Some(10_000),
            ..Policy::default()
        },
    );
    assert_eq!(scenario.reported(queue), held(5.0), "the grace goes on");
    scenario.rounds(80, &[(epp, None)]);
    assert_eq!(
        scenario.reported(queue),
        held(5.0),
        "the longer hold counts at once"
    );
}

#[test]
fn our_own_start_tells_nothing_that_is_not_covered() {
    let mut scenario = Scenario::new();
    let rate = scenario.register("sum(rate(inference_objective_running_requests[10s]))");
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    let page = Gateway::of("a");
    scenario.rounds(50, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), value(5.0));
    unknown(
        &scenario.reported(rate),
        &["10.0 s", "not covered before 1970-01-01T02:46:50Z"],
    );
    scenario.rounds(60, &[(epp, Some(&page))]);
    assert!(
        matches!(scenario.reported(rate), Reported::Value(_)),
        "{:?}",
        scenario.reported(rate)
    );
}

#[test]
fn subqueries_look_back_too() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("max_over_time(sum(rate(x_total[1s]))[10m:1s])");
    let target = scenario.target("a:1");
    for count in 0..50 {
        scenario.scrape_text(target, &format!("x_total {count}\n"));
    }
    unknown(&scenario.reported(signal), &["601.0 s"]);
}

/// A gateway crashed, and `ceil(sum(queue) / 5)` told 0 for the queue that `sum(queue)` still held.
#[test]
fn whatever_is_computed_from_a_queue_is_smoothed_over_as_the_queue_is() {
    const FAMILY: &str = "inference_extension_flow_control_queue_size";
    let forms = [
        ("round(sum(Q))", 6.0),
        ("ceil(sum(Q) / 5)", 2.0),
        ("sum(Q) - 1", 5.0),
        ("scalar(sum(Q))", 6.0),
        ("avg(Q)", 3.0),
        ("min(Q)", 3.0),
        ("quantile(1, Q)", 3.0),
        ("sum(Q > 0) or vector(0)", 6.0),
        ("sum(Q) > bool 0", 1.0),
        ("sum({__name__=~\"Q\"})", 6.0),
        ("sum(label_replace(Q, \"a\", \"b\", \"\", \"\"))", 6.0),
        ("Q{model_name=\"m\"}", 3.0),
        ("sum(Q) / sum(inference_pool_ready_pods)", 6.0),
        ("topk(1, Q{model_name=\"m\"})", 3.0),
    ];
    let mut scenario = Scenario::new();
    let mut register = |(text, before): (&'static str, f64)| {
        let signal = scenario.register(&text.replace('Q', FAMILY));
        (text, signal, before)
    };
    let signals: Vec<_> = forms.into_iter().map(&mut register).collect();
    let falling = ["-sum(Q)", "5 - sum(Q)", "-avg(Q)"];
    let falling: Vec<_> = falling
        .into_iter()
        .map(|text| register((text, 0.0)))
        .collect();
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = Some(6.0);
    scenario.rounds(30, &[(epp, Some(&page))]);
    for (text, signal, before) in &signals {
        assert_eq!(scenario.reported(*signal), value(*before), "{text}");
    }
    page.start = scenario.start_now();
    page.queue = Some(0.0);
    scenario.scrape(&[(epp, Some(&page))]);
    for (text, signal, before) in &signals {
        assert_eq!(scenario.reported(*signal), held(*before), "{text}");
    }
    for (text, signal, _) in &falling {
        match scenario.reported(*signal) {
            Reported::Held(values) if values[0] > 0.0 => {}
            other => unknown(
                &other,
                &[text.split('Q').next().map_or("", |_| "restarted")],
            ),
        }
    }
    scenario.rounds(600, &[(epp, Some(&page))]);
    for (text, signal, _) in &signals {
        let Reported::Value(values) = scenario.reported(*signal) else {
            // Empty, and of what is no sum nobody knows whether that is 0.
            unknown(&scenario.reported(*signal), &["empty"]);
            continue;
        };
        assert!(values[0] <= 0.0, "{text}: {values:?} after the grace");
    }
}

/// The same asked for the first time after the restart, which another replica has seen.
#[test]
fn nothing_computed_from_a_queue_is_0_after_a_restart_that_was_not_seen() {
    const FAMILY: &str = "inference_extension_flow_control_queue_size";
    for text in [
        "sum(Q)",
        "round(sum(Q))",
        "avg(Q)",
        "Q{model_name=\"m\"}",
        "-sum(Q)",
        "sum(Q) > bool 0",
        "count(Q > 0) or vector(0)",
        "sum(last_over_time(Q[1s]))",
        "sum({__name__=~\"Q\"})",
    ] {
        let mut scenario = Scenario::new();
        let epp = scenario.target("a:1");
        let mut page = Gateway::of("a");
        page.start = scenario.start_now();
        page.queue = Some(0.0);
        scenario.rounds(20, &[(epp, Some(&page))]);
        let signal = scenario.register(&text.replace('Q', FAMILY));
        scenario.rounds(20, &[(epp, Some(&page))]);
        unknown(&scenario.reported(signal), &["started at", "no 0 is told"]);
    }
}

/// Another gateway shows nothing of its queue: its flow control may be off.
#[test]
fn a_0_that_is_computed_from_a_queue_needs_the_page_of_every_gateway() {
    let mut scenario = Scenario::new();
    let signals = [
        "round(sum(inference_extension_flow_control_queue_size))",
        "round(sum({__name__=~\".*flow_control_queue_size\"}))",
    ]
    .map(|text| scenario.register(text));
    let (one, other) = (scenario.target("a:1"), scenario.target("b:1"));
    let mut page = Gateway::of("a");
    page.queue = Some(0.0);
    let mut off = Gateway::of("a");
    (off.queue, off.flow_control) = (None, false);
    scenario.rounds(30, &[(one, Some(&page)), (other, Some(&page))]);
    for signal in signals {
        assert_eq!(scenario.reported(signal), value(0.0));
    }
    scenario.rounds(3, &[(one, Some(&page)), (other, Some(&off))]);
    for signal in signals {
        unknown(&scenario.reported(signal), &["flow control", "b:1"]);
    }
}

/// A query that is evaluated when somebody asks had been asked while the queue was empty: that was no number of right before.
#[test]
fn what_was_asked_long_before_a_restart_is_no_number_of_right_before() {
    const UNCOMPILED: &str =
        "round(sum(last_over_time(last_over_time(Q[200ms:100ms])[200ms:100ms])))";
    let when_read = Policy {
        when_read: true,
        ..Policy::default()
    };
    for (text, policy, expected) in [
        (UNCOMPILED, Policy::default(), Some(held(6.0))),
        ("round(sum(Q))", when_read.clone(), None),
        ("sum(Q)", when_read, None),
    ] {
        let mut scenario = Scenario::new();
        let query = text.replace('Q', "inference_extension_flow_control_queue_size");
        let signal = scenario.register_with(&query, policy);
        let epp = scenario.target("a:1");
        let mut page = Gateway::of("a");
        page.queue = Some(0.0);
        scenario.rounds(20, &[(epp, Some(&page))]);
        assert_eq!(scenario.reported(signal), value(0.0), "{text}");
        page.queue = Some(6.0);
        scenario.rounds(50, &[(epp, Some(&page))]);
        page.start = scenario.start_now();
        page.queue = Some(0.0);
        scenario.rounds(10, &[(epp, Some(&page))]);
        match expected {
            Some(expected) => assert_eq!(scenario.reported(signal), expected, "{text}"),
            None => unknown(
                &scenario.reported(signal),
                &["restarted", "not evaluated right before"],
            ),
        }
    }
}

/// A pod that was scaled in leaves discovery: an idle pool stays 0 in every form, or its scaler would fall back.
#[test]
fn a_pod_that_leaves_while_nothing_waits_leaves_the_0() {
    let when_read = Policy {
        when_read: true,
        ..Policy::default()
    };
    let mut scenario = Scenario::new();
    let signals = [
        "sum(vllm:num_requests_waiting)",
        "avg(vllm:num_requests_waiting)",
        "sum(vllm:num_requests_waiting) / count(vllm:num_requests_waiting)",
        "sum(vllm:num_requests_waiting > 0) or vector(0)",
    ]
    .map(|text| {
        let read = scenario.register_with(text, when_read.clone());
        (text, scenario.register(text), read)
    });
    let pods = ["a:1", "b:1"].map(|pod| scenario.target(pod));
    let page = "vllm:num_requests_waiting 0\nprocess_start_time_seconds 1000\n";
    let round = |scenario: &mut Scenario, count: usize, pods: &[usize]| {
        for _ in 0..count {
            scenario.now_ms += 100;
            pods.iter().for_each(|pod| scenario.take_now(*pod, page));
            scenario.writer.maintain(scenario.at());
        }
    };
    round(&mut scenario, 20, &pods);
    for (text, signal, read) in &signals {
        assert_eq!(scenario.reported(*signal), value(0.0), "{text}");
        assert_eq!(scenario.reported(*read), value(0.0), "{text}");
    }
    round(&mut scenario, 20, &pods);
    scenario.remove(pods[1]);
    round(&mut scenario, 5, &pods[..1]);
    for (text, signal, read) in &signals {
        assert_eq!(scenario.reported(*signal), held(0.0), "{text}");
        assert_eq!(scenario.reported(*read), held(0.0), "{text}");
    }
}

/// The kernel's time of boot moves by a second when the clock is corrected: rates were refused for ever.
#[test]
fn a_start_time_that_wavers_is_no_restart() {
    for (starts, expected) in [
        ([1000.25, 1001.25, 1000.25, 1001.25], value(0.0)),
        ([1000.25, 1001.25, 1000.25, 1002.25], held(30.0)),
        // Two replicas behind one address that were started together.
        ([1000.0, 1000.6, 1000.0, 1000.6], held(30.0)),
        ([1000.25, 1000.25, 1000.25, 990.25], held(30.0)),
        ([1000.0, 1001.0, 1000.0, 1001.0], held(30.0)),
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register(QUEUE);
        let epp = scenario.target("a:1");
        let mut page = Gateway::of("a");
        for (at, start) in starts.into_iter().enumerate() {
            page.start = start;
            page.queue = Some(if at == 3 { 0.0 } else { 30.0 });
            scenario.rounds(1, &[(epp, Some(&page))]);
        }
        assert_eq!(scenario.reported(signal), expected, "{starts:?}");
    }
}

/// `sum by (pod)` was unknown for a minute after each scale-in, though the other pods' numbers were certain.
#[test]
fn a_group_whose_targets_have_left_keeps_nobody_from_the_others() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum by (pod) (vllm:num_requests_waiting)");
    let pods = ["p0", "p1"].map(|pod| scenario.target_of("vllm", pod, &[("pod", pod)]));
    for _ in 0..3 {
        for pod in pods {
            scenario.take_now(pod, "vllm:num_requests_waiting{model_name=\"m\"} 4\n");
        }
        scenario.now_ms += 100;
    }
    assert_eq!(scenario.reported(signal), Reported::Value(vec![4.0, 4.0]));
    scenario.remove(pods[1]);
    scenario.take(pods[0], "vllm:num_requests_waiting{model_name=\"m\"} 7\n");
    assert_eq!(scenario.reported(signal), Reported::Held(vec![7.0, 4.0]));
    scenario.now_ms += 61_000;
    for _ in 0..2 {
        scenario.take(pods[0], "vllm:num_requests_waiting{model_name=\"m\"} 7\n");
    }
    assert_eq!(scenario.reported(signal), value(7.0));
}

/// A gauge was NaN right before a restart, which wiped what was measured before: 30 became 0 at the first page.
#[test]
fn what_was_no_number_before_a_restart_is_no_zero_after_it() {
    for (pages_of_nan, after) in [(3, held(30.0)), (700, Reported::Unknown(String::new()))] {
        let mut scenario = Scenario::new();
        let signals = [
            "sum(vllm:num_requests_waiting)",
            "ceil(sum(vllm:num_requests_waiting))",
        ]
        .map(|query| scenario.register(query));
        let target = scenario.target_of("vllm", "a:1", &[]);
        let mut start = 1_000;
        let mut take = |scenario: &mut Scenario, count: usize, number: &str, restarts: bool| {
            start += i64::from(restarts) * 9_000;
            let page =
                format!("process_start_time_seconds {start}\nvllm:num_requests_waiting {number}\n");
            for _ in 0..count {
                scenario.take(target, &page);
            }
        };
        take(&mut scenario, 3, "30", false);
        take(&mut scenario, pages_of_nan, "NaN", false);
        unknown(&scenario.reported(signals[0]), &["NaN"]);
        take(&mut scenario, 1, "0", true);
        for signal in signals {
            match &after {
                Reported::Unknown(_) => unknown(&scenario.reported(signal), &["restarted"]),
                held => assert_eq!(scenario.reported(signal), *held),
            }
        }
        take(&mut scenario, 1, "4", false);
        let told = scenario.reported(signals[0]);
        assert!(matches!(told, Reported::Held(_)), "{told:?}");
    }
}

/// A query that others had displaced was registered again after a gateway had left, and 0 was told of 12 that waited.
#[test]
fn a_signal_that_is_registered_within_a_grace_tells_no_zero() {
    const QUEUE: &str = "llm_d_epp_flow_control_queue_size";
    const OTHER: &str = "vllm:num_requests_waiting{model_name=\"m\"} 0\n";
    let page = |start: f64, waits: u32| {
        format!("process_start_time_seconds {start}\n{QUEUE}{{inference_pool=\"p\"}} {waits}\n")
    };
    let query = format!("sum({QUEUE})");
    for (leaves, rest, told) in [
        (true, 0, None),
        (true, 3, Some(3.0)),
        (false, 0, None),
        (false, 3, Some(3.0)),
    ] {
        let mut scenario = Scenario::new();
        let [left, stays] = ["a:1", "b:1"].map(|instance| scenario.target(instance));
        let other = scenario.target_of("other", "c:1", &[]);
        let before = scenario.register(&query);
        for _ in 0..3 {
            scenario.take(other, OTHER);
            scenario.take(left, &page(1.0, 12));
            scenario.take(stays, &page(1.0, 0));
        }
        assert_eq!(scenario.reported(before), value(12.0));
        match leaves {
            true => scenario.remove(left),
            false => scenario.take(left, &page(2.0, 0)),
        }
        scenario.take(stays, &page(1.0, rest));
        assert_eq!(scenario.reported(before), held(12.0));
        let late = scenario.register(&format!("{query} + 0"));
        let of_other = scenario.register("sum(vllm:num_requests_waiting)");
        scenario.take(other, OTHER);
        scenario.take(stays, &page(1.0, rest));
        assert_eq!(scenario.reported(of_other), value(0.0));
        match told {
            Some(told) => assert_eq!(scenario.reported(late), held(told)),
            None => unknown(&scenario.reported(late), &["a:1", "only a number above 0"]),
        }
        scenario.now_ms += 61_000;
        scenario.take(stays, &page(1.0, 0));
        if leaves {
            assert_eq!(scenario.reported(late), value(0.0));
        }
    }
}
