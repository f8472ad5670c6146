//! What the checks allow, each with its reason. These lists only shrink.

/// Imports that are part of a circle.
pub(crate) const CIRCLES: &[(&str, &str)] = &[
    (
        "adapters/src/: host -> kubernetes",
        "types of the Kubernetes API in the trait that the server implements",
    ),
    (
        "adapters/src/: kubernetes -> host",
        "types of the Kubernetes API in the trait that the server implements",
    ),
    (
        "server/src/: cli -> demo",
        "the demonstration runs the command line's server",
    ),
    (
        "server/src/: demo -> cli",
        "the demonstration runs the command line's server",
    ),
    (
        "server/src/: config -> rules",
        "rules files are part of the configuration and read with its tools",
    ),
    (
        "server/src/: rules -> config",
        "rules files are part of the configuration and read with its tools",
    ),
    (
        "server/src/config: report -> yaml",
        "errors name lines of the YAML tree",
    ),
    (
        "server/src/config: yaml -> report",
        "errors name lines of the YAML tree",
    ),
    (
        "server/src/serve/keda: poller -> triggers",
        "triggers wake the hub that looks at them",
    ),
    (
        "server/src/serve/keda: triggers -> poller",
        "triggers wake the hub that looks at them",
    ),
    (
        "server/src/web_config: file -> tls",
        "the watcher, the parser and the TLS settings share types",
    ),
    (
        "server/src/web_config: auth -> file",
        "the watcher, the parser and the TLS settings share types",
    ),
    (
        "server/src/web_config: auth -> reload",
        "the watcher, the parser and the TLS settings share types",
    ),
    (
        "server/src/web_config: reload -> file",
        "the watcher, the parser and the TLS settings share types",
    ),
    (
        "server/src/web_config: reload -> auth",
        "the watcher, the parser and the TLS settings share types",
    ),
    (
        "server/src/web_config: reload -> tls",
        "the watcher, the parser and the TLS settings share types",
    ),
    (
        "server/src/web_config: tls -> file",
        "the watcher, the parser and the TLS settings share types",
    ),
    (
        "server/src/web_config: tls -> reload",
        "the watcher, the parser and the TLS settings share types",
    ),
    (
        "server/src/web_config: tls -> verifier",
        "the watcher, the parser and the TLS settings share types",
    ),
    (
        "server/src/web_config: verifier -> file",
        "the watcher, the parser and the TLS settings share types",
    ),
];

/// Citations of things that are not in the tree.
pub(crate) const CITED: &[(&str, &str)] = &[];

/// Functions of more than 70 lines.
pub(crate) const LONG_FUNCTIONS: &[(&str, &str)] = &[
    (
        "adapters/src/kubernetes/mod.rs: answer",
        "older than this check",
    ),
    ("adapters/src/signals.rs: json_of", "older than this check"),
    ("server/src/cli/secure.rs: options", "older than this check"),
    ("server/src/cli/serve.rs: command", "older than this check"),
    ("server/src/cli/serve.rs: options", "older than this check"),
    ("server/src/demo/gateway.rs: page", "older than this check"),
    ("server/src/serve/run.rs: start", "older than this check"),
    (
        "server/src/web_config/file.rs: tls",
        "older than this check",
    ),
];

/// Words that are still used.
pub(crate) const WORDS: &[(&str, &str)] = &[(
    "adapters/src/host.rs: As it says. (instead: what the item is)",
    "older than this check",
)];
