//! What is refused, with its place, its value and what to do.

use super::*;

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
        (
            "scrape_configs:\n- job_name: a\n  scheme: ftp\n",
            3,
            "neither http nor https",
        ),
        (
            "scrape_configs:\n- job_name: a\n  scrape_protocols: []\n",
            3,
            "cannot be empty",
        ),
        (
            "scrape_configs:\n- job_name: a\n  fallback_scrape_protocol: text\n",
            3,
            "is not one of PrometheusProto",
        ),
        (
            "scrape_configs:\n- job_name: a\n  bearer_token: x\n  basic_auth: {username: u}\n",
            4,
            "exclude one another",
        ),
        (
            "scrape_configs:\n- job_name: a\n  authorization: {type: Basic, credentials: x}\n",
            3,
            "use basic_auth",
        ),
        (
            "scrape_configs:\n- job_name: a\n  tls_config: {cert_file: x}\n",
            3,
            "needs cert (or cert_file) and key",
        ),
        (
            "scrape_configs:\n- job_name: a\n  tls_config: {ca: x, ca_file: y}\n",
            3,
            "ca and ca_file exclude one another",
        ),
        (
            "scrape_configs:\n- job_name: a\n  oauth2: {client_id: x}\n",
            3,
            "needs a token_url",
        ),
        (
            "scrape_configs:\n- job_name: a\n  http_headers: {Host: {values: [x]}}\n",
            3,
            "cannot be given",
        ),
        (
            "scrape_configs:\n- job_name: a\n  no_proxy: x\n",
            3,
            "needs a proxy_url",
        ),
        (
            "scrape_configs:\n- job_name: a\n  file_sd_configs: [{files: [x.txt]}]\n",
            3,
            "must end in .json, .yml or .yaml",
        ),
        (
            "scrape_configs:\n- job_name: a\n  http_sd_configs: [{url: x}]\n",
            3,
            "needs a url",
        ),
        (
            "scrape_configs:\n- job_name: a\n  dns_sd_configs: [{names: [x], type: A}]\n",
            3,
            "needs a port",
        ),
        (
            "scrape_configs:\n- job_name: a\n  kubernetes_sd_configs: [{namespaces: {names: [x]}}]\n",
            3,
            "needs a role",
        ),
        (
            "scrape_configs:\n- job_name: a\n  kubernetes_sd_configs: [{role: pods}]\n",
            3,
            "is not one of node, pod, service",
        ),
        (
            "scrape_configs:\n- job_name: a\n  kubernetes_sd_configs: [{role: pod, bearer_token: x}]\n",
            3,
            "need an api_server",
        ),
        (
            "scrape_configs:\n- job_name: a\n  ec2_sd_configs: [{regoin: x}]\n",
            3,
            "did you mean region?",
        ),
        (
            "remote_write: [{url: x, queue_config: {max_shard: 1}}]\n",
            1,
            "did you mean max_shards?",
        ),
        (
            "alerting: {alertmanagers: [{static_config: []}]}\n",
            1,
            "did you mean static_configs?",
        ),
        (
            "alerting: {alertmanagers: [{api_version: v1}]}\n",
            1,
            "write v2",
        ),
        (
            "alerting: {alertmanagers: [{static_configs: [{targets: ['http://a:1']}]}]}\n",
            1,
            "must be host:port",
        ),
        (
            "storage: {tsdb: {out_of_order_time_window: x}}\n",
            1,
            "is not a duration",
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
