//! The keys of every mapping: Prometheus 3.5's, sorted by what becomes of them here, and our own.

use super::report::Table;

const NO_SD: &str = "service discovery is not built yet; list the targets in static_configs";
const NO_AUTH: &str =
    "credentials are not built yet, and without them the scrape would fail; remove the key";
const NO_TLS: &str = "TLS options are not built yet; scrape over http";
const NO_PROXY: &str = "proxies are not built yet; the target must be reachable directly";
const NO_NATIVE: &str = "native histograms are not scraped yet";
const UTF8_NAMES: &str = "every UTF-8 name is taken, as Prometheus 3 does by default";

pub(super) const TOP: Table = Table {
    read: &[
        "global",
        "scrape_configs",
        "rule_files",
        "signals",
        "signal_names",
        "external_metrics",
        "monitors",
        "inference_pools",
    ],
    ignored: &[
        ("runtime", "there is no garbage collector to tune"),
        (
            "alerting",
            "no alerts are sent; keep an alerting Prometheus beside this",
        ),
        (
            "scrape_config_files",
            "their jobs are not scraped; write the jobs into this file",
        ),
        (
            "storage",
            "history is in memory, bounded by --storage.retention.time",
        ),
        ("tracing", "no traces are sent"),
        ("remote_write", "nothing is sent on"),
        ("remote_read", "only what was scraped here is answered"),
        ("otlp", "OTLP is not received"),
    ],
    refused: &[],
};

pub(super) const GLOBAL: Table = Table {
    read: &[
        "scrape_interval",
        "scrape_timeout",
        "scrape_protocols",
        "body_size_limit",
        "sample_limit",
        "target_limit",
        "label_limit",
        "label_name_length_limit",
        "label_value_length_limit",
        "keep_dropped_targets",
    ],
    ignored: &[
        ("evaluation_interval", "rules are not evaluated yet"),
        ("rule_query_offset", "rules are not evaluated yet"),
        ("query_log_file", "queries are not logged"),
        (
            "scrape_failure_log_file",
            "failed scrapes are in the ordinary log",
        ),
        ("external_labels", "nothing is sent to other systems"),
        ("metric_name_validation_scheme", UTF8_NAMES),
        ("metric_name_escaping_scheme", UTF8_NAMES),
        ("convert_classic_histograms_to_nhcb", NO_NATIVE),
        ("always_scrape_classic_histograms", NO_NATIVE),
        ("scrape_native_histograms", NO_NATIVE),
        ("extra_scrape_metrics", "the extra series are not written"),
    ],
    refused: &[],
};

pub(super) const SCRAPE: Table = Table {
    read: &[
        "job_name",
        "honor_labels",
        "honor_timestamps",
        "params",
        "scrape_interval",
        "scrape_timeout",
        "scrape_protocols",
        "metrics_path",
        "scheme",
        "enable_compression",
        "body_size_limit",
        "sample_limit",
        "target_limit",
        "label_limit",
        "label_name_length_limit",
        "label_value_length_limit",
        "keep_dropped_targets",
        "follow_redirects",
        "relabel_configs",
        "metric_relabel_configs",
        "static_configs",
        "retain",
    ],
    ignored: &[
        (
            "track_timestamps_staleness",
            "a series with timestamps of its own ends by the lookback",
        ),
        (
            "scrape_fallback_protocol",
            "a page of unknown type is read as text",
        ),
        (
            "scrape_failure_log_file",
            "failed scrapes are in the ordinary log",
        ),
        ("always_scrape_classic_histograms", NO_NATIVE),
        ("convert_classic_histograms_to_nhcb", NO_NATIVE),
        ("scrape_native_histograms", NO_NATIVE),
        ("native_histogram_bucket_limit", NO_NATIVE),
        ("native_histogram_min_bucket_factor", NO_NATIVE),
        ("metric_name_validation_scheme", UTF8_NAMES),
        ("metric_name_escaping_scheme", UTF8_NAMES),
        ("extra_scrape_metrics", "the extra series are not written"),
        ("enable_http2", "targets are scraped by HTTP/1.1"),
    ],
    refused: &[
        ("basic_auth", NO_AUTH),
        ("authorization", NO_AUTH),
        ("oauth2", NO_AUTH),
        ("bearer_token", NO_AUTH),
        ("bearer_token_file", NO_AUTH),
        ("http_headers", NO_AUTH),
        ("tls_config", NO_TLS),
        ("proxy_url", NO_PROXY),
        ("no_proxy", NO_PROXY),
        ("proxy_from_environment", NO_PROXY),
        ("proxy_connect_header", NO_PROXY),
        ("azure_sd_configs", NO_SD),
        ("consul_sd_configs", NO_SD),
        ("digitalocean_sd_configs", NO_SD),
        ("dns_sd_configs", NO_SD),
        ("docker_sd_configs", NO_SD),
        ("dockerswarm_sd_configs", NO_SD),
        ("ec2_sd_configs", NO_SD),
        ("eureka_sd_configs", NO_SD),
        ("file_sd_configs", NO_SD),
        ("gce_sd_configs", NO_SD),
        ("hetzner_sd_configs", NO_SD),
        ("http_sd_configs", NO_SD),
        ("ionos_sd_configs", NO_SD),
        ("kubernetes_sd_configs", NO_SD),
        ("kuma_sd_configs", NO_SD),
        ("lightsail_sd_configs", NO_SD),
        ("linode_sd_configs", NO_SD),
        ("marathon_sd_configs", NO_SD),
        ("nerve_sd_configs", NO_SD),
        ("nomad_sd_configs", NO_SD),
        ("openstack_sd_configs", NO_SD),
        ("ovhcloud_sd_configs", NO_SD),
        ("puppetdb_sd_configs", NO_SD),
        ("scaleway_sd_configs", NO_SD),
        ("serverset_sd_configs", NO_SD),
        ("stackit_sd_configs", NO_SD),
        ("triton_sd_configs", NO_SD),
        ("uyuni_sd_configs", NO_SD),
        ("vultr_sd_configs", NO_SD),
    ],
};

pub(super) const STATIC: Table = Table {
    read: &["targets", "labels"],
    ignored: &[],
    refused: &[],
};

pub(super) const RELABEL: Table = Table {
    read: &[
        "source_labels",
        "separator",
        "regex",
        "modulus",
        "target_label",
        "replacement",
        "action",
    ],
    ignored: &[],
    refused: &[],
};

pub(super) const SIGNAL: Table = Table {
    read: &[
        "name",
        "expr",
        "jobs",
        "absent",
        "nan",
        "hold",
        "restart_grace",
        "namespaces",
        "labels",
    ],
    ignored: &[],
    refused: &[],
};

pub(super) const NAMES: Table = Table {
    read: &["demand", "witnesses"],
    ignored: &[],
    refused: &[],
};

pub(super) const WITNESS: Table = Table {
    read: &["family", "witness"],
    ignored: &[],
    refused: &[],
};

pub(super) const EXTERNAL: Table = Table {
    read: &["api_groups", "custom_api_groups", "insecure", "rules_files"],
    ignored: &[],
    refused: &[],
};
