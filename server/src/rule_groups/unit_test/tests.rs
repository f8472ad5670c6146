use stillwell_engine::promql::Features;

use super::*;

const RULES: &str = r#"
groups:
- name: slo
  rules:
  - record: pool:queue:sum
    expr: sum by (pool) (queue)
  - record: pool:queue:smoothed
    expr: avg_over_time(pool:queue:sum[3m])
  - alert: QueueIsLong
    expr: pool:queue:smoothed > 10
    for: 2m
    labels: {severity: page, zone: '{{ $externalLabels.zone }}'}
    annotations: {summary: "{{ $labels.pool }} holds {{ $value }}"}
"#;

const TESTS: &str = r#"
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- name: the queue grows
  interval: 1m
  external_labels: {zone: z}
  input_series:
  - {series: 'queue{pool="a", pod="1"}', values: '0+5x10'}
  - {series: 'queue{pool="a", pod="2"}', values: '0+5x10'}
  - {series: 'queue{pool="b", pod="3"}', values: '1x4 stale _x5'}
  alert_rule_test:
  - {eval_time: 3m, alertname: QueueIsLong, exp_alerts: []}
  - eval_time: 5m
    alertname: QueueIsLong
    exp_alerts:
    - exp_labels: {pool: a, severity: page, zone: z}
      exp_annotations: {summary: a holds 40}
  promql_expr_test:
  - expr: pool:queue:sum
    eval_time: 4m
    exp_samples:
    - {labels: 'pool:queue:sum{pool="a"}', value: 40}
    - {labels: 'pool:queue:sum{pool="b"}', value: 1}
  - expr: pool:queue:sum
    eval_time: 6m
    exp_samples: [{labels: 'pool:queue:sum{pool="a"}', value: 60}]
  - expr: ALERTS{alertstate="firing"}
    eval_time: 6m
    exp_samples:
    - labels: 'ALERTS{alertname="QueueIsLong", alertstate="firing", pool="a", severity="page", zone="z"}'
      value: 1
"#;

fn report(tests: &str) -> TestReport {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!(
        "stillwell-rule-tests-{}-{number}",
        std::process::id()
    ));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    std::fs::write(folder.join("rules.yml"), RULES).expect("writable");
    let path = folder.join("tests.yml");
    std::fs::write(&path, tests).expect("writable");
    let report = run(&path, &Features::default());
    std::fs::remove_dir_all(&folder).ok();
    report
}

#[test]
fn rules_in_a_chain_are_tested_step_by_step() {
    let report = report(TESTS);
    assert_eq!((report.passed, report.failures), (1, Vec::new()));
}

#[test]
fn what_is_not_as_expected_is_told() {
    for (from, to, says) in [
        (
            "a holds 40",
            "a holds 41",
            "alertname: QueueIsLong, time: 5m",
        ),
        (
            "value: 60",
            "value: 61",
            "exp: [pool:queue:sum{pool=\"a\"} 61]",
        ),
        (
            "eval_time: 3m, alertname: QueueIsLong",
            "eval_time: 3m",
            "needs an alertname",
        ),
        ("'0+5x10'", "'0+5y10'", "line 9"),
        (
            "rule_files: [rules.yml]",
            "rule_files: ['none*.yml']",
            "got:[]",
        ),
        (
            "  interval: 1m",
            "  intervall: 1m",
            "did you mean interval?",
        ),
    ] {
        let report = report(&TESTS.replacen(from, to, 1));
        let all = report.failures.join("\n");
        assert!(all.contains(says), "{from} -> {to}: {all}");
    }
}
