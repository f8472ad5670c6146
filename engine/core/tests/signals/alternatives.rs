//! What an `or` excuses of what a page has lost (S4): what stands beside it, and only where that is read.

use stillwell_engine::Retain;
use stillwell_engine::signal::{Absent, Policy};

use crate::scenario::{INTERVAL_MS, Reported, Scenario, unknown, value};
use crate::servers::{WAITING, page, server};

/// In an `or` what a pattern of names had left of the page was told for all of it: 3 for 33.
#[test]
fn what_is_left_of_a_pattern_does_not_stand_for_the_rest_in_an_or() {
    const PATTERN: &str = "sum({__name__=~\"vllm:num_requests_(waiting|running)\"})";
    let mut scenario = Scenario::new();
    let texts = [
        PATTERN.to_owned(),
        format!("{PATTERN} or sum(sglang:num_queue_reqs)"),
        format!("sum(sglang:num_queue_reqs) or {PATTERN}"),
        format!("{PATTERN} or {PATTERN}"),
    ];
    let signals = texts.map(|text| scenario.register(&text));
    // Another name of the `or` is on the page all the while.
    let other = scenario.register(&format!("sum({WAITING}) or sum(vllm:num_requests_running)"));
    let target = scenario.target_with(server("a:1", Retain::All));
    for _ in 0..3 {
        scenario.take(target, &page(1, Some(30)));
    }
    for signal in signals {
        assert_eq!(scenario.reported(signal), value(33.0));
    }
    for _ in 0..700 {
        scenario.take(target, &page(1, None));
    }
    for signal in signals {
        unknown(
            &scenario.reported(signal),
            &["a:1", "no longer has vllm:num_requests_waiting"],
        );
    }
    assert_eq!(scenario.reported(other), value(3.0));
}

/// Of `(sum(a) or vector(0)) + sum(b)` one page showed `a` and had lost `b`: any `or` of the query excused that, and 3 of 33 were told.
#[test]
fn an_or_excuses_what_is_lost_within_it_and_nothing_else() {
    // Each with what is told where one of the pages has lost `b`, which it showed as 30.
    let cases = [
        ("sum(a) + sum(b)", None),
        ("(sum(a) or vector(0)) + sum(b)", None),
        ("sum(b) + (sum(a) or vector(0))", None),
        ("(sum(a) or sum(c)) + sum(b)", None),
        ("(sum(a) or sum(c) or vector(0)) + sum(b)", None),
        ("(sum(a) + sum(b)) or sum(d)", None),
        ("(sum(b) + sum(c)) or (sum(d) + sum(a))", None),
        ("(sum(a) or vector(0)) + (sum(b) or vector(0))", Some(5.0)),
        (
            "sum(a) + (sum(b) or vector(0)) + (sum(d) or vector(0))",
            Some(5.0),
        ),
        ("(sum(b) or vector(0)) * 2 + sum(a)", Some(8.0)),
        ("sum(a) + (sum(b) or sum(c))", None),
        ("(sum(b) or sum(d) or sum(c)) + sum(a)", None),
        ("sum(d) or (sum(b) or sum(a)) + sum(c)", None),
        ("(sum(b) + sum(a)) or sum(c)", None),
        ("sum(a unless on (instance) b) or sum(c)", None),
        // Series by series the first's `c` is read.
        ("sum(a) + sum(b or c)", Some(6.0)),
        // What a comparison or a match leaves of it may be nothing.
        ("sum(a) + sum(b or c > 0)", None),
        ("sum(a) + sum(b or (c and on (instance) a))", None),
        ("sum(a) + sum(c * 0 or (a unless b))", None),
        // What is lost is read for the length of its window.
        ("sum(a) + sum(rate(b[200ms]) or rate(c[200ms]))", None),
        (
            "sum(max_over_time(b[200ms])) or sum(max_over_time(c[200ms]))",
            None,
        ),
        ("sum(c) or (sum(b) or vector(0))", Some(2.0)),
    ];
    let page = |b: Option<i64>| {
        let b = b.map(|b| format!("b {b}\n")).unwrap_or_default();
        format!("process_start_time_seconds 1\na 1\n{b}c 1\n")
    };
    for (text, told) in cases {
        let mut scenario = Scenario::new();
        let targets = ["x:1", "y:1"].map(|name| scenario.target_with(server(name, Retain::All)));
        let round = |scenario: &mut Scenario, first: Option<i64>| {
            scenario.now_ms += INTERVAL_MS;
            scenario.take_now(targets[0], &page(first));
            scenario.take_now(targets[1], &page(Some(3)));
        };
        let signal = scenario.register(text);
        let waived = scenario.register_with(
            text,
            Policy {
                absent: Absent::Zero,
                ..Policy::default()
            },
        );
        for _ in 0..3 {
            round(&mut scenario, Some(30));
        }
        for _ in 0..3 {
            round(&mut scenario, None);
        }
        let reported = scenario.reported(signal);
        match told {
            Some(told) => assert_eq!(reported, value(told), "{text}"),
            None => {
                unknown(
                    &reported,
                    &["x:1", "no longer has b", "after its part of the query"],
                );
                let waived = scenario.reported(waived);
                assert!(matches!(waived, Reported::Value(_)), "{text}: {waived:?}");
            }
        }
    }
}

/// Of two collectors' pages one lost its vLLM servers, and showed an SGLang server that nobody read beside the other's: 5 of 105.
#[test]
fn what_stands_beside_a_loss_is_not_read_while_others_have_it() {
    let mut scenario = Scenario::new();
    let sglang = "sglang:num_queue_reqs";
    let text = format!("sum({WAITING}) or sum({sglang})");
    let signal = scenario.register(&text);
    let targets = ["x:1", "y:1"].map(|name| scenario.target_with(server(name, Retain::All)));
    let rounds = |scenario: &mut Scenario, first: Option<i64>, second: Option<i64>| {
        for _ in 0..3 {
            scenario.now_ms += INTERVAL_MS;
            for (target, waiting) in targets.into_iter().zip([first, second]) {
                let page = format!("{}{sglang} 1\n", page(1, waiting));
                scenario.take_now(target, &page);
            }
        }
        scenario.now_ms += 61_000;
        for (target, waiting) in targets.into_iter().zip([first, second]) {
            scenario.take_now(target, &format!("{}{sglang} 1\n", page(1, waiting)));
        }
    };
    rounds(&mut scenario, Some(100), Some(5));
    assert_eq!(scenario.reported(signal), value(105.0));
    rounds(&mut scenario, None, Some(5));
    unknown(&scenario.reported(signal), &["x:1", "no longer has"]);
    // Nobody has any: the other side is read for all.
    rounds(&mut scenario, None, None);
    assert_eq!(scenario.reported(signal), value(2.0));
}

/// A name that nobody has shown, beside a part of the query that may be absent.
#[test]
fn an_or_excuses_a_name_that_was_never_seen_within_it_and_nothing_else() {
    let cases = [
        ("(sum(a) or vector(0)) + (sum(d) or vector(0))", Some(1.0)),
        ("(sum(a) or vector(0)) * (sum(d) or sum(c))", Some(1.0)),
        ("(sum(d) or vector(0)) + (sum(e) or vector(0))", None),
        ("(sum(a) or vector(0)) + (sum(d) or sum(e))", None),
    ];
    for (text, told) in cases {
        let mut scenario = Scenario::new();
        let target = scenario.target_with(server("x:1", Retain::All));
        let signal = scenario.register(text);
        for _ in 0..3 {
            scenario.take(target, "process_start_time_seconds 1\na 1\nc 1\n");
        }
        match told {
            Some(told) => assert_eq!(scenario.reported(signal), value(told), "{text}"),
            None => unknown(&scenario.reported(signal), &["d"]),
        }
    }
}

/// A queue was lost, and a constant within the `or` hid what stood beside it: 0 was told of 30.
#[test]
fn what_a_constant_hides_is_not_told_for_what_is_lost() {
    const RUNNING: &str = "vllm:num_requests_running";
    for (text, told) in [
        (
            format!("(sum({WAITING}) or vector(0)) or sum({RUNNING})"),
            None,
        ),
        (
            format!("sum({WAITING}) or vector(0) or sum({RUNNING})"),
            None,
        ),
        (
            format!("sum({RUNNING}) or (sum({WAITING}) or vector(0))"),
            Some(3.0),
        ),
        (
            format!("sum({WAITING}) or (sum({RUNNING}) or vector(0))"),
            Some(3.0),
        ),
        (
            format!("sum({WAITING}) or sum({RUNNING}) or vector(0)"),
            Some(3.0),
        ),
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register(&text);
        let target = scenario.target_with(server("a:1", Retain::All));
        for _ in 0..3 {
            scenario.take(target, &page(1, Some(30)));
        }
        for _ in 0..700 {
            scenario.take(target, &page(1, None));
        }
        match told {
            Some(told) => assert_eq!(scenario.reported(signal), value(told), "{text}"),
            None => unknown(&scenario.reported(signal), &["a:1", "no longer has"]),
        }
    }
}
