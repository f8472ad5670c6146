//! Jobs, and what they inherit.

use super::*;

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
fn zero_is_as_good_as_nothing() {
    let (config, _) = good(
        "global: {scrape_interval: 0s, scrape_timeout: 0s}\nscrape_configs: [{job_name: a, scrape_interval: 0s, scrape_timeout: 0s}]\n",
    );
    let job = &config.jobs[0];
    assert_eq!((job.interval_ms, job.timeout_ms), (60_000, 10_000));
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
