//! Keys and actions of other servers' files that are written as Prometheus', with what does the same here: jobs and rules are carried
//! from vmagent, Thanos, Mimir and Grafana Agent, and "unknown key" says nothing of where one is from.

/// One word of another server.
struct Row {
    words: &'static [&'static str],
    of: &'static str,
    /// What to write for it.
    instead: &'static str,
}

const VICTORIA_METRICS: &str = "VictoriaMetrics (vmagent)";
const VMALERT: &str = "VictoriaMetrics (vmalert)";
const GRAFANA_AGENT: &str = "Grafana Agent";
const PROMTAIL: &str = "promtail (Loki), which reads logs";
const THANOS: &str = "Thanos";
const MIMIR: &str = "Mimir and Cortex";

/// Actions of relabel rules.
static ACTIONS: &[Row] = &[
    Row {
        words: &["keep_if_equal"],
        of: VICTORIA_METRICS,
        instead: "`keepequal`, with one of the labels in target_label",
    },
    Row {
        words: &["drop_if_equal"],
        of: VICTORIA_METRICS,
        instead: "`dropequal`, with one of the labels in target_label",
    },
    Row {
        words: &["keep_if_contains"],
        of: VICTORIA_METRICS,
        instead: "`keep` with a regex over source_labels that are joined",
    },
    Row {
        words: &["drop_if_contains"],
        of: VICTORIA_METRICS,
        instead: "`drop` with a regex over source_labels that are joined",
    },
    Row {
        words: &["keep_metrics"],
        of: VICTORIA_METRICS,
        instead: "`keep` with source_labels: [__name__]",
    },
    Row {
        words: &["drop_metrics"],
        of: VICTORIA_METRICS,
        instead: "`drop` with source_labels: [__name__]",
    },
    Row {
        words: &["replace_all"],
        of: VICTORIA_METRICS,
        instead: "`replace`, once for each occurrence, with a regex such as (.*)-(.*) and replacement: ${1}_${2}",
    },
    Row {
        words: &["labelmap_all"],
        of: VICTORIA_METRICS,
        instead: "`labelmap`, whose regex fits a whole name, such as (.*)-(.*) with replacement: ${1}_${2}",
    },
    Row {
        words: &["graphite"],
        of: VICTORIA_METRICS,
        instead: "`replace` with a regex over source_labels: [__name__] for each label",
    },
];

/// Keys of mappings, whichever they stand in.
static KEYS: &[Row] = &[
    Row {
        words: &["if"],
        of: VICTORIA_METRICS,
        instead: "a regex over source_labels; for a condition beside the rule's own, one rule that writes a `__tmp_` label and \
                  one that reads it",
    },
    Row {
        words: &["match", "labels", "relabel_debug", "metric_relabel_debug"],
        of: VICTORIA_METRICS,
        instead: "a regex over source_labels, a target_label and a replacement",
    },
    Row {
        words: &["stream_parse"],
        of: VICTORIA_METRICS,
        instead: "no key: large pages are always taken in steps",
    },
    Row {
        words: &["max_scrape_size"],
        of: VICTORIA_METRICS,
        instead: "body_size_limit",
    },
    Row {
        words: &["series_limit"],
        of: VICTORIA_METRICS,
        instead: "sample_limit, which counts the samples of one page",
    },
    Row {
        words: &["scrape_align_interval", "scrape_offset"],
        of: VICTORIA_METRICS,
        instead: "no key: targets are spread over the interval",
    },
    Row {
        words: &["no_stale_markers"],
        of: VICTORIA_METRICS,
        instead: "no key: a series that leaves its page ends there",
    },
    Row {
        words: &["disable_compression"],
        of: VICTORIA_METRICS,
        instead: "enable_compression: false",
    },
    Row {
        words: &[
            "disable_keepalive",
            "proxy_headers",
            "proxy_basic_auth",
            "proxy_bearer_token_file",
        ],
        of: VICTORIA_METRICS,
        instead: "no key for disable_keepalive; proxy_connect_header for what a proxy is told",
    },
    Row {
        words: &["headers"],
        of: "VictoriaMetrics, and of remote_write in Prometheus",
        instead: "http_headers: {NAME: {values: [VALUE]}}",
    },
    Row {
        words: &[
            "eval_offset",
            "eval_delay",
            "eval_alignment",
            "concurrency",
            "notifier_headers",
            "update_entries_limit",
            "debug",
        ],
        of: VMALERT,
        instead: "query_offset for a delay; the others have nothing",
    },
    Row {
        words: &["partial_response_strategy"],
        of: THANOS,
        instead: "no key: a rule reads the samples of this process alone",
    },
    Row {
        words: &[
            "objstore",
            "objstore_config",
            "grpc_address",
            "http_address",
        ],
        of: THANOS,
        instead: "remote_write to a receiver, for history beyond memory",
    },
    Row {
        words: &[
            "source_tenants",
            "evaluation_delay",
            "align_evaluation_time_on_interval",
            "namespace_and_groups",
        ],
        of: MIMIR,
        instead: "query_offset for a delay; there are no tenants",
    },
    Row {
        words: &[
            "limits",
            "ruler",
            "ingester",
            "distributor",
            "blocks_storage",
            "multitenancy_enabled",
        ],
        of: MIMIR,
        instead: "a Prometheus configuration; Mimir takes samples by remote_write",
    },
    Row {
        words: &["metrics", "integrations", "logs", "traces"],
        of: GRAFANA_AGENT,
        instead: "what stands in metrics.configs[]: scrape_configs and remote_write, at the top of the file",
    },
    Row {
        words: &["server"],
        of: "Grafana Agent and promtail (Loki)",
        instead: "of the Agent what stands in metrics.configs[]: scrape_configs and remote_write; promtail reads logs, and has \
                  nothing here",
    },
    Row {
        words: &[
            "clients",
            "positions",
            "target_config",
            "limits_config",
            "pipeline_stages",
            "loki_push_api",
            "journal",
            "syslog",
        ],
        of: PROMTAIL,
        instead: "a Prometheus configuration, whose targets serve metrics",
    },
    Row {
        words: &[
            "wal_directory",
            "wal_truncate_frequency",
            "host_filter",
            "remote_flush_deadline",
        ],
        of: GRAFANA_AGENT,
        instead: "no key: history is in memory",
    },
];

/// What does the same as an action of another server, as the end of an error; `None` where none has it.
pub(crate) fn action(name: &str) -> Option<String> {
    find(ACTIONS, name)
}

/// The same of a key that is known nowhere here.
pub(crate) fn key(name: &str) -> Option<String> {
    find(KEYS, name)
}

fn find(rows: &[Row], word: &str) -> Option<String> {
    let row = rows.iter().find(|row| row.words.contains(&word))?;
    Some(format!("; it is one of {}, here: {}", row.of, row.instead))
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels::RelabelAction;

    use super::*;

    #[test]
    fn no_word_is_known_here_or_twice_in_the_table() {
        for rows in [ACTIONS, KEYS] {
            let mut words: Vec<&str> = rows.iter().flat_map(|row| row.words).copied().collect();
            let all = words.len();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), all);
        }
        let actions = ACTIONS.iter().flat_map(|row| row.words);
        for action in actions {
            assert!(RelabelAction::from_name(action).is_none(), "{action}");
        }
    }
}
