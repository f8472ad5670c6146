//! What is known from Prometheus and other servers: it is read, or the complaint names its consequence and what does the same
//! here.

use super::*;

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
