//! The flags of the server, and Prometheus' flags that do nothing here, so that existing container arguments carry over.

/// Flags of Prometheus without effect here: name, whether it takes a value, and what follows from that.
pub(super) const IGNORED: [(&str, bool, &str); 29] = [
    ("agent", false, "there is no agent mode"),
    ("auto-gomaxprocs", false, "there is no Go runtime"),
    ("auto-gomemlimit", false, "there is no Go runtime"),
    ("auto-gomemlimit.ratio", true, "there is no Go runtime"),
    (
        "rules.max-concurrent-evals",
        true,
        "groups are evaluated one after another",
    ),
    (
        "scrape.adjust-timestamps",
        false,
        "timestamps are always aligned to the tick",
    ),
    (
        "scrape.timestamp-tolerance",
        true,
        "timestamps are always aligned to the tick",
    ),
    (
        "scrape.name-escaping-scheme",
        true,
        "every UTF-8 name is taken",
    ),
    (
        "scrape.discovery-reload-interval",
        true,
        "changes are taken at once",
    ),
    ("storage.agent.path", true, "there is no agent mode"),
    (
        "storage.agent.retention.max-time",
        true,
        "there is no agent mode",
    ),
    (
        "storage.agent.wal-compression",
        false,
        "there is no agent mode",
    ),
    (
        "storage.remote.flush-deadline",
        true,
        "what is left is sent for 5 s at the end, and after a restart with --storage.path",
    ),
    (
        "storage.remote.read-concurrent-limit",
        true,
        "set --query.max-concurrency",
    ),
    (
        "storage.remote.read-max-bytes-in-frame",
        true,
        "frames are 1 MiB, Prometheus' default",
    ),
    (
        "storage.remote.read-sample-limit",
        true,
        "an answer may hold what a query may",
    ),
    ("storage.tsdb.path", true, "samples are kept in memory"),
    (
        "storage.tsdb.retention",
        true,
        "set --storage.retention.time",
    ),
    (
        "storage.tsdb.retention.time",
        true,
        "set --storage.retention.time",
    ),
    (
        "storage.tsdb.retention.size",
        true,
        "set --storage.memory.max",
    ),
    (
        "storage.tsdb.allow-overlapping-blocks",
        false,
        "samples are kept in memory",
    ),
    (
        "storage.tsdb.no-lockfile",
        false,
        "samples are kept in memory",
    ),
    (
        "storage.tsdb.wal-compression",
        false,
        "samples are kept in memory",
    ),
    ("web.console.libraries", true, "there are no consoles"),
    ("web.console.templates", true, "there are no consoles"),
    ("web.cors.origin", true, "every origin may read"),
    ("web.enable-admin-api", false, "there is no admin API"),
    ("web.page-title", true, "the page has its own name"),
    ("web.read-timeout", true, "idle connections are kept"),
];

/// Our own flags without effect yet.
pub(super) const LATER: [(&str, bool, &str); 2] = [
    (
        "web.max-connections",
        true,
        "512 connections are served at a time",
    ),
    ("web.use-local-assets", false, "assets are in the binary"),
];
