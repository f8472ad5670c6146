//! Signals over the series of recording rules, which they read as the rules' expressions.

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{Features, Query};
use stillwell_engine::promql::{RecordedRule, RecordedRules};

use crate::scenario::{Reported, Scenario, held, unknown, value};

pub(crate) fn rules(rules: &[(&str, &str)]) -> RecordedRules {
    let mut recorded = RecordedRules::default();
    for (name, text) in rules {
        let rule = RecordedRule {
            labels: Labels::from_pairs([("team", "t")]),
            query: Query::parse(text, &Features::default()).expect("PromQL"),
            interval_ms: 1_000,
        };
        recorded.add(name, rule);
    }
    recorded
}

const WAITING: &str = "vllm:num_requests_waiting{model_name=\"m\"}";

/// A signal over a recorded series was unknown for ever, with the advice to check whether flow control is on.
#[test]
fn a_recorded_series_is_judged_by_the_targets_that_its_rule_reads() {
    let mut scenario = Scenario::new();
    let (one, other) = (
        scenario.target_of("vllm", "a:1", &[]),
        scenario.target_of("vllm", "b:1", &[]),
    );
    let before = scenario.register("max(job:waiting:sum{job=\"vllm\"})");
    scenario.take_now(one, &format!("{WAITING} 50\n"));
    scenario.take(other, &format!("{WAITING} 10\n"));
    unknown(&scenario.reported(before), &["job:waiting:sum"]);
    scenario.reader.set_recorded(rules(&[
        (
            "job:waiting:sum",
            "sum by (job) (vllm:num_requests_waiting)",
        ),
        ("waiting:sum", "sum(job:waiting:sum)"),
    ]));
    let signals = [
        before,
        scenario.register("waiting:sum"),
        scenario.register("sum by (team) (job:waiting:sum{team=\"t\"})"),
        scenario.register("waiting:sum or vector(0)"),
    ];
    for _ in 0..3 {
        scenario.take_now(one, &format!("{WAITING} 50\n"));
        scenario.take(other, &format!("{WAITING} 10\n"));
    }
    for signal in signals {
        assert_eq!(scenario.reported(signal), value(60.0));
    }
    // What a rule records goes on with one target; what a scaler is told does not.
    scenario.now_ms += 1;
    scenario.take_now(one, &format!("{WAITING} 50\n"));
    scenario.fail_now(other);
    for signal in signals {
        assert_eq!(scenario.reported(signal), held(60.0));
    }
}

#[test]
fn a_rule_that_changes_makes_the_signal_a_new_one() {
    let mut scenario = Scenario::new();
    let target = scenario.target_of("vllm", "a:1", &[]);
    let signal = scenario.register("waiting");
    let page = |start: u32, waits: u32| {
        format!("process_start_time_seconds {start}\n{WAITING} {waits}\nother{{a=\"b\"}} 1\n")
    };
    scenario
        .reader
        .set_recorded(rules(&[("waiting", "sum(vllm:num_requests_waiting)")]));
    scenario.rounds(1, &[]);
    scenario.take(target, &page(1, 30));
    assert_eq!(scenario.reported(signal), value(30.0));
    scenario
        .reader
        .set_recorded(rules(&[("waiting", "sum(other)")]));
    scenario.take(target, &page(1, 30));
    assert_eq!(scenario.reported(signal), value(1.0));
    // 30 was measured by another rule, and holds nothing up after a restart.
    scenario
        .reader
        .set_recorded(rules(&[("waiting", "2 * sum(vllm:num_requests_waiting)")]));
    scenario.take(target, &page(1, 1));
    scenario.take(target, &page(20, 0));
    assert_eq!(scenario.reported(signal), Reported::Held(vec![2.0]));
    scenario
        .reader
        .set_recorded(rules(&[("waiting", "topk(1, vllm:num_requests_waiting)")]));
    let selecting = scenario.register("sum(waiting{model_name=\"m\"})");
    unknown(
        &scenario.reported(selecting),
        &["waiting is recorded by a rule whose `topk`"],
    );
}

/// Signals took a step of a minute, whatever the configuration says, and missed peaks that Prometheus sees.
#[test]
fn a_subquery_without_a_step_has_the_configured_one() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("max_over_time(sum(vllm:num_requests_waiting)[2s:])");
    scenario.reader.set_subquery_step(100);
    let target = scenario.target_of("vllm", "a:1", &[]);
    for at in 0..40 {
        let waits = if at == 30 { 90 } else { 3 };
        scenario.take(
            target,
            &format!("process_start_time_seconds 1\n{WAITING} {waits}\n"),
        );
    }
    assert_eq!(scenario.reported(signal), value(90.0));
}
