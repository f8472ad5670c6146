//! Absence is proven, not assumed (S4): an empty answer is 0 only where the pages show that it could have been more.

use stillwell_engine::signal::{Absent, Names, Policy};

use crate::scenario::{Gateway, QUEUE, RUNNING, Reported, Scenario, unknown, value};

#[test]
fn idle_is_zero_where_the_page_proves_it() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let running = scenario.register(RUNNING);
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    (page.queue, page.running) = (None, None);
    scenario.rounds(3, &[(epp, Some(&page))]);
    assert_eq!(
        (scenario.reported(queue), scenario.reported(running)),
        (value(0.0), value(0.0)),
        "never any traffic"
    );
    page.queue = Some(3.0);
    scenario.rounds(3, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(queue), value(3.0));
    page.queue = None;
    scenario.rounds(900_000 / 100, &[(epp, Some(&page))]);
    assert_eq!(
        scenario.reported(queue),
        value(0.0),
        "flows deleted long ago"
    );
    page.queue = Some(1.0);
    scenario.scrape(&[(epp, Some(&page))]);
    assert_eq!(
        scenario.reported(queue),
        value(1.0),
        "the first request after a day"
    );
}

#[test]
fn a_gate_that_is_off_and_a_typo_are_not_idleness() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let typo = scenario.register(&QUEUE.replace("\"a\"", "\"aa\""));
    let wrong_name = scenario.register("sum(inference_extension_flow_control_queue_sise)");
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = None;
    scenario.rounds(3, &[(epp, Some(&page))]);
    unknown(&scenario.reported(typo), &["aa"]);
    unknown(
        &scenario.reported(wrong_name),
        &["queue_sise", "never seen"],
    );
    page.flow_control = false;
    scenario.rounds(3, &[(epp, Some(&page))]);
    unknown(
        &scenario.reported(queue),
        &["flow control seems to be off on a:1"],
    );
}

#[test]
fn absence_by_policy() {
    let mut scenario = Scenario::new();
    let policy = |absent| Policy {
        absent,
        ..Policy::default()
    };
    let zero = scenario.register_with("sum(something_else{x=\"never\"})", policy(Absent::Zero));
    let never = scenario.register_with(QUEUE, policy(Absent::Unknown));
    let auto_max = scenario.register(
        "max(inference_extension_flow_control_pool_saturation{inference_pool=\"a\",stage=\"x\"})",
    );
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = None;
    scenario.rounds(3, &[(epp, Some(&page))]);
    unknown(&scenario.reported(never), &["absent: unknown"]);
    unknown(&scenario.reported(auto_max), &["only of a sum"]);
    unknown(&scenario.reported(zero), &["something_else", "never seen"]);
}

#[test]
fn users_say_what_measures_demand_and_what_proves_it() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum(my_queue)");
    let target = scenario.target("a:1");
    let page = |queue: Option<u32>| {
        format!(
            "my_info 1\n{}",
            queue.map_or(String::new(), |queue| format!("my_queue {queue}\n"))
        )
    };
    scenario.take(target, &page(Some(3)));
    assert_eq!(scenario.reported(signal), value(3.0));
    scenario.take(target, &page(None));
    unknown(&scenario.reported(signal), &["neither my_queue"]);
    scenario.reader.set_names(Names {
        demand: vec!["my_queue".to_owned()],
        witnesses: vec![("my_queue".to_owned(), "my_info".to_owned())],
    });
    assert_eq!(scenario.reported(signal), value(0.0));
}

#[test]
fn one_empty_side_of_a_sum_is_zero_and_the_other_still_counts() {
    let mut scenario = Scenario::new();
    let demand = scenario
        .register("sum(llm_d_epp_flow_control_queue_size) + sum(llm_d_epp_request_running)");
    let clamped = scenario.register("clamp_min(sum(llm_d_epp_flow_control_queue_size), 3)");
    let unproven = scenario.register("sum(llm_d_epp_flow_control_queue_size) + sum(my_own)");
    let target = scenario.target("a:1");
    let mut page = Gateway::of("a");
    (page.prefix, page.queue, page.running) = ("llm_d_epp", Some(9.0), None);
    scenario.rounds(3, &[(target, Some(&page))]);
    assert_eq!(scenario.reported(demand), value(9.0));
    unknown(&scenario.reported(unproven), &["my_own"]);
    page.queue = None;
    scenario.rounds(3, &[(target, Some(&page))]);
    assert_eq!(
        (scenario.reported(demand), scenario.reported(clamped)),
        (value(0.0), value(3.0))
    );
    page.running = Some(2.0);
    scenario.rounds(3, &[(target, Some(&page))]);
    assert_eq!(scenario.reported(demand), value(2.0));
}

#[test]
fn values_of_a_label_that_is_pinned_late_are_those_of_the_pages_before() {
    let mut scenario = Scenario::new();
    let epp = scenario.target("a:1");
    let tenants: String = (0..5_000)
        .map(|tenant| format!("mine{{tenant=\"t{tenant}\"}} 1\n"))
        .collect();
    for _ in 0..3 {
        scenario.scrape_text(epp, &tenants);
    }
    let mut register =
        |tenant: &str| scenario.register(&format!("sum(mine{{tenant=\"{tenant}\"}})"));
    let [first, last, never] = ["t0", "t4999", "t5000"].map(&mut register);
    scenario.scrape_text(epp, "mine{tenant=\"t7\"} 1\n");
    assert_eq!(scenario.reported(first), value(0.0));
    assert_eq!(scenario.reported(last), value(0.0));
    unknown(&scenario.reported(never), &["tenant", "t5000"]);
}

/// Two gateways had 30 and 5 waiting; the page of the first was empty, and the sum of 35 became 5.
#[test]
fn a_family_that_its_process_has_lost_is_nobody_s_number() {
    const WAITING: &str = "sum(vllm:num_requests_waiting)";
    for (query, page, lost, is_told) in [
        (QUEUE, Gateway::of("a").page(), "", false),
        (
            QUEUE,
            Gateway::of("a").page(),
            "process_start_time_seconds 1000\n",
            false,
        ),
        // A witness of its absence: the queue is empty.
        (
            QUEUE,
            Gateway::of("a").page(),
            "process_start_time_seconds 1000\ninference_extension_flow_control_pool_saturation{inference_pool=\"a\"} 0\n",
            true,
        ),
        (
            WAITING,
            "vllm:num_requests_waiting 5\n".to_owned(),
            "",
            false,
        ),
        (
            WAITING,
            "vllm:num_requests_waiting 5\n".to_owned(),
            "x 1\n",
            false,
        ),
        // Older gateways delete the series of an idle queue, and have no witness.
        (
            QUEUE,
            Gateway {
                flow_control: false,
                ..Gateway::of("a")
            }
            .page(),
            "process_start_time_seconds 1000\ninference_extension_info 1\n",
            true,
        ),
        (
            QUEUE,
            Gateway::of("a").page(),
            "process_start_time_seconds 1000\ninference_extension_info 1\n",
            false,
        ),
        // Of what is in no table nothing says why it has gone, unless the query does.
        ("max(q)", "q 5\n".to_owned(), "x 1\n", false),
        ("max(q) or vector(0)", "q 5\n".to_owned(), "x 1\n", true),
        ("max(q)", "q 5\n".to_owned(), "", false),
        // Beside others that have it, what stands in for it is not read.
        ("sum(q) or sum(x)", "q 5\nx 1\n".to_owned(), "x 1\n", false),
        ("sum(q or x)", "q 5\nx 1\n".to_owned(), "x 1\n", true),
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register(query);
        let waived = scenario.register_with(
            &format!("{query} + 0"),
            Policy {
                absent: Absent::Zero,
                ..Policy::default()
            },
        );
        let (one, other) = (scenario.target("a:1"), scenario.target("b:1"));
        for _ in 0..3 {
            scenario.take(one, &page);
            scenario.take_now(other, &page);
        }
        let before = scenario.reported(signal);
        assert!(matches!(before, Reported::Value(_)), "{query}: {before:?}");
        scenario.take(one, &page);
        scenario.take_now(other, lost);
        match is_told {
            true => assert!(matches!(scenario.reported(signal), Reported::Value(_))),
            false if lost.is_empty() => {
                unknown(
                    &scenario.reported(signal),
                    &["b:1", "is empty: nothing is known"],
                );
                // Whoever asks only now is told no part either.
                let late = scenario.register(&format!("{query} + 1"));
                unknown(&scenario.reported(late), &["b:1"]);
            }
            false => unknown(&scenario.reported(signal), &["b:1", "no longer has"]),
        }
        let waived = scenario.reported(waived);
        // A gauge that has left is held for a while.
        let is_number = matches!(waived, Reported::Value(_) | Reported::Held(_));
        assert!(is_number, "{query}: {waived:?}");
        scenario.take(one, &page);
        scenario.take_now(other, &page);
        let (Reported::Value(again) | Reported::Held(again)) = scenario.reported(signal) else {
            panic!("{query}: {:?}", scenario.reported(signal));
        };
        assert_eq!(Reported::Value(again), before, "{query}");
    }
}

/// We had started while the page was empty, and so had not seen it with anything: 25 was told as 4.
#[test]
fn a_page_that_was_empty_from_the_first_says_nothing() {
    let mut scenario = Scenario::new();
    let signals = [
        scenario.register(QUEUE),
        scenario.register("ceil(sum(inference_extension_flow_control_queue_size) / 5)"),
    ];
    let (empty, other) = (scenario.target("a:1"), scenario.target("b:1"));
    for _ in 0..3 {
        scenario.take_now(empty, "");
        scenario.take(other, &Gateway::of("a").page());
    }
    for signal in signals {
        unknown(
            &scenario.reported(signal),
            &["the page of a:1 (job epp) is empty"],
        );
    }
    scenario.rounds(
        1,
        &[
            (empty, Some(&Gateway::of("a"))),
            (other, Some(&Gateway::of("a"))),
        ],
    );
    assert_eq!(scenario.reported(signals[0]), value(10.0));
}

/// What the advice says to write was refused for its labels, unless it was a sum.
#[test]
fn an_absence_or_a_constant_is_the_constant_while_the_series_are_there() {
    let mut scenario = Scenario::new();
    let signals = [
        "absent(vllm:num_requests_waiting) or vector(0)",
        "absent(sum(vllm:num_requests_waiting)) or vector(3)",
        "absent_over_time(vllm:num_requests_waiting[1s]) or vector(0)",
    ]
    .map(|query| scenario.register(query));
    let target = scenario.target_of("vllm", "a:1", &[]);
    for _ in 0..30 {
        scenario.take(target, "vllm:num_requests_waiting{model_name=\"m\"} 7\n");
    }
    for (signal, number) in signals.into_iter().zip([0.0, 3.0, 0.0]) {
        assert_eq!(scenario.reported(signal), value(number));
    }
    for _ in 0..100 {
        scenario.now_ms += 100;
        scenario.fail_now(target);
    }
    scenario.writer.maintain(scenario.at());
    for signal in signals {
        unknown(&scenario.reported(signal), &["a:1"]);
    }
}

/// Of two kinds of servers each was asked for the queue of the other: both idle was unknown for good, whatever the query said of each.
#[test]
fn a_part_that_may_be_absent_is_not_asked_of_another_kind_of_server() {
    const VLLM: &str = "vllm:num_requests_waiting";
    const SGLANG: &str = "sglang:num_queue_reqs";
    let or_zero = |parts: [&str; 2]| {
        let parts = parts.map(|part| format!("(sum({part}) or vector(0))"));
        parts.join(" + ")
    };
    let queue = "inference_extension_flow_control_queue_size";
    let gateway = |flow_control: bool| {
        let gateway = Gateway {
            queue: None,
            running: Some(0.0),
            flow_control,
            ..Gateway::of("a")
        };
        gateway.page()
    };
    let [vllm, sglang] = [VLLM, SGLANG].map(|name| format!("{name}{{model_name=\"m\"}} 0\n"));
    let running = format!(
        "(sum({queue}) or vector(0)) + (sum(inference_objective_running_requests) or vector(0))"
    );
    for (text, jobs, pages, is_zero) in [
        (or_zero([VLLM, SGLANG]), ["v", "s"], [&vllm, &sglang], true),
        // Static targets of one job are one group.
        (or_zero([VLLM, SGLANG]), ["v", "v"], [&vllm, &sglang], true),
        (
            or_zero([queue, VLLM]),
            ["g", "v"],
            [&gateway(true), &vllm],
            true,
        ),
        (
            or_zero([queue, VLLM]),
            ["v", "v"],
            [&gateway(true), &vllm],
            true,
        ),
        // Of the same kind, and without the feature.
        (
            running,
            ["g", "g"],
            [&gateway(true), &gateway(false)],
            false,
        ),
        (
            format!("ceil(sum({VLLM})) + ceil(sum({SGLANG}))"),
            ["v", "v"],
            [&vllm, &sglang],
            false,
        ),
        (
            format!("(ceil(sum({VLLM})) + ceil(sum({SGLANG}))) or vector(0)"),
            ["v", "v"],
            [&vllm, &sglang],
            true,
        ),
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register(&text);
        let targets = [
            scenario.target_of(jobs[0], "a:1", &[]),
            scenario.target_of(jobs[1], "b:1", &[]),
        ];
        for _ in 0..3 {
            scenario.now_ms += 100;
            scenario.take_now(targets[0], pages[0]);
            scenario.take_now(targets[1], pages[1]);
        }
        match is_zero {
            true => assert_eq!(scenario.reported(signal), value(0.0), "{text} {jobs:?}"),
            false => unknown(&scenario.reported(signal), &["b:1"]),
        }
    }
}
