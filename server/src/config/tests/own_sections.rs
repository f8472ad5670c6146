//! Sections that Prometheus does not have.

use std::path::Path;

use stillwell_engine::signal::{Absent, Nan};

use super::*;

#[test]
fn signals_and_the_metrics_apis_are_read() {
    let text = "signals:\n- name: igw_queue_depth\n  expr: sum(q)\n  namespaces: [a]\n  labels: {k: v}\n  hold: 3s\n  restart_grace: 1m\n  absent: zero\n  nan: last\n  jobs: [epp]\nexternal_metrics: {insecure: true}\n";
    let (config, _) = good(text);
    let signal = &config.signals[0];
    assert_eq!(
        (signal.name.as_str(), signal.expr.as_str(), signal.line.0),
        ("igw_queue_depth", "sum(q)", 2)
    );
    let policy = &signal.policy;
    assert_eq!(
        (policy.hold_ms, policy.restart_grace_ms),
        (Some(3_000), 60_000)
    );
    assert_eq!(
        (policy.absent, policy.nan, policy.jobs.len()),
        (Absent::Zero, Nan::Last, 1)
    );
    assert!(config.external_metrics.insecure);
    let groups = &config.external_metrics.groups;
    assert_eq!(*groups, ExternalMetrics::default().groups);
    assert_eq!(groups.external, ["external.metrics.k8s.io"]);
}

#[test]
fn users_add_to_the_names_table() {
    let text = "signal_names:\n  demand: [my_queue]\n  witnesses: [{family: my_queue, witness: my_info}]\n";
    let (config, report) = load(text);
    let names = config.expect("valid").signal_names;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert!(names.is_demand("my_queue") && names.witnesses("my_queue")("my_info"));
    let (_, report) = load("signal_names: {witnesses: [{family: x}]}\n");
    assert!(
        report.errors[0]
            .message
            .contains("a witness needs family and witness")
    );
}

#[test]
fn monitors_are_read_with_their_kinds_and_a_wrong_one_names_the_nearest() {
    let text = "monitors:\n  kinds: [ServiceMonitor, PodMonitors]\n  namespaces: [llm]\n";
    let (config, report) = load(text);
    assert!(config.is_none());
    let problem = &report.errors[0];
    assert_eq!(problem.line, 2);
    assert!(
        problem
            .message
            .contains("\"PodMonitors\"; PodMonitor is near"),
        "{problem}"
    );
    let text = "monitors: {}\ninference_pools: {namespaces: [a, b], scrape_interval: 100ms}\n";
    let config = load(text).0.expect("valid");
    let [monitors, pools] = &config.monitors[..] else {
        panic!("{:?}", config.monitors);
    };
    assert_eq!(monitors.kinds.len(), 6);
    assert_eq!(pools.kinds, [MonitorKind::InferencePool]);
    assert_eq!(pools.cluster.namespaces, ["a", "b"]);
}

#[test]
fn events_are_off_unless_their_section_is_there() {
    assert_eq!(load("global: {}\n").0.expect("valid").events, None);
    let events = load("events: {namespaces: [a]}\n").0.expect("valid").events;
    assert_eq!(events.expect("given").cluster.namespaces, ["a"]);
    for (text, says) in [
        ("events: {namespace: [a]}\n", "namespaces"),
        (
            "events: {api_server: 'https://a', kubeconfig_file: b}\n",
            "exclude one another",
        ),
    ] {
        let (_, report) = load(text);
        let message = &report.errors.first().expect("refused").message;
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn kube_state_and_a_job_of_its_name_would_count_twice() {
    let text = "kube_state: {all: true, namespaces: [a], scrape_interval: 5s}\n";
    let state = load(text).0.expect("valid").kube_state.expect("given");
    assert_eq!((state.all, state.interval_ms), (true, 5_000));
    assert_eq!(state.cluster.namespaces, ["a"]);
    let state = load("global: {scrape_interval: 100ms}\nkube_state: {}\n").0;
    let state = state.expect("valid").kube_state.expect("given");
    assert_eq!(state.interval_ms, 1_000, "each page asks the API server");
    let job = "scrape_configs: [{job_name: kube-state-metrics, static_configs: [{targets: ['a:1']}]}]\nkube_state: {}\n";
    #[rustfmt::skip]
    let bad = [
        ("kube_state: {scrape_interval: 100ms}\n", "at least 1s"),
        ("kube_state: {al: true}\n", "all"),
        ("kube_state: {api_server: 'https://a', kubeconfig_file: b}\n", "exclude one another"),
        (job, "count twice"),
    ];
    for (text, why) in bad {
        let (config, report) = load_with_files(text, Path::new("."));
        assert!(config.is_none(), "{text}");
        assert!(
            report.errors[0].message.contains(why),
            "{:?}",
            report.errors
        );
    }
}
