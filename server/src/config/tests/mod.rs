//! The configuration as a whole: what parses, what is refused, and what the complaint says.

mod errors;

use std::path::Path;

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
    assert!(job.honor_labels && !job.honor_timestamps && !job.http.follow_redirects);
    assert_eq!(
        (
            job.compression,
            job.limits.body_bytes_max,
            job.limits.samples_max
        ),
        (Some(false), 1 << 20, 7)
    );
    let Discovery::Static(group) = &job.discovery[0] else {
        panic!("{:?}", job.discovery);
    };
    assert_eq!(group.targets, ["10.0.0.7:9090", "[::1]:9090"]);
    assert_eq!(group.labels.get("pool"), Some("p"));
    assert_eq!((job.relabel.len(), job.metric_relabel.len()), (1, 1));
    let defaults = &config.jobs[1];
    assert_eq!((defaults.interval_ms, defaults.timeout_ms), (100, 1000));
    assert_eq!(defaults.limits.body_bytes_max, BODY_BYTES_MAX_DEFAULT);
    assert!(!defaults.honor_labels && defaults.honor_timestamps && defaults.http.follow_redirects);
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
        (
            "\nalerting: {alertmanagers: [{sigv4: {region: x}}]}\n",
            2,
            "no alerts are sent to this alertmanager",
        ),
        (
            "alerting:\n  alertmanagers: [{consul_sd_configs: [{server: x}]}]\n",
            2,
            "alertmanagers of consul_sd_configs",
        ),
        (
            "global:\n  query_log_file: q\n",
            2,
            "queries are not logged",
        ),
        (
            "remote_write: [{url: x}]\n",
            1,
            "no samples are sent to this remote_write",
        ),
        (
            "scrape_configs:\n- job_name: a\n  ec2_sd_configs: [{region: x}]\n",
            3,
            "job \"a\" is not scraped: ec2_sd_configs is not built; use kubernetes_sd_configs",
        ),
        (
            "scrape_configs:\n- job_name: a\n  static_configs: [{targets: ['a:1']}]\n  consul_sd_configs: [{}]\n",
            4,
            "scraped without the targets of consul_sd_configs",
        ),
        (
            "scrape_configs:\n- job_name: a\n  proxy_url: socks5://p\n",
            3,
            "only proxies at http:// are built",
        ),
        (
            "scrape_configs:\n- job_name: a\n  scrape_interval: 5ms\n",
            2,
            "5ms is read as 10ms, the shortest",
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

/// A table of what Prometheus 3.14 reads without an error, and of which nothing may be refused here either.
#[test]
fn whatever_prometheus_reads_is_read() {
    for text in [
        "global: {scrape_interval: 0s, scrape_timeout: 0s, evaluation_interval: 0s}\n",
        "global: {external_labels: {a: b}, rule_query_offset: 1s, query_log_file: x}\n",
        "scrape_configs: [{job_name: a, scrape_interval: 0s, scrape_timeout: 0s}]\n",
        "scrape_configs: [{job_name: a, scheme: HTTP}, {job_name: b, scheme: https}]\n",
        "scrape_configs: [{job_name: a, fallback_scrape_protocol: PrometheusText0.0.4}]\n",
        "scrape_configs: [{job_name: a, fallback_scrape_protocol: OpenMetricsText1.0.0}]\n",
        "scrape_configs: [{job_name: a, scrape_native_histograms: true, extra_scrape_metrics: true}]\n",
        "scrape_configs: [{job_name: a, metric_name_validation_scheme: legacy}]\n",
        "scrape_configs: [{job_name: a, metric_name_escaping_scheme: underscores}]\n",
        "scrape_configs: [{job_name: a, metrics_path: '/a b'}]\n",
        "scrape_configs: [{job_name: a, tls_config: {insecure_skip_verify: true, min_version: TLS10}}]\n",
        "scrape_configs: [{job_name: a, authorization: {credentials_file: x}, enable_http2: false}]\n",
        "scrape_configs: [{job_name: a, basic_auth: {username_file: u, password_file: p}}]\n",
        "scrape_configs: [{job_name: a, http_headers: {X-A: {values: [b], secrets: [c], files: [d]}}}]\n",
        "scrape_configs: [{job_name: a, oauth2: {client_id: i, client_secret: s, token_url: 'http://t'}}]\n",
        "scrape_configs: [{job_name: a, proxy_url: 'http://p:1', no_proxy: x, proxy_connect_header: {A: [b]}}]\n",
        "scrape_configs: [{job_name: a, proxy_from_environment: true}]\n",
        "scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: endpointslice, namespaces: {own_namespace: true}}]}]\n",
        "scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, selectors: [{role: pod, label: x=y}, {role: node, field: a=b}], attach_metadata: {node: true, deployment: true}}]}]\n",
        "scrape_configs: [{job_name: a, dns_sd_configs: [{names: [_x._tcp.y]}]}]\n",
        "scrape_configs: [{job_name: a, file_sd_configs: [{files: ['x/*.yml', y.json]}]}]\n",
        "scrape_configs: [{job_name: a, http_sd_configs: [{url: 'https://x/y', basic_auth: {username: u}}]}]\n",
        "scrape_configs: [{job_name: a, stackit_sd_configs: [{project: x}], outscale_sd_configs: [{access_key: k, secret_key: s}]}]\n",
        "scrape_config_files: [none/*.yml]\nrule_files: [none/*.yml]\n",
        "alerting: {alert_relabel_configs: [{action: labeldrop, regex: x}], alertmanagers: [{api_version: v2, static_configs: [{targets: [a]}]}]}\n",
        "remote_write: [{url: 'http://x', queue_config: {capacity: 1}, metadata_config: {send: false}, sigv4: {region: x}}]\n",
        "remote_read: [{url: 'http://x', read_recent: true, required_matchers: {a: b}}]\n",
        "storage: {tsdb: {out_of_order_time_window: 30m, retention: {time: 1d, size: 1GB, percentage: 80}}, exemplars: {max_exemplars: 1}}\n",
        "tracing: {endpoint: x, client_type: grpc, sampling_fraction: 0.1, headers: {a: b}}\n",
        "otlp: {promote_resource_attributes: [a], translation_strategy: NoTranslation}\n",
        "runtime: {gogc: 50}\n",
        "global:\nscrape_configs:\nalerting:\nstorage:\n",
    ] {
        good(text);
    }
}

/// What is carried from other servers is named as theirs, with what does the same here.
#[test]
fn words_of_other_servers_are_named_with_what_does_the_same() {
    let job = |key: &str| format!("scrape_configs: [{{job_name: a, {key}}}]\n");
    let rule = |keys: &str| job(&format!("metric_relabel_configs: [{{{keys}}}]"));
    #[rustfmt::skip]
    let cases = [
        (rule("action: keep_if_equal, source_labels: [a, b]"), "\"keep_if_equal\" is no action; it is one of VictoriaMetrics (vmagent), here: `keepequal`"),
        (rule("action: replace_all, source_labels: [a]"), "here: `replace`, once for each"),
        (rule("action: labelmap_all"), "here: `labelmap`"),
        (rule("action: keep_metrics, regex: a"), "`keep` with source_labels: [__name__]"),
        (rule("action: graphite, match: 'a.*'"), "one of VictoriaMetrics"),
        (rule("if: '{a=\"b\"}', action: drop"), "unknown key if in a relabel rule; it is one of VictoriaMetrics"),
        (job("stream_parse: true"), "large pages are always taken in steps"),
        (job("max_scrape_size: 1MB"), "here: body_size_limit"),
        ("metrics: {wal_directory: x}\n".to_owned(), "it is one of Grafana Agent, here: what stands in metrics.configs[]"),
        ("ruler: {}\n".to_owned(), "one of Mimir and Cortex"),
        ("server: {}\n".to_owned(), "one of Grafana Agent and promtail (Loki)"),
        ("clients: [{url: x}]\n".to_owned(), "unknown key clients in the configuration; it is one of promtail (Loki), which reads logs"),
        (job("pipeline_stages: []"), "one of promtail (Loki)"),
        // A slip of the finger is one.
        (rule("action: keep_equal"), "did you mean keepequal?"),
        // What is near to nothing is told what there is.
        (rule("action: replace-with-error"), "\"replace-with-error\" is no action; there are replace, keep, drop"),
        (rule("colour: red"), "unknown key colour in a relabel rule; there are "),
        (job("in_cluster: true"), "unknown key in_cluster in"),
        ("global: {global: {}}\n".to_owned(), "unknown key global in global; it is global already: leave this level out"),
    ];
    for (text, says) in cases {
        let (_, report) = load(&text);
        let message = &report.errors.first().expect(&text).message;
        assert!(message.contains(says), "{text}: {message}");
    }
}

#[test]
fn zero_is_as_good_as_nothing() {
    let (config, _) = good(
        "global: {scrape_interval: 0s, scrape_timeout: 0s}\nscrape_configs: [{job_name: a, scrape_interval: 0s, scrape_timeout: 0s}]\n",
    );
    let job = &config.jobs[0];
    assert_eq!((job.interval_ms, job.timeout_ms), (60_000, 10_000));
}

#[test]
fn names_are_asked_for_as_they_are() {
    let accept = |keys: &str| {
        let text = format!("scrape_configs: [{{job_name: a{keys}}}]\n");
        good(&text).0.jobs[0].accept.clone()
    };
    assert_eq!(
        accept(""),
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
         application/openmetrics-text;version=0.0.1;q=0.5,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    );
    assert_eq!(
        accept(", scrape_protocols: [PrometheusText0.0.4]"),
        "text/plain;version=0.0.4;q=0.6,*/*;q=0.5"
    );
    assert!(accept(", metric_name_escaping_scheme: dots").contains("escaping=dots;"));
    // A job that takes old names alone does not ask for the others.
    assert!(accept(", metric_name_validation_scheme: legacy").contains("escaping=underscores;"));
    for text in [
        "global: {metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8}\nscrape_configs: [{job_name: a}]\n",
        "scrape_configs: [{job_name: a, metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8}]\n",
    ] {
        let errors = load(text).1.errors;
        assert!(
            errors[0]
                .message
                .contains("validation scheme is not set to UTF8"),
            "{errors:?}"
        );
    }
    let native = accept(", scrape_native_histograms: true");
    assert!(
        native.starts_with("application/vnd.google.protobuf;proto="),
        "{native}"
    );
}

#[test]
fn jobs_stand_in_files_of_their_own_too() {
    let folder =
        std::env::temp_dir().join(format!("stillwell-scrape-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let file = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("writable");
    file(
        "one.yml",
        "scrape_configs: [{job_name: one, bearer_token_file: t}]\n",
    );
    file("two.yml", "scrape_configs: [{job_name: two}]\n");
    let text = "scrape_config_files: ['*.yml']\nglobal: {scrape_interval: 5s}\n";
    let (config, report) = load_with_files(text, &folder);
    let config = config.unwrap_or_else(|| panic!("{:?}", report.errors));
    let names: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(
        (names, config.jobs[0].interval_ms),
        (vec!["one", "two"], 5_000)
    );
    let Credentials::Authorization(bearer) = config.jobs[0].http.credentials() else {
        panic!("{:?}", config.jobs[0].http);
    };
    assert_eq!(
        bearer.credentials,
        Some(SecretSource::File(folder.join("t")))
    );
    file("two.yml", "scrape_configs: [{job_name: one}]\n");
    file("bad.yml", "global: {}\n");
    let (_, report) = load_with_files(text, &folder);
    let errors = report.errors.iter().map(ToString::to_string);
    let errors = errors.collect::<Vec<_>>().join("\n");
    assert!(
        errors.contains("two.yml: a second scrape_config with job_name \"one\""),
        "{errors}"
    );
    assert!(
        errors.contains("bad.yml: line 1: unknown key global"),
        "{errors}"
    );
    std::fs::remove_dir_all(&folder).ok();
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
