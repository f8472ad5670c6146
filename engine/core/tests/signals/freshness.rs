//! Fresh and frozen targets (S2, S5): a number is told while its pages are new, held a little while longer, and then
//! nothing is told.

use stillwell_engine::TargetSpec;
use stillwell_engine::labels::Labels;
use stillwell_engine::signal::Policy;

use crate::scenario::{
    Gateway, INTERVAL_MS, QUEUE, RUNNING, Reported, Scenario, held, unknown, value,
};

#[test]
fn a_fresh_target_gives_a_value() {
    let mut scenario = Scenario::new();
    let (queue, running) = (scenario.register(QUEUE), scenario.register(RUNNING));
    let epp = scenario.target("a:1");
    unknown(
        &scenario.reported(queue),
        &["waiting for the first scrape", "a:1"],
    );
    scenario.scrape(&[(epp, Some(&Gateway::of("a")))]);
    assert_eq!(
        (scenario.reported(queue), scenario.reported(running)),
        (value(5.0), value(7.0))
    );
}

#[test]
fn an_outage_is_held_then_unknown_and_one_good_scrape_recovers() {
    let mut scenario = Scenario::new();
    let (queue, guarded) = (
        scenario.register(QUEUE),
        scenario.register(&format!("{QUEUE} or vector(0)")),
    );
    let epp = scenario.target("a:1");
    let page = Gateway::of("a");
    scenario.rounds(3, &[(epp, Some(&page))]);
    scenario.rounds(1, &[(epp, None)]);
    assert_eq!(
        (scenario.reported(queue), scenario.reported(guarded)),
        (held(5.0), held(5.0))
    );
    scenario.rounds(18, &[(epp, None)]);
    assert_eq!(scenario.reported(queue), held(5.0));
    scenario.rounds(1, &[(epp, None)]);
    unknown(
        &scenario.reported(queue),
        &["a:1", "fails since 1970-01-01T02:46:40Z"],
    );
    unknown(
        &scenario.reported(guarded),
        &["a:1", "fails since 1970-01-01T02:46:40Z"],
    );
    scenario.rounds(36_000, &[(epp, None)]);
    unknown(&scenario.reported(guarded), &["a:1"]);
    scenario.scrape(&[(epp, Some(&page))]);
    assert_eq!(
        (scenario.reported(queue), scenario.reported(guarded)),
        (value(5.0), value(5.0))
    );
}

/// A rate over a minute was unknown for a minute after four seconds of outage, for reasons that did not say until when.
#[test]
fn a_gap_in_a_window_is_bridged_by_a_longer_hold_and_named_without() {
    const RATE: &str = "sum(rate(requests_total[30s]))";
    const OUTAGE: usize = 40; // rounds
    let mut scenario = Scenario::new();
    let strict = scenario.register(RATE);
    let policy = Policy {
        hold_ms: Some(5_000),
        ..Policy::default()
    };
    let bridged = scenario.register_with(RATE, policy);
    let epp = scenario.target("a:1");
    let mut served = 0;
    let serve = |scenario: &mut Scenario, served: &mut u32| {
        *served += 1;
        scenario.scrape_text(epp, &format!("requests_total{{model=\"m\"}} {served}\n"));
    };
    for _ in 0..310 {
        serve(&mut scenario, &mut served);
    }
    for signal in [strict, bridged] {
        let reported = scenario.reported(signal);
        assert!(matches!(reported, Reported::Value(_)), "{reported:?}");
    }
    scenario.rounds(OUTAGE, &[(epp, None)]);
    served += OUTAGE as u32; // requests are served meanwhile
    serve(&mut scenario, &mut served);
    unknown(
        &scenario.reported(strict),
        &[
            "30.0 s",
            "not covered before 1970-01-01T02:47:45Z",
            "gave no good page for 4.1 s until 1970-01-01T02:47:15Z",
            "`hold`",
        ],
    );
    // What was counted during the gap is measured by the first page after it: ten a second, as before.
    let Reported::Value(rate) = scenario.reported(bridged) else {
        panic!("{:?}", scenario.reported(bridged));
    };
    assert!((9.9..10.1).contains(&rate[0]), "{rate:?}");
    for _ in 0..300 {
        serve(&mut scenario, &mut served);
    }
    let reported = scenario.reported(strict);
    assert!(matches!(reported, Reported::Value(_)), "{reported:?}");
}

#[test]
fn a_scrape_that_never_ends_does_not_keep_its_target_fresh() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    scenario.rounds(3, &[(epp, Some(&Gateway::of("a")))]);
    scenario.now_ms += 250;
    assert_eq!(scenario.reported(queue), held(5.0));
    scenario.now_ms += 2_000;
    unknown(&scenario.reported(queue), &["a:1", "not ended"]);
}

/// Each new pod made rates and quantiles over its job unknown for a whole window, and so stopped the scaling that had started it.
#[test]
fn a_new_process_covers_a_window_from_its_start() {
    // How long before its first page it started, how long before that it was found, whether it was ready by then, and whether
    // its start is told.
    for (unseen_ms, found_ms, not_ready, has_start, series, is_covered) in [
        (500, 0, false, true, "tokens_total", true),
        (60_000, 60_000, false, true, "tokens_total", false),
        (60_000, 60_000, true, true, "tokens_total", true),
        // It was found later, and may have been ready before: it fails its probe because it is overloaded.
        (60_000, 0, true, true, "tokens_total", false),
        (500, 0, false, false, "tokens_total", false),
        // Servers of several processes tell no start: it came to known ones, and gave its first page before it was ready.
        (60_000, 60_000, true, false, "tokens_total", true),
        // It was there before under other labels.
        (60_000, 60_000, true, false, "tokens_total{}", false),
        // A collector that has just started tells of pods that have counted for hours.
        (500, 0, false, true, "tokens_total{pod=\"p\"}", false),
        // The label is the process' own word.
        (
            500,
            0,
            false,
            true,
            "ray_serve_deployment_queued_queries{deployment=\"d\"}",
            true,
        ),
    ] {
        let mut scenario = Scenario::new();
        let name_of = |series: &'static str| series.split('{').next().unwrap_or(series);
        let rate = scenario.register(&format!("sum(rate({}[100s]))", name_of(series)));
        let old = scenario.target("a:1");
        let gone = "10.0.0.1:8000";
        let before = scenario.target_with(TargetSpec {
            labels: Labels::from_pairs([("job", "other"), ("instance", gone)]),
            interval_ms: INTERVAL_MS as u64,
            address: gone.to_owned(),
            ..TargetSpec::default()
        });
        scenario.take(before, "other 1\n");
        scenario.remove(before);
        let page = |start_s: f64, tokens: i64| {
            format!("process_start_time_seconds {start_s}\n{series} {tokens}\n")
        };
        for tokens in 0..1100 {
            scenario.take(old, &page(1000.0, tokens));
        }
        let before = scenario.reported(rate);
        assert!(matches!(before, Reported::Value(_)), "{before:?}");
        let new = scenario.target_with(TargetSpec {
            labels: Labels::from_pairs([("job", "epp"), ("instance", "b:1")]),
            interval_ms: INTERVAL_MS as u64,
            not_ready,
            address: match series {
                "tokens_total{}" => gone,
                _ => "10.0.0.2:8000",
            }
            .to_owned(),
            ..TargetSpec::default()
        });
        let mut waiting_ms = 0;
        while waiting_ms < found_ms {
            scenario.take(old, &page(1000.0, 1100));
            scenario.fail_now(new);
            waiting_ms += INTERVAL_MS;
        }
        let start_s = (scenario.now_ms + INTERVAL_MS - unseen_ms) as f64 / 1000.0;
        for tokens in 1100..1120 {
            scenario.take(old, &page(1000.0, tokens));
            let of_new = page(start_s, tokens - 1100);
            let first_line = of_new.find('\n').map_or(0, |at| at + 1);
            scenario.take_now(new, &of_new[if has_start { 0 } else { first_line }..]);
        }
        let after = scenario.reported(rate);
        match is_covered {
            true => assert!(matches!(after, Reported::Value(_)), "{after:?}"),
            false => unknown(&after, &["not covered before", "b:1 (job epp)"]),
        }
    }
}

/// A queue that was frozen was divided by the servers that were up already without it: 33 / 2 was told for 11.
#[test]
fn series_about_scrapes_are_as_old_as_the_rest_of_a_target_s() {
    let mut scenario = Scenario::new();
    let query = "sum(vllm:num_requests_waiting) / count(up{job=\"v\"} == 1)";
    let signals = [scenario.register(query), scenario.register("sum(up)")];
    let targets = ["a:1", "b:1", "c:1"].map(|name| scenario.target_of("v", name, &[]));
    let page = |waiting: i64| format!("vllm:num_requests_waiting {waiting}\n");
    for at in 0..40 {
        scenario.now_ms += INTERVAL_MS;
        for (target, waiting) in targets.into_iter().zip([10, 11, 12]) {
            if target == targets[0] && at >= 10 {
                scenario.fail_now(target);
            } else {
                scenario.take_now(target, &page(waiting));
            }
        }
        scenario.writer.maintain(scenario.at());
        for (signal, number) in signals.into_iter().zip([11.0, 3.0]) {
            match at {
                0..10 => assert_eq!(scenario.reported(signal), value(number), "{at}"),
                10..29 => assert_eq!(scenario.reported(signal), held(number), "{at}"),
                _ => unknown(&scenario.reported(signal), &["a:1"]),
            }
        }
    }
}

/// A sum as of two seconds ago took the sample from before the outage for it, while any other query was refused.
#[test]
fn what_an_offset_reads_lies_in_no_outage() {
    let mut scenario = Scenario::new();
    let signals = [
        scenario.register("sum(vllm:num_requests_waiting offset 2s)"),
        scenario.register("sum(vllm:num_requests_waiting offset 2s) + 0"),
    ];
    let targets = ["a:1", "b:1"].map(|name| scenario.target_of("v", name, &[]));
    for at in 0..110 {
        scenario.now_ms += INTERVAL_MS;
        match at {
            30..70 => scenario.fail_now(targets[0]),
            _ => scenario.take_now(
                targets[0],
                "process_start_time_seconds 1\nvllm:num_requests_waiting 5\n",
            ),
        }
        scenario.take_now(targets[1], "vllm:num_requests_waiting 7\n");
        scenario.writer.maintain(scenario.at());
        for signal in signals {
            match at {
                20..30 | 90..110 => assert_eq!(scenario.reported(signal), value(12.0), "{at}"),
                70..90 => unknown(&scenario.reported(signal), &["window of 2.0 s"]),
                _ => {}
            }
        }
    }
}
