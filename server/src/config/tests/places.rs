//! A configuration is the same wherever it stands in its file: a reload compares the one before with the one after.

use super::*;

/// Something of every section, a key a line where keys can be so.
const EVERYTHING: &str = r#"
global:
  scrape_interval: 5s
  external_labels:
    cluster: c
  body_size_limit: 1MB
scrape_config_files:
- jobs.yml
rule_files:
- rules.yml
scrape_configs:
- job_name: basic
  params:
    a:
    - b
  basic_auth:
    username: u
    password_file: p
  tls_config:
    ca_file: ca.pem
    server_name: s
  http_headers:
    X-One:
      values:
      - v
  proxy_url: http://proxy:1
  no_proxy: a
  proxy_connect_header:
    X-Two:
    - w
  static_configs:
  - targets:
    - a:1
    labels:
      zone: a
  - targets:
    - b:1
  file_sd_configs:
  - files:
    - targets.yml
    refresh_interval: 1m
  dns_sd_configs:
  - names:
    - example.org
    type: A
    port: 1
  http_sd_configs:
  - url: http://list/
    authorization:
      type: Bearer
      credentials: secret
  kubernetes_sd_configs:
  - role: pod
    api_server: http://cluster
    bearer_token_file: token
    namespaces:
      names:
      - a
    selectors:
    - role: pod
      label: a=b
  - role: endpoints
    kubeconfig_file: config
  relabel_configs:
  - source_labels:
    - a
    regex: (.*)
    target_label: b
    replacement: $1
  metric_relabel_configs:
  - regex: x
    action: labeldrop
- job_name: bearer
  bearer_token: t
  scrape_interval_max: 1m
  sample_limit: 3
  native_histogram_bucket_limit: 3
- job_name: oauth2
  follow_redirects: false
  oauth2:
    client_id: i
    client_secret: s
    token_url: http://tokens
    scopes:
    - a
    endpoint_params:
      a: b
    tls_config:
      cert_file: cert.pem
      key_file: key.pem
- job_name: unsupported
  proxy_url: socks5://p
- job_name: missing
  consul_sd_configs:
  - server: x
alerting:
  alert_relabel_configs:
  - target_label: a
    replacement: b
  alertmanagers:
  - path_prefix: /x
    basic_auth:
      username: u
      password: p
    relabel_configs:
    - target_label: a
      replacement: b
    static_configs:
    - targets:
      - alerts:1
remote_write:
- url: http://receiver/
  authorization:
    credentials: c
  headers:
    X-Three: x
  write_relabel_configs:
  - target_label: a
    replacement: b
  queue_config:
    capacity: 7
  metadata_config:
    send: false
- url: http://receiver/second
  write_interval: 1m
  write_extremes:
  - min
senders:
- job_name: sent
  label: pod
  interval: 1s
otlp:
  promote_resource_attributes:
  - a
signals:
- name: one
  expr: sum(a)
  namespaces:
  - n
  labels:
    a: b
  fallback:
    after: 5m
    value: 3
  floor:
  - value: 2
    start: 0 8 * * *
    end: 0 20 * * *
    timezone: UTC
- name: two
  expr: sum(b) by (c)
  for_each:
  - c
signal_names:
  demand:
  - my_queue
external_metrics:
  insecure: true
  api_groups:
  - external.metrics.k8s.io
  rules_files:
  - rules.yml
monitors:
  api_server: http://cluster
  selector: a=b
  namespaces:
  - n
  basic_auth:
    username: u
    password: p
inference_pools:
  api_server: http://cluster
  authorization:
    credentials: c
kube_state:
  all: true
  api_server: http://cluster
  bearer_token: t
events:
  api_server: http://cluster
  authorization:
    credentials: c
"#;

/// A comment above `monitors` or above a job with credentials took all that it had found away.
#[test]
fn what_is_configured_is_the_same_wherever_it_stands() {
    let (before, warnings) = good(EVERYTHING);
    let apart: Vec<String> = EVERYTHING
        .lines()
        .map(|line| format!("# a comment\n\n{line}\n"))
        .collect();
    let (after, shifted) = good(&apart.concat());
    assert_eq!(warnings.len(), shifted.len());
    let unsupported = |config: &Config| {
        let mut jobs = config.jobs.iter();
        let found = jobs.find_map(|job| job.http.unsupported.clone());
        found.map(|(_, line)| line.0).expect("there is one")
    };
    assert!(unsupported(&after) > 2 * unsupported(&before));
    let none = Config::default();
    macro_rules! same {
        ($($section:ident),*) => {
            // Without `..`: what is new is compared, too.
            let Config {
                $($section,)* rule_files_line: _, rules: _, object_rules: _, resource_rules: _,
            } = after;
            $(
                assert!(before.$section == $section, stringify!($section));
                assert!(none.$section != $section, "nothing above is of {}", stringify!($section));
            )*
        };
    }
    same!(
        global,
        jobs,
        rule_files,
        alerting,
        remote_writes,
        senders,
        otlp,
        signals,
        signal_names,
        external_metrics,
        monitors,
        kube_state,
        events,
        scrape_files
    );
}
