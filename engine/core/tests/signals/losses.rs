//! What a number lacks (S4): what a page had before any signal asked, what whoever writes a page does not know, and targets
//! that cannot be told apart.

use stillwell_engine::labels::Labels;
use stillwell_engine::signal::{Absent, Nan, Partial, Policy, SignalId, Unlisted};
use stillwell_engine::{Engine, Format, Limits, NotKnown, Retain, TargetSpec, Timestamp};

use crate::commits;
use crate::scenario::{INTERVAL_MS, Reported, Scenario, held, unknown, value};

const WAITING: &str = "vllm:num_requests_waiting";

fn server(instance: &str, retain: Retain) -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs([("job", "v"), ("instance", instance)]),
        interval_ms: INTERVAL_MS as u64,
        retain,
        ..TargetSpec::default()
    }
}

fn page(start: i64, waiting: Option<i64>) -> String {
    let waiting = waiting.map(|waiting| format!("{WAITING}{{engine=\"0\"}} {waiting}\n"));
    let waiting = waiting.unwrap_or_default();
    format!(
        "process_start_time_seconds {start}\nvllm:num_requests_running{{engine=\"0\"}} 3\n{waiting}"
    )
}

/// The same after a restart of ours, 200 ms later.
fn restarted(scenario: Scenario) -> Scenario {
    let mut bytes = Vec::new();
    let mut snapshot = scenario.writer.snapshot(scenario.at(), &[]);
    while snapshot.next(&mut bytes) {}
    let mut rest = &bytes[..];
    let mut read = |buffer: &mut [u8]| match rest.split_at_checked(buffer.len()) {
        Some((next, after)) => {
            buffer.copy_from_slice(next);
            rest = after;
            true
        }
        None => false,
    };
    let now = Timestamp::from_ms(scenario.now_ms + 200);
    let restored = Engine::restore(Limits::default(), now, &mut read).expect("a snapshot");
    Scenario {
        writer: restored.writer,
        reader: restored.reader,
        now_ms: now.ms(),
        stages: Vec::new(),
    }
}

/// Of four servers one had lost its queue before anybody asked: who asked then was told 20 of 50.
#[test]
fn a_query_that_comes_after_a_loss_knows_of_it() {
    let texts = [
        format!("sum({WAITING})"),
        format!("sum({WAITING}) or vector(0)"),
        format!("sum({{__name__=~\"{WAITING}\"}})"),
        "sum({__name__=~\"vllm:num_requests_(waiting|running)\"})".to_owned(),
    ];
    for retain in [Retain::All, Retain::Signals] {
        for (was_read, text) in texts.iter().flat_map(|text| [(false, text), (true, text)]) {
            let mut scenario = Scenario::new();
            let before = was_read.then(|| scenario.register(&format!("max({WAITING})")));
            let names = ["a:1", "b:1", "c:1", "d:1"];
            let targets = names.map(|name| scenario.target_with(server(name, retain)));
            let round = |scenario: &mut Scenario, start: i64, first: Option<i64>| {
                scenario.now_ms += INTERVAL_MS;
                for (target, waiting) in targets.iter().zip([first, Some(5), Some(7), Some(8)]) {
                    let start = if waiting == first { start } else { 1 };
                    scenario.take_now(*target, &page(start, waiting));
                }
            };
            for _ in 0..3 {
                round(&mut scenario, 1, Some(30));
            }
            if let Some(before) = before {
                scenario.reader.remove(before);
            }
            for _ in 0..3 {
                round(&mut scenario, 1, None);
            }
            let signal = scenario.register(text);
            for _ in 0..2 {
                round(&mut scenario, 1, None);
            }
            let case = format!("{retain:?}, {text}, {was_read}");
            match scenario.reported(signal) {
                Reported::Unknown(why) => {
                    assert!(
                        why.contains("a:1") && why.contains("no longer has"),
                        "{case}: {why}"
                    );
                }
                told => panic!("{case}: {told:?}"),
            }
            // Another process has not lost it.
            for _ in 0..3 {
                round(&mut scenario, 2, None);
            }
            scenario.now_ms += 300_000;
            for _ in 0..3 {
                round(&mut scenario, 2, None);
            }
            let rest = if text.contains("running") { 32.0 } else { 20.0 };
            assert_eq!(scenario.reported(signal), value(rest), "{case}");
            for _ in 0..2 {
                round(&mut scenario, 2, Some(30));
            }
            assert_eq!(scenario.reported(signal), value(rest + 30.0), "{case}");
        }
    }
}

/// What a process had shown before a restart of ours was not known to who asked after it.
#[test]
fn a_loss_is_known_after_our_restart_to_whoever_asks_then() {
    for retain in [Retain::All, Retain::Signals] {
        for lost_before in [true, false] {
            let mut scenario = Scenario::new();
            let targets = ["a:1", "b:1"].map(|name| scenario.target_with(server(name, retain)));
            let round = |scenario: &mut Scenario, targets: [usize; 2], first: Option<i64>| {
                scenario.now_ms += INTERVAL_MS;
                scenario.take_now(targets[0], &page(1, first));
                scenario.take_now(targets[1], &page(1, Some(5)));
            };
            for at in 0..6 {
                let first = (!lost_before || at < 3).then_some(30);
                round(&mut scenario, targets, first);
            }
            let mut scenario = restarted(scenario);
            let targets = ["a:1", "b:1"].map(|name| scenario.target_with(server(name, retain)));
            for _ in 0..3 {
                round(&mut scenario, targets, None);
            }
            let signal = scenario.register(&format!("sum({WAITING})"));
            scenario.now_ms += 100_000;
            for _ in 0..3 {
                round(&mut scenario, targets, None);
            }
            let told = scenario.reported(signal);
            let says = matches!(&told, Reported::Unknown(why) if why.contains("no longer has"));
            assert!(says, "{retain:?} {lost_before}: {told:?}");
        }
    }
}

/// Who had left before a snapshot was written is not waited for after it is read.
#[test]
fn a_target_that_had_left_before_our_restart_is_not_waited_for() {
    let mut scenario = Scenario::new();
    let sum = format!("sum({WAITING})");
    scenario.register(&sum);
    let targets = ["a", "b"].map(|instance| scenario.target_with(server(instance, Retain::All)));
    for _ in 0..3 {
        scenario.take_now(targets[0], &page(1_000, Some(30)));
        scenario.take(targets[1], &page(1_000, Some(5)));
    }
    scenario.remove(targets[0]);
    scenario.now_ms += 61_000;
    scenario.take(targets[1], &page(1_000, Some(5)));
    let mut scenario = restarted(scenario);
    let signal = scenario.register(&sum);
    let target = scenario.target_with(server("b", Retain::All));
    scenario.take(target, &page(1_000, Some(5)));
    assert_eq!(scenario.reported(signal), value(5.0));
}

/// Of two servers with the same labels one was up for both, and a pattern of names was told the part that is stored.
#[test]
fn targets_that_cannot_be_told_apart_are_not_counted_nor_summed_by_a_pattern() {
    let mut scenario = Scenario::new();
    let texts = [
        "count(up == 1)",
        "sum(up)",
        "sum({__name__=~\"vllm:num_requests_waiting\"})",
        "sum({__name__=~\"vllm:num_requests_(waiting|running)\"})",
        "sum({job=\"v\",__name__=~\".*waiting\"})",
    ];
    let of_equal = texts.map(|text| scenario.register(text));
    let others = ["sum(up{job=\"w\"})", "sum({__name__=~\"other.*\"})"];
    let others = others.map(|text| scenario.register(text));
    let specs = [server("x", Retain::All), server("x", Retain::All)];
    let targets = specs.map(|spec| scenario.target_with(spec));
    let other = scenario.target_of("w", "w:1", &[]);
    for _ in 0..3 {
        scenario.take_now(targets[0], &page(1, Some(30)));
        scenario.take_now(targets[1], &page(1, Some(5)));
        scenario.take(other, "other 4\n");
    }
    for (signal, text) in of_equal.into_iter().zip(texts) {
        match scenario.reported(signal) {
            Reported::Unknown(why) => assert!(why.contains("another target"), "{text}: {why}"),
            told => panic!("{text}: {told:?}"),
        }
    }
    assert_eq!(scenario.reported(others[0]), value(1.0));
    assert_eq!(scenario.reported(others[1]), value(4.0));
    let [_, second] = targets;
    scenario.remove(second);
    scenario.now_ms += 61_000;
    for _ in 0..3 {
        scenario.take_now(targets[0], &page(1, Some(30)));
        scenario.take(other, "other 4\n");
    }
    assert_eq!(
        scenario.reported(of_equal[1]),
        value(2.0),
        "up of v and of w"
    );
}

/// Pods behind a sender: what it does not send any more is named by whoever writes its page.
struct Sent {
    scenario: Scenario,
    target: usize,
}

impl Sent {
    fn new() -> Sent {
        let mut scenario = Scenario::new();
        let target = scenario.target_with(TargetSpec {
            labels: Labels::from_pairs([("job", "senders"), ("instance", "0")]),
            honor_labels: true,
            interval_ms: INTERVAL_MS as u64,
            ..TargetSpec::default()
        });
        Sent { scenario, target }
    }

    fn page(&mut self, lines: &[(&str, f64)], silent: &[&str]) {
        self.scenario.now_ms += INTERVAL_MS;
        let labels = |pod: &str| Labels::from_pairs([("__name__", WAITING), ("pod", pod)]);
        let lines = lines
            .iter()
            .map(|(pod, waiting)| format!("{WAITING}{{pod=\"{pod}\"}} {waiting}\n"));
        let text: String = lines.collect();
        let mut not_known = NotKnown::default();
        for pod in silent {
            not_known.add(&labels(pod), || format!("{pod} was not sent since noon"));
        }
        let at = self.scenario.at();
        let stage = self.scenario.stages[self.target].as_mut().expect("listed");
        let mut staged = stage.parse(text.as_bytes(), Format::Text).expect("valid");
        staged.set_not_known(not_known);
        let how = self.scenario.now_ms.count_ones();
        commits::commit(&mut self.scenario.writer, staged, at, how).expect("taken");
    }

    fn pages(&mut self, count: usize, lines: &[(&str, f64)], silent: &[&str]) {
        (0..count).for_each(|_| self.page(lines, silent));
    }

    fn told(&self, signal: SignalId) -> Reported {
        self.scenario.reported(signal)
    }
}

/// A pod that a collector no longer sends was no number for five minutes, or 0 where NaN means 0, and then the rest was told.
#[test]
fn what_a_sender_no_longer_sends_is_held_and_then_unknown() {
    let mut sent = Sent::new();
    let policies = [
        (Nan::Unknown, Absent::Auto),
        (Nan::Zero, Absent::Zero),
        (Nan::Last, Absent::Auto),
    ];
    let policies = policies.map(|(nan, absent)| Policy {
        nan,
        absent,
        ..Policy::default()
    });
    let sum = format!("sum({WAITING})");
    let all = policies.map(|policy| {
        let texts = [
            sum.clone(),
            format!("{sum} or vector(0)"),
            format!("max({WAITING})"),
        ];
        texts.map(|text| sent.scenario.register_with(&text, policy.clone()))
    });
    let register = |sent: &mut Sent, text: &str| sent.scenario.register(text);
    let of_a = register(&mut sent, &format!("sum({WAITING}{{pod=\"a\"}})"));
    let of_b = register(
        &mut sent,
        &format!("sum({WAITING}{{pod=\"b\"}}) or vector(0)"),
    );
    let by_pod = register(&mut sent, &format!("sum by (pod) ({WAITING})"));
    let falls = register(&mut sent, &format!("40 - sum({WAITING})"));
    sent.pages(3, &[("a", 5.0), ("b", 30.0)], &[]);
    assert_eq!(sent.told(all[0][0]), value(35.0));
    for _ in 0..3 {
        sent.page(&[("a", 5.0)], &["b"]);
        for of_policy in all {
            assert_eq!(
                of_policy.map(|one| sent.told(one)),
                [held(35.0), held(35.0), held(30.0)]
            );
        }
        assert_eq!(sent.told(of_a), held(5.0));
        assert_eq!(sent.told(of_b), held(30.0));
        assert_eq!(sent.told(by_pod), Reported::Held(vec![5.0, 30.0]));
        unknown(&sent.told(falls), &["b was not sent"]);
    }
    sent.pages(1, &[("a", 50.0)], &["b"]);
    assert_eq!(sent.told(all[0][0]), held(50.0), "more is told");
    sent.scenario.now_ms += 61_000;
    sent.pages(3, &[("a", 5.0)], &["b"]);
    for signal in all.as_flattened().iter().chain([&of_b, &by_pod, &falls]) {
        unknown(&sent.told(*signal), &["b was not sent since noon"]);
    }
    assert_eq!(sent.told(of_a), value(5.0));
    assert_eq!(
        sent.scenario.reported_pinned(by_pod, &[("pod", "a")]),
        value(5.0)
    );
    // Another change does not bring back what was measured so long ago, nor make the rest of it the whole.
    sent.pages(3, &[("a", 5.0), ("c", 1.0)], &["b"]);
    sent.pages(3, &[("a", 5.0)], &["b"]);
    unknown(&sent.told(all[0][0]), &["b was not sent since noon"]);
    // It is sent again, or is forgotten.
    sent.scenario.now_ms += 61_000;
    sent.pages(3, &[("a", 5.0), ("b", 8.0)], &[]);
    assert_eq!(sent.told(all[1][0]), value(13.0));
    sent.pages(3, &[("a", 5.0)], &["b"]);
    assert_eq!(sent.told(all[1][0]), held(13.0));
    sent.scenario.now_ms += 61_000;
    sent.pages(3, &[("a", 5.0)], &[]);
    assert_eq!(sent.told(all[1][0]), value(5.0));
}

/// A number that is NaN because whoever sends it does not know it was 0 where NaN means 0.
#[test]
fn a_number_that_is_said_not_to_be_known_is_none_whatever_nan_means() {
    let mut sent = Sent::new();
    let zero = Policy {
        nan: Nan::Zero,
        ..Policy::default()
    };
    let texts = [
        "sum(Q)",
        "max(Q)",
        "count(Q > 3)",
        "sum(Q) or vector(0)",
        "sum(Q{job=\"senders\"})",
    ];
    let signals = texts.map(|text| {
        sent.scenario
            .register_with(&text.replace('Q', WAITING), zero.clone())
    });
    sent.pages(3, &[("a", 5.0), ("b", f64::NAN)], &[]);
    assert_eq!(
        sent.told(signals[0]),
        value(5.0),
        "NaN that the page states counts as 0"
    );
    sent.pages(3, &[("a", 5.0), ("b", f64::NAN)], &["b"]);
    for signal in signals {
        unknown(&sent.told(signal), &["b was not sent since noon"]);
    }
    sent.pages(3, &[("a", 5.0), ("b", 2.0)], &[]);
    assert_eq!(sent.told(signals[0]), value(7.0));
}

/// A server's page had lost its queue for a minute; it restarted with 0, and the rest that the page had shown was held as the whole.
#[test]
fn what_was_measured_in_part_before_a_restart_is_no_zero_after_it() {
    for (is_empty, pages, after) in [
        (true, 700, None),
        (false, 700, None),
        (true, 5, Some(held(30.0))),
        (false, 5, Some(held(30.0))),
    ] {
        let mut scenario = Scenario::new();
        let texts = [format!("sum({WAITING})"), format!("ceil(sum({WAITING}))")];
        let signals = texts.map(|text| scenario.register(&text));
        let targets = ["a:1", "b:1"].map(|name| scenario.target_with(server(name, Retain::All)));
        let round = |scenario: &mut Scenario, first: &str| {
            scenario.now_ms += INTERVAL_MS;
            scenario.take_now(targets[0], first);
            scenario.take_now(targets[1], &page(1, Some(0)));
        };
        for _ in 0..3 {
            round(&mut scenario, &page(1, Some(30)));
        }
        let lossy = if is_empty {
            String::new()
        } else {
            page(1, None)
        };
        for _ in 0..pages {
            round(&mut scenario, &lossy);
        }
        let case = format!("{is_empty} {pages}");
        for signal in signals {
            unknown(&scenario.reported(signal), &["a:1"]);
        }
        let start = scenario.now_ms / 1_000;
        for _ in 0..2 {
            round(&mut scenario, &page(start, Some(0)));
            for signal in signals {
                match &after {
                    Some(held) => assert_eq!(&scenario.reported(signal), held, "{case}"),
                    None => unknown(&scenario.reported(signal), &["a:1", "restarted"]),
                }
            }
        }
        round(&mut scenario, &page(start, Some(40)));
        assert_eq!(scenario.reported(signals[0]), held(40.0), "{case}");
        scenario.now_ms += 61_000;
        for _ in 0..2 {
            round(&mut scenario, &page(start, Some(0)));
        }
        for signal in signals {
            assert_eq!(scenario.reported(signal), value(0.0), "{case}");
        }
    }
}

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

/// Of three pods one lost a metric of the user's own, which is in no table, and 22 of 33 were told as all.
#[test]
fn a_metric_of_ones_own_that_leaves_a_page_is_missing_from_its_sum() {
    const OWN: &str = "orders_waiting";
    let page = |start: i64, own: Option<i64>, label: &str| {
        let own = own.map(|own| format!("{OWN}{label} {own}\n"));
        let own = own.unwrap_or_default();
        format!("process_start_time_seconds {start}\norders_done_total 3\n{own}")
    };
    let names = ["a:1", "b:1", "c:1"];
    let told_anyway = |label: &str| {
        // Series with other labels than their counter's stand beside it.
        let done = if label.is_empty() { 3.0 } else { 9.0 };
        [
            (format!("sum({OWN}) or vector(0)"), value(22.0)),
            (
                format!("sum({OWN} or orders_done_total)"),
                value(22.0 + done),
            ),
        ]
    };
    for (label, restarts) in ["", "{shard=\"x\"}"]
        .map(|label| [(label, false), (label, true)])
        .concat()
    {
        let mut scenario = Scenario::new();
        let mut targets = names.map(|name| scenario.target_with(server(name, Retain::All)));
        let round =
            |scenario: &mut Scenario, targets: [usize; 3], start: i64, first: Option<i64>| {
                scenario.now_ms += INTERVAL_MS;
                for (target, own) in targets.into_iter().zip([first, Some(11), Some(11)]) {
                    let start = if own == first { start } else { 1 };
                    scenario.take_now(target, &page(start, own, label));
                }
            };
        let sum = scenario.register(&format!("sum({OWN})"));
        for _ in 0..3 {
            round(&mut scenario, targets, 1, Some(12));
        }
        assert_eq!(scenario.reported(sum), value(34.0));
        for _ in 0..3 {
            round(&mut scenario, targets, 1, None);
        }
        if restarts {
            scenario = restarted(scenario);
            targets = names.map(|name| scenario.target_with(server(name, Retain::All)));
            for _ in 0..3 {
                round(&mut scenario, targets, 1, None);
            }
        }
        scenario.now_ms += 300_000;
        let texts = [
            format!("sum({OWN})"),
            format!("avg({OWN})"),
            format!("sum({OWN}) or sum(orders_done_total)"),
        ];
        let signals = texts.map(|text| scenario.register(&text));
        let others = told_anyway(label).map(|(text, told)| (scenario.register(&text), told));
        for _ in 0..3 {
            round(&mut scenario, targets, 1, None);
        }
        for signal in signals {
            unknown(
                &scenario.reported(signal),
                &["a:1", "no longer has orders_waiting"],
            );
        }
        for (signal, told) in others {
            assert_eq!(scenario.reported(signal), told, "{label}");
        }
        // It comes back, and goes with its process.
        for _ in 0..3 {
            round(&mut scenario, targets, 1, Some(0));
        }
        assert_eq!(
            scenario.reported(signals[0]),
            value(22.0),
            "{label} {restarts}"
        );
        for _ in 0..3 {
            round(&mut scenario, targets, 2, None);
        }
        scenario.now_ms += 300_000;
        for _ in 0..3 {
            round(&mut scenario, targets, 2, None);
        }
        assert_eq!(
            scenario.reported(signals[0]),
            value(22.0),
            "{label} {restarts}"
        );
    }
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

/// We started while the discovery of one job answered 500, and what the other job showed was told for both: 5 of 35.
#[test]
fn no_sum_is_told_before_each_job_that_may_add_to_it_has_given_a_list() {
    let mut scenario = Scenario::new();
    let mut unlisted = Unlisted {
        jobs: ["w".to_owned()].into(),
        are_awaited: true,
        ..Unlisted::default()
    };
    scenario.reader.set_unlisted(unlisted.clone());
    let targets = [scenario.target_with(server("a:1", Retain::All))];
    let [any, of_v, of_w, of_any_job, listed] = [
        (format!("sum({WAITING})"), vec![]),
        (format!("sum({WAITING}{{job=\"v\"}})"), vec![]),
        (
            format!("sum({WAITING}{{job=\"w\"}}) + sum({WAITING})"),
            vec![],
        ),
        (format!("sum({WAITING}{{job=~\"v|w\"}})"), vec![]),
        (
            format!("sum({WAITING}) or sum({WAITING}{{job=\"v\"}})"),
            vec!["v".to_owned()],
        ),
    ]
    .map(|(text, jobs)| {
        let policy = Policy {
            jobs,
            ..Policy::default()
        };
        scenario.register_with(&text, policy)
    });
    for _ in 0..3 {
        scenario.take(targets[0], &page(1, Some(5)));
    }
    for signal in [any, of_w, of_any_job] {
        unknown(&scenario.reported(signal), &["targets w has", "no list"]);
    }
    assert_eq!(
        [of_v, listed].map(|one| scenario.reported(one)),
        [value(5.0), value(5.0)]
    );
    scenario.reader.set_unlisted(Unlisted::default());
    assert_eq!(scenario.reported(any), value(5.0));
    // One whose targets may have any label `job` may add to whatever is not another's.
    unlisted.are_of_any_name = true;
    scenario.reader.set_unlisted(unlisted.clone());
    unknown(&scenario.reported(of_v), &["targets w has"]);
    unlisted.listed = ["v".to_owned()].into();
    scenario.reader.set_unlisted(unlisted);
    unknown(&scenario.reported(any), &["targets w has"]);
    assert_eq!(
        [of_v, listed].map(|one| scenario.reported(one)),
        [value(5.0), value(5.0)]
    );
}

/// Of a namespace of which there was more than is kept the new pods were not seen, and what the others showed was told for all.
#[test]
fn no_sum_is_told_where_some_targets_of_a_job_cannot_be_seen() {
    let mut scenario = Scenario::new();
    let target = scenario.target_with(server("a:1", Retain::All));
    let any = scenario.register(&format!("sum({WAITING})"));
    let of_v = scenario.register(&format!("sum({WAITING}{{job=\"v\"}})"));
    for _ in 0..3 {
        scenario.take(target, &page(1, Some(5)));
    }
    let mut unlisted = Unlisted {
        listed: ["v".to_owned()].into(),
        partial: vec![Partial {
            job: "w".to_owned(),
            is_of_any_name: true,
            why: "there is too much".to_owned(),
        }],
        ..Unlisted::default()
    };
    scenario.reader.set_unlisted(unlisted.clone());
    unknown(&scenario.reported(any), &["targets w has", "too much"]);
    assert_eq!(scenario.reported(of_v), value(5.0));
    unlisted.listed.clear();
    scenario.reader.set_unlisted(unlisted.clone());
    unknown(&scenario.reported(of_v), &["targets w has"]);
    unlisted.partial[0].is_of_any_name = false;
    scenario.reader.set_unlisted(unlisted);
    unknown(&scenario.reported(any), &["targets w has"]);
    assert_eq!(scenario.reported(of_v), value(5.0));
    scenario.reader.set_unlisted(Unlisted::default());
    assert_eq!(scenario.reported(any), value(5.0));
}

/// A snapshot knew that the other job had 30; its discovery failed from our start on, and after 10 s the 5 of the first were told for
/// both.
#[test]
fn what_a_snapshot_knows_of_a_job_is_not_gone_before_its_discovery_says_so() {
    let of_job = |instance: &str, job: &str| TargetSpec {
        labels: Labels::from_pairs([("job", job), ("instance", instance)]),
        ..server(instance, Retain::All)
    };
    let of = |jobs: &[&str], listed: &[&str], are_of_any_name: bool| Unlisted {
        jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
        listed: listed.iter().map(|job| (*job).to_owned()).collect(),
        are_of_any_name,
        are_awaited: false,
        ..Unlisted::default()
    };
    for (case, label, unlisted, stays) in [
        ("its job", "w", of(&["w"], &["v"], false), true),
        (
            "objects",
            "service",
            of(&["ServiceMonitor"], &["v"], true),
            true,
        ),
        ("no job of ours", "old", of(&["w"], &["v"], false), false),
        ("a list that lacks it", "v", of(&["w"], &["v"], true), false),
        ("all have lists", "w", of(&[], &["v", "w"], false), false),
    ] {
        let mut scenario = Scenario::new();
        let (a, b) = (of_job("a:1", "v"), of_job("b:1", label));
        let targets = [a.clone(), b.clone()].map(|one| scenario.target_with(one));
        for _ in 0..3 {
            scenario.now_ms += INTERVAL_MS;
            scenario.take_now(targets[0], &page(1, Some(5)));
            scenario.take_now(targets[1], &page(1, Some(30)));
        }
        let mut scenario = restarted(scenario);
        let text = format!("sum({WAITING})");
        let signal = scenario.register(&text);
        let of_a = scenario.register(&format!("sum({WAITING}{{instance=\"a:1\"}})"));
        scenario.reader.set_unlisted(unlisted.clone());
        let a = scenario.target_with(a);
        // Longer than the grace of a target that has left.
        for _ in 0..200 {
            scenario.take(a, &page(1, Some(5)));
            scenario.now_ms += 900;
            scenario.writer.maintain(scenario.at());
        }
        scenario.take(a, &page(1, Some(5)));
        assert_eq!(scenario.reported(of_a), value(5.0), "{case}");
        if !stays {
            assert_eq!(scenario.reported(signal), value(5.0), "{case}");
            continue;
        }
        let first = unlisted.jobs.first().expect("one");
        unknown(
            &scenario.reported(signal),
            &["b:1", first, "has given no list"],
        );
        // It does not stay for good.
        let waits_for_ever = case == "objects";
        if waits_for_ever {
            scenario.now_ms += 3_600_000;
            for _ in 0..3 {
                scenario.writer.maintain(scenario.at());
                scenario.take(a, &page(1, Some(5)));
            }
            assert_eq!(scenario.reported(signal), value(5.0), "{case}");
            continue;
        }
        // The list names it, or does not.
        let b = (case == "its job").then(|| scenario.target_with(b));
        scenario.reader.set_unlisted(Unlisted::default());
        scenario.writer.maintain(scenario.at());
        scenario.take(a, &page(1, Some(5)));
        if let Some(b) = b {
            scenario.take_now(b, &page(1, Some(30)));
        }
        let told = if b.is_some() { 35.0 } else { 5.0 };
        assert_eq!(scenario.reported(signal), value(told), "{case}");
    }
}

/// With `retain: signals` a page of comments alone counted as one of samples that nobody needs, and 5 of 35 was told.
#[test]
fn a_page_of_comments_alone_is_empty_whatever_is_kept() {
    for (retain, empty) in [Retain::All, Retain::Signals]
        .into_iter()
        .flat_map(|retain| {
            ["# nothing here\n", "", "# HELP a b\n# TYPE a gauge\n"].map(|page| (retain, page))
        })
    {
        let mut scenario = Scenario::new();
        let texts = ["sum(my_queue)", "sum(my_queue) or vector(0)"];
        let signals = texts.map(|text| scenario.register(text));
        let targets = ["a:1", "b:1"].map(|name| scenario.target_with(server(name, retain)));
        for pages in [["my_queue 30\n", "my_queue 5\n"], [empty, "my_queue 5\n"]] {
            for _ in 0..3 {
                scenario.now_ms += INTERVAL_MS;
                scenario.take_now(targets[0], pages[0]);
                scenario.take_now(targets[1], pages[1]);
            }
        }
        for signal in signals {
            unknown(&scenario.reported(signal), &["a:1", "is empty"]);
        }
    }
}

/// A gateway's page lost its queue and the witness of its absence, both of which its process had shown, and its 7 were left out.
#[test]
fn a_gateway_that_has_shown_the_witness_has_lost_what_leaves_with_it() {
    let mut scenario = Scenario::new();
    let queue = scenario.register("sum(llm_d_epp_flow_control_queue_size)");
    let gateways = ["a:1", "b:1"].map(|instance| scenario.target(instance));
    let page = |waiting: Option<u32>, has_witness: bool| {
        let mut page = "process_start_time_seconds 1000\nllm_d_epp_info{commit=\"x\"} 1\nllm_d_epp_ready_endpoints{name=\"p\"} 1\n".to_owned();
        if let Some(waiting) = waiting {
            page +=
                &format!("llm_d_epp_flow_control_queue_size{{inference_pool=\"p\"}} {waiting}\n");
        }
        if has_witness {
            page += "llm_d_epp_flow_control_pool_saturation{inference_pool=\"p\"} 0.5\n";
        }
        page
    };
    for (of_first, told) in [
        (page(Some(7), true), true),
        (page(None, true), true),
        (page(Some(7), true), true),
        (page(None, false), false),
        (page(Some(7), true), true),
    ] {
        for _ in 0..3 {
            scenario.take_now(gateways[0], &of_first);
            scenario.take(gateways[1], &page(Some(5), true));
        }
        // What leaves a page that goes on is held.
        scenario.now_ms += 61_000;
        scenario.take_now(gateways[0], &of_first);
        scenario.take(gateways[1], &page(Some(5), true));
        match told {
            true => assert!(matches!(scenario.reported(queue), Reported::Value(_))),
            false => unknown(&scenario.reported(queue), &["a:1", "no longer has"]),
        }
    }
}
