//! The configuration as a whole: what parses, what is refused, and what the complaint says.

use stillwell_engine::signal::{Absent, Nan};

use super::*;

fn good(text: &str) -> (Config, Vec<String>) {
    let (config, report) = load(text);
    let errors: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
    let warnings = report.warnings.iter().map(ToString::to_string).collect();
    (config.unwrap_or_else(|| panic!("{errors:#?}")), warnings)
}

#[test]
fn a_job_reads_every_option_of_static_targets() {
    let text = r#"
global:
  scrape_interval: 100ms
  sample_limit: 7
scrape_configs:
- job_name: epp
  scheme: http
  metrics_path: /m
  params: {"name[]": [a, b]}
  scrape_timeout: 50ms
  honor_labels: true
  honor_timestamps: false
  enable_compression: false
  body_size_limit: 1MB
  follow_redirects: false
  static_configs:
  - targets: ["10.0.0.7:9090", "[::1]:9090"]
    labels: {pool: p}
  relabel_configs:
  - {source_labels: [__address__], regex: '(.*):.*', target_label: host, replacement: '$1'}
  metric_relabel_configs:
  - {source_labels: [__name__], regex: go_.*, action: Drop}
- job_name: defaults
"#;
    let (config, warnings) = good(text);
    assert!(warnings.is_empty(), "{warnings:?}");
    let job = &config.jobs[0];
    assert_eq!((job.name.as_str(), job.path.as_str()), ("epp", "/m"));
    assert_eq!(
        job.params,
        [("name[]".to_owned(), vec!["a".to_owned(), "b".to_owned()])]
    );
    assert_eq!((job.interval_ms, job.timeout_ms), (100, 50));
    assert!(job.honor_labels && !job.honor_timestamps && !job.follow_redirects);
    assert_eq!(
        (
            job.compression,
            job.limits.body_bytes_max,
            job.limits.samples_max
        ),
        (Some(false), 1 << 20, 7)
    );
    assert_eq!(job.groups[0].targets, ["10.0.0.7:9090", "[::1]:9090"]);
    assert_eq!(job.groups[0].labels.get("pool"), Some("p"));
    assert_eq!((job.relabel.len(), job.metric_relabel.len()), (1, 1));
    let defaults = &config.jobs[1];
    assert_eq!((defaults.interval_ms, defaults.timeout_ms), (100, 1000));
    assert_eq!(defaults.limits.body_bytes_max, BODY_BYTES_MAX_DEFAULT);
    assert!(!defaults.honor_labels && defaults.honor_timestamps && defaults.follow_redirects);
}

#[test]
fn global_may_stand_after_the_jobs() {
    let (config, _) = good("scrape_configs: [{job_name: a}]\nglobal: {scrape_interval: 5s}\n");
    assert_eq!(config.jobs[0].interval_ms, 5000);
}

#[test]
fn a_global_timeout_never_stretches_a_fast_job() {
    let text = "global: {scrape_interval: 1m, scrape_timeout: 10s}\nscrape_configs:\n- {job_name: a, scrape_interval: 100ms}\n- {job_name: b}\n";
    let (config, _) = good(text);
    assert_eq!(
        (config.jobs[0].timeout_ms, config.jobs[1].timeout_ms),
        (1000, 10_000)
    );
}

#[test]
fn signals_and_the_kubernetes_face_are_read() {
    let text = "signals:\n- name: igw_queue_depth\n  expr: sum(q)\n  namespaces: [a]\n  labels: {k: v}\n  hold: 3s\n  restart_grace: 1m\n  absent: zero\n  nan: last\n  jobs: [epp]\nexternal_metrics: {insecure: true}\n";
    let (config, _) = good(text);
    let signal = &config.signals[0];
    assert_eq!(
        (signal.name.as_str(), signal.expr.as_str(), signal.line),
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
fn what_prometheus_knows_and_we_do_not_do_is_a_warning_with_line_and_consequence() {
    for (text, line, says) in [
        ("\nalerting: {alertmanagers: []}\n", 2, "no alerts are sent"),
        (
            "global:\n  evaluation_interval: 15s\n",
            2,
            "rules are not evaluated",
        ),
        ("remote_write: [{url: x}]\n", 1, "nothing is sent on"),
        ("rule_files: [a.yml]\n", 1, "rules are not evaluated"),
        ("monitors: {}\n", 1, "no effect yet"),
        ("inference_pools: {}\n", 1, "no effect yet"),
        (
            "scrape_configs:\n- job_name: a\n  enable_http2: true\n",
            3,
            "HTTP/1.1",
        ),
        ("signals:\n- {name: Up, expr: up}\n", 2, "lower case"),
    ] {
        let (_, warnings) = good(text);
        let place = format!("line {line}: ");
        assert!(
            warnings
                .iter()
                .any(|w| w.starts_with(&place) && w.contains(says)),
            "{text}: {warnings:?}"
        );
    }
}

#[test]
fn errors_name_line_value_and_fix() {
    for (text, line, says) in [
        ("glolbal: {}\n", 1, "did you mean global?"),
        (
            "scrape_configs:\n- job_name: a\n  scrape_intervall: 1s\n",
            3,
            "did you mean scrape_interval?",
        ),
        (
            "scrape_configs:\n- job_name: a\n- job_name: a\n",
            3,
            "the first is on line 2",
        ),
        ("scrape_configs:\n- scheme: http\n", 2, "needs a job_name"),
        (
            "scrape_configs:\n- job_name: a\n  scrape_interval: 5ms\n",
            3,
            "the shortest is 10ms",
        ),
        (
            "scrape_configs:\n- job_name: a\n  scrape_interval: 1.5s\n",
            3,
            "write it like 100ms",
        ),
        (
            "scrape_configs:\n- job_name: a\n  body_size_limit: 10\n",
            3,
            "write it like 10MB",
        ),
        (
            "scrape_configs:\n- job_name: a\n  scheme: https\n",
            3,
            "not built yet",
        ),
        (
            "scrape_configs:\n- job_name: a\n  bearer_token: x\n",
            3,
            "credentials are not built yet",
        ),
        (
            "scrape_configs:\n- job_name: a\n  kubernetes_sd_configs: []\n",
            3,
            "static_configs",
        ),
        (
            "scrape_configs:\n- job_name: a\n  tls_config: {}\n",
            3,
            "scrape over http",
        ),
        (
            "scrape_configs:\n- job_name: a\n  proxy_url: x\n",
            3,
            "proxies are not built yet",
        ),
        (
            "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: ['http://a/b']\n",
            4,
            "metrics_path",
        ),
        (
            "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - action: labeldorp\n",
            4,
            "did you mean labeldrop?",
        ),
        (
            "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - {regex: '(', target_label: x}\n",
            4,
            "regex",
        ),
        (
            "scrape_configs:\n- job_name: a\n  honor_labels: maybe\n",
            3,
            "neither true nor false",
        ),
        (
            "scrape_configs:\n- job_name: a\n  sample_limit: -1\n",
            3,
            "whole number",
        ),
        ("scrape_configs: {}\n", 1, "must be a list"),
        ("global: 7\n", 1, "must be a mapping"),
        (
            "signals:\n- {name: a/b, expr: up}\n",
            2,
            "one piece of a URL",
        ),
        (
            "signals:\n- {name: a, expr: up}\n- {name: A, expr: up}\n",
            3,
            "case is not looked at",
        ),
        ("signals:\n- {name: a}\n", 2, "needs an expr"),
        (
            "signals:\n- {name: a, expr: up, absent: never}\n",
            2,
            "not auto, zero or unknown",
        ),
        (
            "signals:\n- {name: a, expr: up, hold: soon}\n",
            2,
            "write it like 100ms",
        ),
        ("a: [1\n", 2, "not YAML"),
    ] {
        let (config, report) = load(text);
        assert!(config.is_none(), "{text}");
        let fits = |p: &&Problem| {
            p.line.abs_diff(line) <= usize::from(says == "not YAML") && p.message.contains(says)
        };
        assert!(
            report.errors.iter().any(|p| fits(&p)),
            "{text}: {:?}",
            report.errors
        );
    }
}

#[test]
fn an_empty_file_is_a_configuration_without_jobs() {
    for text in ["", "\n", "# nothing\n", "---\n"] {
        let config = good(text).0;
        assert!(
            config.jobs.is_empty() && config.signals.is_empty(),
            "{text:?}"
        );
    }
}

#[test]
fn no_garbage_panics_or_loops() {
    let seeds = [
        "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: ['a:1']\n",
        "a: &x {b: *x}\n<<: [1, 2]\n",
        "[[[[[[{{{{{{\"\\\u{0}\t%@`!!map &a *a",
        "signals:\n- {name: \u{fffd}, expr: |\n    x}\n",
    ];
    // A small generator with a fixed seed: the test is the same on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for round in 0..4000 {
        let mut chars: Vec<char> = seeds[round % seeds.len()].chars().collect();
        for _ in 0..=next(6) {
            let at = next(chars.len());
            match next(3) {
                0 => drop(chars.remove(at)),
                1 => chars.insert(
                    at,
                    ['{', '[', ':', '-', '*', '&', '\n', '\'', ' ', '|'][next(10)],
                ),
                _ => {
                    let last = chars.len() - 1;
                    chars.swap(at, (at + 1).min(last));
                }
            }
            if chars.is_empty() {
                chars.push('a');
            }
        }
        let text: String = chars.into_iter().collect();
        let _ = load(&text);
    }
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
