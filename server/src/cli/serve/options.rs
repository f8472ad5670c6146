//! What the flags say, as the settings of the server.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;
use stillwell_adapters::host::QuerySettings;
use stillwell_engine::Limits;
use stillwell_engine::promql::Features;
use tracing::Level;

use super::super::{alerts, secure};
use super::flags::{
    AUTO_RELOAD, KEDA_LISTEN, NOTIFICATION_STREAMS, OTLP_RECEIVER, SHARD_COUNT, SHARD_INDEX,
    SNAPSHOT_INTERVAL,
};
use crate::config::units::{duration_ms, size_bytes};
use crate::discovery::Shard;
use crate::logging::LogFormat;
use crate::memory;
use crate::scrape::page_share;
use crate::serve::web::WebOptions;
use crate::serve::{ApiOptions, KedaOptions, OtlpReceiver, Settings, app};

/// How often files are looked at where the feature is on and no interval is given, as in Prometheus.
const AUTO_RELOAD_MS: u64 = 30_000;
/// The step of a subquery that names none: Prometheus' default evaluation interval.
const SUBQUERY_STEP_MS: i64 = 60_000;

pub(super) struct Options {
    pub(super) settings: Settings,
    pub(super) auto_reload_ms: Option<u64>,
    pub(super) apis: ApiOptions,
    pub(super) limits: Limits,
    pub(super) level: Level,
    pub(super) format: LogFormat,
}

pub(super) fn read(matches: &ArgMatches) -> Result<Options, String> {
    let flags = Flags(matches);
    let memory_bytes_max = memory_bytes_max(&flags)?;
    // One limit for all: what queries and pages under way may hold is not the store's.
    let shares = (
        memory::query_share(memory_bytes_max),
        page_share(memory_bytes_max),
    );
    Ok(Options {
        auto_reload_ms: auto_reload_ms(matches)?,
        settings: settings(&flags, shares)?,
        apis: apis(&flags)?,
        limits: Limits {
            memory_bytes_max: memory_bytes_max - shares.0 - shares.1,
            retention_ms: flags.duration_ms("storage.retention.time")? as i64,
        },
        level: level(flags.text("log.level"))?,
        format: format(flags.text("log.format"))?,
    })
}

/// Flags by name, with errors that name the flag.
struct Flags<'a>(&'a ArgMatches);

impl<'a> Flags<'a> {
    fn text(&self, name: &str) -> &'a str {
        self.0.get_one::<String>(name).map_or("", String::as_str)
    }

    fn texts(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let given = self.0.get_many::<String>(name).into_iter().flatten();
        given.map(String::as_str)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let text = self.text(name);
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    fn duration_ms(&self, name: &str) -> Result<u64, String> {
        match duration_ms(self.text(name)) {
            Ok(0) => Err(format!("--{name}: must be longer than 0")),
            Ok(ms) => Ok(ms),
            Err(error) => Err(format!("--{name}: {error}")),
        }
    }

    fn number(&self, name: &str) -> Result<u64, String> {
        let text = self.text(name);
        text.parse()
            .map_err(|_| format!("--{name}: {text:?} is not a whole number"))
    }

    /// A number of things in memory: one that is too large for that is as good as the largest.
    fn count(&self, name: &str) -> Result<usize, String> {
        Ok(usize::try_from(self.number(name)?).unwrap_or(usize::MAX))
    }
}

fn settings(
    flags: &Flags<'_>,
    (query_bytes_max, page_bytes_max): (u64, u64),
) -> Result<Settings, String> {
    Ok(Settings {
        storage_path: flags.path("storage.path"),
        shard: Shard::of_flags(
            flags.text(SHARD_COUNT),
            flags.text(SHARD_INDEX),
            &app::hostname(),
        )?,
        snapshot_interval: snapshot_interval(flags.text(SNAPSHOT_INTERVAL))?,
        config_file: Some(PathBuf::from(flags.text("config.file"))),
        query: query_settings(flags)?,
        query_concurrency_max: flags.count("query.max-concurrency")?.clamp(1, 1024),
        query_bytes_max,
        page_bytes_max,
        retention: flags.text("storage.retention.time").to_owned(),
        remote_write: flags.0.get_flag("web.enable-remote-write-receiver"),
        otlp: OtlpReceiver {
            enabled: flags.0.get_flag(OTLP_RECEIVER),
            adds_up_deltas: has_feature(flags.0, "otlp-deltatocumulative"),
        },
        external_url: alerts::external_url(
            flags.text(alerts::EXTERNAL_URL),
            flags.text("web.listen-address"),
            &app::hostname(),
        )?,
        alerts: alerts::options(flags.0)?,
        notification_streams_max: flags.count(NOTIFICATION_STREAMS)?,
        flags: shown_flags(flags.0),
    })
}

fn query_settings(flags: &Flags<'_>) -> Result<QuerySettings, String> {
    Ok(QuerySettings {
        timeout_ms: flags.duration_ms("query.timeout")?,
        lookback_ms: flags.duration_ms("query.lookback-delta")? as i64,
        samples_max: flags.number("query.max-samples")?,
        subquery_step_ms: SUBQUERY_STEP_MS,
        features: Features {
            // Scraped series do not get these labels, so functions must not look for them.
            type_and_unit_labels: false,
            ..Features::from_flag_names(flags.texts("enable-feature"))
        },
    })
}

fn apis(flags: &Flags<'_>) -> Result<ApiOptions, String> {
    let prefix = route_prefix(
        flags.text("web.route-prefix"),
        flags.text(alerts::EXTERNAL_URL),
    );
    let keda = flags.text(KEDA_LISTEN);
    Ok(ApiOptions {
        listen: flags.texts("web.listen-address").map(bindable).collect(),
        web: WebOptions {
            route_prefix: prefix,
            lifecycle: flags.0.get_flag("web.enable-lifecycle"),
            config_file: flags.path("web.config.file"),
            insecure_api_groups: None,
            more: None,
        },
        secure: secure::options(flags.0)?,
        kubeconfig: secure::kubeconfig(flags.0),
        keda: (!keda.is_empty()).then(|| KedaOptions {
            address: bindable(keda),
            config_file: flags.path("keda.config.file"),
            optional: flags.0.value_source(KEDA_LISTEN) == Some(ValueSource::DefaultValue),
        }),
    })
}

fn memory_bytes_max(flags: &Flags<'_>) -> Result<u64, String> {
    match flags.text("storage.memory.max") {
        "" => Ok(memory::default_bytes_max().max(memory::BYTES_MIN)),
        text => {
            let bytes = text.parse().or_else(|_| size_bytes(text));
            let bytes = bytes.and_then(enough);
            bytes.map_err(|error| format!("--storage.memory.max: {error}"))
        }
    }
}

/// Error: it is too little for queries.
fn enough(bytes: u64) -> Result<u64, String> {
    match bytes < memory::BYTES_MIN {
        true => Err(format!(
            "{bytes} bytes leave queries no memory; give at least {}MB",
            memory::BYTES_MIN >> 20
        )),
        false => Ok(bytes),
    }
}

fn level(text: &str) -> Result<Level, String> {
    Ok(match text {
        "debug" => Level::DEBUG,
        "info" => Level::INFO,
        "warn" => Level::WARN,
        "error" => Level::ERROR,
        other => {
            return Err(format!(
                "--log.level: {other:?} is not debug, info, warn or error"
            ));
        }
    })
}

fn format(text: &str) -> Result<LogFormat, String> {
    match text {
        "logfmt" => Ok(LogFormat::Logfmt),
        "json" => Ok(LogFormat::Json),
        other => Err(format!(
            "--log.format: {other:?} is neither logfmt nor json"
        )),
    }
}

/// Each snapshot is written whole: more often than every second would be nothing but writing.
fn snapshot_interval(text: &str) -> Result<Duration, String> {
    match duration_ms(text) {
        Ok(ms) if ms >= 1_000 => Ok(Duration::from_millis(ms)),
        Ok(_) => Err(format!(
            "--{SNAPSHOT_INTERVAL}: {text:?} is shorter than 1s"
        )),
        Err(error) => Err(format!("--{SNAPSHOT_INTERVAL}: {error}")),
    }
}

/// What `--enable-feature` names.
pub(super) fn features(matches: &ArgMatches) -> impl Iterator<Item = &str> {
    let lists = matches.get_many::<String>("enable-feature");
    let names = lists.into_iter().flatten().flat_map(|list| list.split(','));
    names.map(str::trim)
}

fn has_feature(matches: &ArgMatches, feature: &str) -> bool {
    features(matches).any(|name| name == feature)
}

/// How often the configuration's files are looked at: where the flag is given, or Prometheus' feature is on.
fn auto_reload_ms(matches: &ArgMatches) -> Result<Option<u64>, String> {
    let is_on = has_feature(matches, "auto-reload-config");
    match matches.get_one::<String>(AUTO_RELOAD) {
        None => Ok(is_on.then_some(AUTO_RELOAD_MS)),
        Some(text) => match duration_ms(text) {
            // Prometheus' least.
            Ok(ms) if ms >= 1_000 => Ok(Some(ms)),
            Ok(_) => Err(format!("--{AUTO_RELOAD}: {text:?} is shorter than 1s")),
            Err(error) => Err(format!("--{AUTO_RELOAD}: {error}")),
        },
    }
}

/// As in Prometheus the prefix is the path of the external URL, unless it is given.
fn route_prefix(given: &str, external_url: &str) -> String {
    let path = external_url
        .split_once("://")
        .map_or(external_url, |(_, rest)| rest);
    let path = path.find('/').map_or("", |at| &path[at..]);
    let prefix = if given.is_empty() { path } else { given };
    match prefix.trim_matches('/') {
        "" => String::new(),
        inner => format!("/{inner}"),
    }
}

/// Go binds `:9090` to every address.
fn bindable(address: &str) -> String {
    match address.strip_prefix(':') {
        Some(port) if !port.contains(':') => format!("0.0.0.0:{port}"),
        _ => address.to_owned(),
    }
}

/// Switches that are on where neither they nor their opposites are given.
fn is_default_on(name: &str) -> bool {
    name == alerts::DRAIN
}

fn shown_flags(matches: &ArgMatches) -> Vec<(String, String)> {
    let mut flags: Vec<(String, String)> = matches
        .ids()
        .filter(|id| !id.as_str().starts_with("no-"))
        .map(|id| {
            let name = id.as_str();
            let value = match matches.try_get_many::<String>(name) {
                Ok(values) => values
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(","),
                // What is on unless its opposite is given.
                Err(_) => match matches.try_get_one::<bool>(&format!("no-{name}")) {
                    Ok(Some(is_off)) if is_default_on(name) => (!is_off).to_string(),
                    _ => matches.get_flag(name).to_string(),
                },
            };
            (name.to_owned(), value)
        })
        .collect();
    flags.sort();
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each read through `/guarded` was refused: "queries hold all of the 0 MB".
    #[test]
    fn memory_that_leaves_nothing_for_queries_is_refused_with_the_least() {
        let given = |text: &str| {
            let flag = format!("--storage.memory.max={text}");
            let matches = super::super::flags::command().get_matches_from(["serve", &flag]);
            memory_bytes_max(&Flags(&matches))
        };
        for text in ["0", "1", "1MB", "8388607"] {
            let why = given(text).expect_err(text);
            assert!(
                why.starts_with("--storage.memory.max: ") && why.ends_with("at least 8MB"),
                "{why}"
            );
        }
        assert_eq!(given("8MB"), Ok(8 << 20));
        assert_eq!(given("8388609"), Ok((8 << 20) + 1));
    }

    #[test]
    fn a_switch_that_is_on_is_shown_as_on() {
        let shown = |arguments: &[&str]| {
            let all = ["serve"].iter().chain(arguments);
            let matches = super::super::flags::command().get_matches_from(all);
            let flags = shown_flags(&matches);
            let found = flags.into_iter().find(|(name, _)| name == alerts::DRAIN);
            found.map(|(_, value)| value)
        };
        assert_eq!(shown(&[]).as_deref(), Some("true"));
        let off = format!("--no-{}", alerts::DRAIN);
        assert_eq!(shown(&[&off]).as_deref(), Some("false"));
        assert_eq!(
            shown(&[&format!("--{}", alerts::DRAIN)]).as_deref(),
            Some("true")
        );
    }

    #[test]
    fn the_route_prefix_is_that_of_prometheus() {
        for (given, external, prefix) in [
            ("", "", ""),
            ("/", "", ""),
            ("/p/", "", "/p"),
            ("", "http://h/x/", "/x"),
            ("/", "http://h/x/", ""),
            ("", "http://h", ""),
        ] {
            assert_eq!(route_prefix(given, external), prefix, "{given} {external}");
        }
    }
}
