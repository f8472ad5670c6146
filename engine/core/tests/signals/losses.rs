//! What a number lacks (S4): what a page had before any signal asked, and targets that cannot be told apart.

use stillwell_engine::Retain;

use crate::recorded::rules;
use crate::scenario::{Gateway, INTERVAL_MS, Reported, Scenario, held, unknown, value};
use crate::servers::{WAITING, page, restarted, server};

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

/// Of two pods one was down when a signal came that groups by pod, so that nothing of it was stored: the other's group was told alone.
#[test]
fn groups_of_a_target_of_which_nothing_is_stored_yet_are_not_left_out() {
    for retain in [Retain::All, Retain::Signals] {
        let mut scenario = Scenario::new();
        let targets = ["a:1", "b:1"].map(|name| scenario.target_with(server(name, retain)));
        let own = |value: i64| format!("process_start_time_seconds 1\nmy_queue {value}\n");
        for _ in 0..3 {
            scenario.take(targets[0], &own(5));
            scenario.take_now(targets[1], &own(7));
        }
        let by_pod = scenario.register("sum by (instance) (my_queue) or vector(0)");
        let of_b = [("instance", "b:1")];
        for _ in 0..50 {
            scenario.now_ms += INTERVAL_MS;
            scenario.fail_now(targets[0]);
            scenario.take_now(targets[1], &own(7));
        }
        unknown(&scenario.reported(by_pod), &["a:1"]);
        assert_eq!(scenario.reported_pinned(by_pod, &of_b), value(7.0));
        for _ in 0..3 {
            scenario.take(targets[0], &own(5));
            scenario.take_now(targets[1], &own(7));
        }
        let Reported::Value(mut told) = scenario.reported(by_pod) else {
            panic!("{retain:?}: both are stored");
        };
        told.sort_by(f64::total_cmp);
        assert_eq!(told, [5.0, 7.0], "in the order in which they came");
    }
}

/// A caller that pinned one pool of a sum over two was told it as fresh while the gateway of the other did not answer.
#[test]
fn a_number_without_the_label_that_is_pinned_is_as_fresh_as_all_that_it_is_of() {
    const QUEUE: &str = "inference_extension_flow_control_queue_size";
    let texts = [
        format!("sum({QUEUE})"),
        format!("sum by (model_name) ({QUEUE})"),
        format!("max({QUEUE}) * 2"),
        "sum(inference_objective_running_requests >= 3) or vector(0)".to_owned(),
    ];
    let mut scenario = Scenario::new();
    let signals = texts.map(|text| scenario.register(&text));
    let by_pool = scenario.register(&format!("sum by (inference_pool) ({QUEUE})"));
    let of_b = [("inference_pool", "b")];
    let gateways = ["a:1", "b:1"].map(|instance| scenario.target(instance));
    let pages = ["a", "b"].map(|pool| Gateway::of(pool).page());
    for _ in 0..3 {
        scenario.take(gateways[0], &pages[0]);
        scenario.take_now(gateways[1], &pages[1]);
    }
    for signal in signals {
        let told = scenario.reported_pinned(signal, &of_b);
        assert!(matches!(told, Reported::Value(_)), "{told:?}");
    }
    for (rounds, is_held) in [(5, true), (40, false)] {
        for _ in 0..rounds {
            scenario.now_ms += INTERVAL_MS;
            scenario.fail_now(gateways[0]);
            scenario.take_now(gateways[1], &pages[1]);
        }
        for signal in signals {
            match scenario.reported_pinned(signal, &of_b) {
                Reported::Held(_) => assert!(is_held),
                told => unknown(&told, &["a:1"]),
            }
        }
        assert_eq!(scenario.reported_pinned(by_pool, &of_b), value(5.0));
    }
}

/// A gateway had shown an idle flow control. Its next page showed nothing of it, and 5 were told of whatever there was.
#[test]
fn a_page_that_has_lost_the_witness_of_what_it_never_showed_may_hide_it() {
    #[derive(Clone, Copy, PartialEq)]
    enum Asked {
        Before,
        Since,
        ByANewRule,
    }
    for (retain, asked) in [
        (Retain::All, Asked::Before),
        (Retain::Signals, Asked::Before),
        (Retain::Signals, Asked::Since),
        (Retain::Signals, Asked::ByANewRule),
    ] {
        let mut scenario = Scenario::new();
        let sum = "sum(llm_d_epp_flow_control_queue_size)";
        let first = match asked {
            Asked::Before => Some(scenario.register(sum)),
            Asked::Since => None,
            Asked::ByANewRule => Some(scenario.register("waiting:sum")),
        };
        let targets = ["a:1", "b:1"].map(|name| scenario.target_with(server(name, retain)));
        let mut gateway = Gateway {
            prefix: "llm_d_epp",
            ..Gateway::of("a")
        };
        let busy = gateway.page();
        gateway.queue = None;
        let idle = gateway.page();
        gateway.flow_control = false;
        let hiding = gateway.page();
        let rounds = |scenario: &mut Scenario, page: &str| {
            for _ in 0..3 {
                scenario.now_ms += INTERVAL_MS;
                scenario.take_now(targets[0], page);
                scenario.take_now(targets[1], &busy);
            }
        };
        rounds(&mut scenario, &idle);
        rounds(&mut scenario, &hiding);
        if asked == Asked::ByANewRule {
            scenario.reader.set_recorded(rules(&[("waiting:sum", sum)]));
        }
        let signal = first.unwrap_or_else(|| scenario.register(sum));
        rounds(&mut scenario, &hiding);
        unknown(&scenario.reported(signal), &["a:1", "no longer has"]);
        rounds(&mut scenario, &idle);
        assert_eq!(scenario.reported(signal), value(5.0), "{retain:?}");
    }
}

/// A page without its queue was told to be whole once an empty one had come in between: 5 of 35, though its process was the same.
#[test]
fn an_empty_page_is_no_other_process_where_the_next_one_says_when_that_started() {
    for retain in [Retain::All, Retain::Signals] {
        let mut scenario = Scenario::new();
        let signal = scenario.register(&format!("sum({WAITING})"));
        let targets = ["a:1", "b:1"].map(|name| scenario.target_with(server(name, retain)));
        let counted = |page: String| match page.is_empty() {
            true => page,
            false => page + "vllm:prompt_tokens_total{engine=\"0\"} 7\n",
        };
        let rounds = |scenario: &mut Scenario, first: String| {
            for _ in 0..3 {
                scenario.now_ms += INTERVAL_MS;
                scenario.take_now(targets[0], &counted(first.clone()));
                scenario.take_now(targets[1], &counted(page(1, Some(5))));
            }
        };
        rounds(&mut scenario, page(1, Some(30)));
        rounds(&mut scenario, page(1, None));
        rounds(&mut scenario, String::new());
        rounds(&mut scenario, page(1, None));
        scenario.now_ms += 200_000;
        rounds(&mut scenario, page(1, None));
        unknown(&scenario.reported(signal), &["a:1", "no longer has"]);
        // Another process has not lost it.
        rounds(&mut scenario, page(2, None));
        scenario.now_ms += 200_000;
        rounds(&mut scenario, page(2, None));
        assert_eq!(scenario.reported(signal), value(5.0), "{retain:?}");
    }
}
