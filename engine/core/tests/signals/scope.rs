//! Which targets count (S3a to S3c): what is wrong with one pool, job or group is not another's trouble.

use stillwell_engine::labels::Labels;
use stillwell_engine::limits::REMEMBERED_METRICS_MAX;
use stillwell_engine::signal::Policy;
use stillwell_engine::{Retain, TargetSpec};

use crate::scenario::{Gateway, INTERVAL_MS, QUEUE, Scenario, held, unknown, value};
use crate::servers::{WAITING, server};

#[test]
fn first_start_with_two_gateways_one_down_tells_nothing_and_names_it() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let (up, down) = (scenario.target("a:1"), scenario.target("a:2"));
    scenario.rounds(50, &[(up, Some(&Gateway::of("a"))), (down, None)]);
    unknown(
        &scenario.reported(queue),
        &[
            "a:2",
            "never given a good page",
            "connection refused",
            "inference_pool",
        ],
    );
}

#[test]
fn one_pool_s_outage_is_not_another_s() {
    let mut scenario = Scenario::new();
    let queue_a = scenario.register(QUEUE);
    let queue_b = scenario.register(&QUEUE.replace("\"a\"", "\"b\""));
    let queue_c = scenario.register(&QUEUE.replace("\"a\"", "\"c\""));
    let (a, b, c) = (
        scenario.target("a:1"),
        scenario.target("b:1"),
        scenario.target("c:1"),
    );
    let (page_a, page_b, mut page_c) = (Gateway::of("a"), Gateway::of("b"), Gateway::of("c"));
    scenario.rounds(
        3,
        &[(a, Some(&page_a)), (b, Some(&page_b)), (c, Some(&page_c))],
    );
    page_c.start = scenario.start_now();
    page_c.queue = None;
    scenario.rounds(100, &[(a, Some(&page_a)), (b, None), (c, Some(&page_c))]);
    assert_eq!(scenario.reported(queue_a), value(5.0));
    unknown(
        &scenario.reported(queue_b),
        &["b:1", "fails since", "connection refused"],
    );
    assert_eq!(scenario.reported(queue_c), held(5.0));
}

#[test]
fn a_dead_pool_with_a_label_of_its_own_disturbs_nobody() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let up = scenario.target("a:1");
    let down = scenario.target_of("epp", "b:1", &[("inference_pool", "b")]);
    scenario.rounds(30, &[(up, Some(&Gateway::of("a"))), (down, None)]);
    assert_eq!(scenario.reported(queue), value(5.0));
}

#[test]
fn discovery_that_is_lost_takes_nothing_away() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    scenario.rounds(36_000, &[(epp, Some(&Gateway::of("a")))]);
    assert_eq!(scenario.reported(queue), value(5.0));
    scenario.remove(epp);
    unknown(&scenario.reported(queue), &["no target is in scope"]);
    scenario.now_ms += 100_000;
    scenario.writer.maintain(scenario.at());
    unknown(&scenario.reported(queue), &["no target is known"]);
}

#[test]
fn targets_of_other_jobs_are_not_summed() {
    let mut scenario = Scenario::new();
    let policy = Policy {
        jobs: vec!["epp".to_owned()],
        ..Policy::default()
    };
    let signal = scenario.register_with("sum(inference_extension_flow_control_queue_size)", policy);
    let (ours, other) = (
        scenario.target("a:1"),
        scenario.target_of("other", "b:1", &[]),
    );
    let mut page = Gateway::of("a");
    page.queue = Some(0.0);
    scenario.rounds(3, &[(ours, Some(&page)), (other, Some(&Gateway::of("b")))]);
    scenario.rounds(30, &[(ours, Some(&page)), (other, None)]);
    assert_eq!(scenario.reported(signal), value(0.0));
}

#[test]
fn a_job_that_never_gave_a_page_keeps_nobody_else_waiting_for_ever() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let pinned = scenario.register(&QUEUE.replace('{', "{job=\"openmetrics\","));
    let (epp, never) = (
        scenario.target("a:1"),
        scenario.target_of("openmetrics", "b:1", &[]),
    );
    let page = Gateway::of("a");
    scenario.rounds(15, &[(epp, Some(&page)), (never, None)]);
    unknown(
        &scenario.reported(queue),
        &["b:1 (job openmetrics) has never given a good page"],
    );
    scenario.rounds(10, &[(epp, Some(&page)), (never, None)]);
    assert_eq!(scenario.reported(queue), value(5.0));
    unknown(
        &scenario.reported(pinned),
        &["b:1 (job openmetrics) has never given a good page"],
    );
    let explained = scenario
        .reader
        .explain(queue, scenario.at())
        .expect("registered");
    let warning = &explained.warnings[..];
    assert!(
        matches!(warning, [one] if one.contains("b:1 (job openmetrics)") && one.contains("connection refused")),
        "{warning:?}"
    );
}

/// The same job: it stands in for the others of it, whatever they serve, until a label says otherwise.
#[test]
fn a_target_of_the_same_job_is_waited_for() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let (epp, never) = (scenario.target("a:1"), scenario.target("b:1"));
    scenario.rounds(600, &[(epp, Some(&Gateway::of("a"))), (never, None)]);
    unknown(
        &scenario.reported(queue),
        &["b:1 (job epp) has never given a good page"],
    );
}

/// A pod that loads its model answers nothing for minutes, or never where it crashes: its queue is nobody's while discovery
/// calls it not ready and others of its group answer.
#[test]
fn a_target_that_is_not_ready_and_never_answered_is_left_out_and_named() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    let not_ready = |instance: &str| TargetSpec {
        labels: Labels::from_pairs([("job", "epp"), ("instance", instance)]),
        interval_ms: INTERVAL_MS as u64,
        not_ready: true,
        ..TargetSpec::default()
    };
    let page = Gateway::of("a");
    scenario.rounds(25, &[(epp, Some(&page))]);
    let loading = scenario.target_with(not_ready("b:1"));
    scenario.rounds(1, &[(epp, Some(&page)), (loading, None)]);
    assert_eq!(scenario.reported(queue), value(5.0));
    let explained = scenario.reader.explain(queue, scenario.at());
    let warnings = explained.expect("registered").warnings;
    assert!(
        matches!(&warnings[..], [one] if one.contains("b:1 (job epp)") && one.contains("not ready")),
        "{warnings:?}"
    );
    // Ready and silent, it may have a queue.
    let id = scenario.stages[loading].as_ref().expect("listed").target();
    scenario.writer.set_not_ready(id, false);
    scenario.rounds(1, &[(epp, Some(&page)), (loading, None)]);
    unknown(
        &scenario.reported(queue),
        &["b:1 (job epp) has never given a good page"],
    );
    // Once it has answered it counts, ready or not: whoever was asked before may still hold requests.
    scenario.rounds(1, &[(epp, Some(&page)), (loading, Some(&page))]);
    assert_eq!(scenario.reported(queue), value(10.0));
    scenario.writer.set_not_ready(id, true);
    scenario.rounds(40, &[(epp, Some(&page)), (loading, None)]);
    unknown(&scenario.reported(queue), &["b:1 (job epp)"]);
}

/// Right after our start one that hangs may have requests of before, so it is waited for like any other.
#[test]
fn what_is_not_ready_at_our_start_is_waited_for() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let idle = scenario.target("a:1");
    let hung = scenario.target_with(TargetSpec {
        labels: Labels::from_pairs([("job", "epp"), ("instance", "b:1")]),
        interval_ms: INTERVAL_MS as u64,
        not_ready: true,
        ..TargetSpec::default()
    });
    let page = Gateway {
        queue: Some(0.0),
        ..Gateway::of("a")
    };
    scenario.rounds(3, &[(idle, Some(&page)), (hung, None)]);
    unknown(&scenario.reported(queue), &["b:1 (job epp)"]);
    scenario.rounds(25, &[(idle, Some(&page)), (hung, None)]);
    assert_eq!(scenario.reported(queue), value(0.0));
}

/// The first page of one replica says nothing of the loaded one beside it.
#[test]
fn after_our_start_a_replica_is_waited_for_though_others_of_its_group_show_nothing() {
    for jobs in [&[][..], &["a", "b"]] {
        let mut scenario = Scenario::new();
        let policy = Policy {
            jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
            ..Policy::default()
        };
        let queue = scenario.register_with("sum(my_queue_depth)", policy);
        let idle = scenario.target_of("a", "a:1", &[]);
        let loaded = scenario.target_of("a", "a:2", &[]);
        let other = scenario.target_of("b", "b:1", &[]);
        scenario.now_ms += INTERVAL_MS;
        scenario.take_now(idle, "something 1\n");
        scenario.take_now(other, "my_queue_depth 0\n");
        scenario.fail_now(loaded);
        unknown(&scenario.reported(queue), &["a:2 (job a)"]);
    }
}

#[test]
fn where_nobody_of_the_group_answers_one_that_is_not_ready_counts() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let other = scenario.target_of("other", "a:1", &[("inference_pool", "a")]);
    let loading = scenario.target_with(TargetSpec {
        labels: Labels::from_pairs([("job", "epp"), ("instance", "b:1"), ("inference_pool", "a")]),
        interval_ms: INTERVAL_MS as u64,
        not_ready: true,
        ..TargetSpec::default()
    });
    let page = Gateway::of("a");
    scenario.rounds(40, &[(other, Some(&page)), (loading, None)]);
    unknown(&scenario.reported(queue), &["b:1 (job epp)"]);
}

/// A dead exporter made every metric of its namespace unknown, for prometheus-adapter's matchers pin it.
#[test]
fn a_namespace_alone_connects_nobody_with_a_query() {
    let mut scenario = Scenario::new();
    let waiting = scenario.register("sum(vllm:num_requests_waiting{namespace=\"n\"})");
    let server = scenario.target_of("pods", "a:1", &[("namespace", "n")]);
    let dead = scenario.target_of("exporter", "b:1", &[("namespace", "n")]);
    for _ in 0..40 {
        scenario.take(server, "vllm:num_requests_waiting 3\n");
        scenario.fail_now(dead);
    }
    assert_eq!(scenario.reported(waiting), value(3.0));
    let of_caller = scenario.reported_pinned(waiting, &[("namespace", "n")]);
    assert_eq!(of_caller, value(3.0));
}

/// Each new pod of the model servers made the gateway's queue unknown for three intervals, and thereby stopped the scaling that
/// had started it.
#[test]
fn a_new_target_of_a_group_that_never_shows_the_family_is_not_waited_for() {
    let mut scenario = Scenario::new();
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    let server = scenario.target_of("model-servers", "b:1", &[]);
    let page = Gateway::of("a");
    for _ in 0..25 {
        scenario.scrape(&[(epp, Some(&page))]);
        scenario.take_now(server, "vllm:num_requests_waiting 1\n");
    }
    assert_eq!(scenario.reported(queue), value(5.0));
    let new = scenario.target_of("model-servers", "c:1", &[]);
    scenario.scrape(&[(epp, Some(&page)), (new, None)]);
    assert_eq!(scenario.reported(queue), value(5.0));
}

/// Idle was unknown where a pattern of pools was asked for, because other pools' gateways counted, and their outages with them.
#[test]
fn another_pool_is_ruled_out_by_a_pattern_as_by_a_name() {
    let mut scenario = Scenario::new();
    let pattern = QUEUE.replace("=\"a\"", "=~\"a|c\"");
    let signal = scenario.register(&pattern);
    let not_b = scenario.register(&QUEUE.replace("=\"a\"", "=~\"[^b]+\""));
    let (a, b) = (scenario.target("a:1"), scenario.target("b:1"));
    let mut page_a = Gateway::of("a");
    page_a.queue = None;
    scenario.rounds(3, &[(a, Some(&page_a)), (b, Some(&Gateway::of("b")))]);
    for signal in [signal, not_b] {
        assert_eq!(scenario.reported(signal), value(0.0));
    }
    page_a.queue = Some(4.0);
    scenario.rounds(100, &[(a, Some(&page_a)), (b, None)]);
    for signal in [signal, not_b] {
        assert_eq!(scenario.reported(signal), value(4.0));
    }
    scenario.rounds(100, &[(a, None), (b, Some(&Gateway::of("b")))]);
    unknown(&scenario.reported(signal), &["a:1"]);
}

/// A job had shown more names than are remembered of it: what it showed of another one was told without it while it was down.
#[test]
fn what_signals_read_is_remembered_of_a_group_whatever_else_it_has_shown() {
    for retain in [Retain::All, Retain::Signals] {
        for (is_late, metric) in [(false, "my_queue"), (true, "my_queue"), (true, WAITING)] {
            let mut scenario = Scenario::new();
            let query = format!("sum({metric})");
            let early = (!is_late).then(|| scenario.register(&query));
            let first = scenario.target_with(server("a:1", retain));
            let other = scenario.target_with(TargetSpec {
                labels: Labels::from_pairs([("job", "w"), ("instance", "b:1")]),
                ..server("b:1", retain)
            });
            let many: String = (0..REMEMBERED_METRICS_MAX)
                .map(|number| format!("of_many_{number} 1\n"))
                .collect();
            scenario.take(first, &many);
            let round = |scenario: &mut Scenario, is_up: bool| {
                scenario.now_ms += INTERVAL_MS;
                match is_up {
                    true => scenario.take_now(first, &format!("{metric} 128\n")),
                    false => scenario.fail_now(first),
                }
                scenario.take_now(other, &format!("{metric} 1\n"));
            };
            round(&mut scenario, true);
            let signal = early.unwrap_or_else(|| scenario.register(&query));
            for _ in 0..3 {
                round(&mut scenario, true);
            }
            scenario.now_ms += 300_000;
            for _ in 0..3 {
                round(&mut scenario, true);
            }
            assert_eq!(scenario.reported(signal), value(129.0), "{retain:?}");
            round(&mut scenario, false);
            assert_eq!(scenario.reported(signal), held(129.0), "{retain:?}");
            for _ in 0..30 {
                round(&mut scenario, false);
            }
            unknown(&scenario.reported(signal), &["a:1"]);
        }
    }
}
