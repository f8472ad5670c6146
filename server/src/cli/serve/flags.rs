//! The flags of the server, in the order of its help.

use clap::{Arg, ArgAction, Command};

use super::super::flags::{IGNORED, LATER};
use super::super::{alerts, secure, switch, value};

pub(super) const KEDA_LISTEN: &str = "keda.listen-address";
pub(super) const NOTIFICATION_STREAMS: &str = "web.max-notifications-subscribers";
pub(super) const SHARD_COUNT: &str = "shard.count";
pub(super) const SHARD_INDEX: &str = "shard.index";
pub(super) const OTLP_RECEIVER: &str = "web.enable-otlp-receiver";
pub(super) const SNAPSHOT_INTERVAL: &str = "storage.snapshot-interval";
pub(super) const AUTO_RELOAD: &str = "config.auto-reload-interval";

/// How long samples are kept where nothing else is said.
pub(in crate::cli) const RETENTION_DEFAULT: &str = "1h";

/// One flag: name, name of its value, default, help.
enum Flag {
    Value(
        &'static str,
        &'static str,
        Option<&'static str>,
        &'static str,
    ),
    /// May be given more than once.
    Values(
        &'static str,
        &'static str,
        Option<&'static str>,
        &'static str,
    ),
    Switch(&'static str, &'static str),
}

use Flag::{Switch, Value, Values};

const FLAGS: [Flag; 24] = [
    Value(
        "config.file",
        "FILE",
        Some("stillwell.yml"),
        "The configuration",
    ),
    Value(
        AUTO_RELOAD,
        "DURATION",
        None,
        "Reload when the configuration's files have changed, looked at this often",
    ),
    Values(
        "web.listen-address",
        "ADDRESS",
        Some("0.0.0.0:9090"),
        "Of the plain listener; may be given twice",
    ),
    Switch("web.enable-lifecycle", "Serve /-/reload and /-/quit"),
    Switch(
        "web.enable-remote-write-receiver",
        "Take samples at /api/v1/write",
    ),
    Value(
        SHARD_COUNT,
        "N",
        None,
        "How many processes share the targets; each scrapes its own",
    ),
    Value(
        SHARD_INDEX,
        "N",
        None,
        "Which of them this is, from 0; without it the number at the end of the host's name",
    ),
    Switch(
        OTLP_RECEIVER,
        "Take metrics of OpenTelemetry at /api/v1/otlp/v1/metrics",
    ),
    Value(
        "web.config.file",
        "FILE",
        None,
        "TLS, passwords and headers, in Prometheus' format",
    ),
    Value(
        KEDA_LISTEN,
        "ADDRESS",
        Some("0.0.0.0:9091"),
        "Of KEDA's external scaler (gRPC); empty turns it off",
    ),
    Value(
        "keda.config.file",
        "FILE",
        None,
        "Its TLS, in the format of --web.config.file",
    ),
    Value(
        NOTIFICATION_STREAMS,
        "N",
        Some("16"),
        "Streams of /api/v1/notifications/live at a time",
    ),
    Value("web.route-prefix", "PATH", None, "In front of every route"),
    Values(
        "enable-feature",
        "NAMES",
        None,
        "Features as in Prometheus, comma-separated",
    ),
    Value("query.timeout", "DURATION", Some("2m"), "Longest query"),
    Value(
        "query.max-concurrency",
        "N",
        Some("20"),
        "Queries at a time",
    ),
    Value(
        "query.max-samples",
        "N",
        Some("50000000"),
        "Samples that a query may hold at once",
    ),
    Value(
        "query.lookback-delta",
        "DURATION",
        Some("5m"),
        "How far back an instant selector looks",
    ),
    Value(
        "storage.retention.time",
        "DURATION",
        Some(RETENTION_DEFAULT),
        "How long samples are kept",
    ),
    Value(
        "storage.path",
        "FOLDER",
        None,
        "Of the snapshot, from which a restart goes on; without it a restart begins empty",
    ),
    Value(
        SNAPSHOT_INTERVAL,
        "DURATION",
        Some("30s"),
        "Between two snapshots: what a killed process may lose, and what the disk has to write",
    ),
    Value(
        "storage.memory.max",
        "BYTES",
        None,
        "Memory for samples; 60% of the memory limit where it is left out",
    ),
    Value(
        "log.level",
        "LEVEL",
        Some("info"),
        "debug, info, warn or error",
    ),
    Value("log.format", "FORMAT", Some("logfmt"), "logfmt or json"),
];

pub(in crate::cli) fn command() -> Command {
    let command = Command::new("serve")
        .about("Scrapes, evaluates and serves (the default)")
        .args(FLAGS.iter().map(Flag::arg))
        .args(alerts::flags())
        .args(secure::flags());
    let without_effect = IGNORED.iter().chain(&LATER);
    command.args(without_effect.flat_map(|(name, takes_value, _)| hidden(name, *takes_value)))
}

impl Flag {
    fn arg(&self) -> Arg {
        let (arg, default) = match *self {
            Switch(name, help) => (switch(name).help(help), None),
            Value(name, what, default, help) => (value(name, what, help), default),
            Values(name, what, default, help) => {
                let arg = value(name, what, help).action(ArgAction::Append);
                (arg, default)
            }
        };
        match default {
            None => arg,
            Some(default) => arg.default_value(default),
        }
    }
}

/// A flag that is taken and not shown; Prometheus' parser gives every switch its opposite.
fn hidden(name: &'static str, takes_value: bool) -> Vec<Arg> {
    if takes_value {
        let arg = Arg::new(name).long(name).action(ArgAction::Append);
        return vec![arg.hide(true)];
    }
    // Once per process and flag: clap keeps names for ever.
    let opposite: &'static str = Box::leak(format!("no-{name}").into_boxed_str());
    vec![switch(name).hide(true), switch(opposite).hide(true)]
}

/// What `--enable-feature` may name (Prometheus cmd/prometheus/main.go, and what was a feature once).
pub(super) const FEATURES: &[&str] = &[
    "agent",
    "auto-gomaxprocs",
    "auto-gomemlimit",
    "auto-reload-config",
    "concurrent-rule-eval",
    "created-timestamp-zero-ingestion",
    "delayed-compaction",
    "exemplar-storage",
    "expand-external-labels",
    "extra-scrape-metrics",
    "fast-startup",
    "histograms-st-encoding",
    "memory-snapshot-on-shutdown",
    "metadata-wal-records",
    "native-histograms",
    "new-service-discovery-manager",
    "no-default-scrape-port",
    "old-ui",
    "ooo-native-histograms",
    "otlp-deltatocumulative",
    "otlp-native-delta-ingestion",
    "otlp-write-receiver",
    "promql-at-modifier",
    "promql-binop-fill-modifiers",
    "promql-delayed-name-removal",
    "promql-duration-expr",
    "promql-experimental-functions",
    "promql-extended-range-selectors",
    "promql-negative-offset",
    "promql-per-step-stats",
    "remote-write-receiver",
    "search-api",
    "st-storage",
    "st-synthesis",
    "type-and-unit-labels",
    "use-start-timestamps",
    "use-uncached-io",
    "utf8-names",
    "xor2-encoding",
];

/// Those of them that change nothing here, though they would in Prometheus, and what follows from that.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "agent",
        "samples are kept and queried as without it; `remote_write` sends them on",
    ),
    (
        "created-timestamp-zero-ingestion",
        "no zero is stored for the time when a counter was created, so `increase` counts from its first sample",
    ),
    (
        "extra-scrape-metrics",
        "write `extra_scrape_metrics: true` under `global` or in a job",
    ),
    (
        "memory-snapshot-on-shutdown",
        "give --storage.path: what is in memory is written there while the server runs and when it stops",
    ),
    ("st-storage", "start timestamps of samples are not stored"),
    ("st-synthesis", "start timestamps of samples are not stored"),
    (
        "type-and-unit-labels",
        "series get no labels `__type__` and `__unit__`; /api/v1/metadata tells types and units",
    ),
];
