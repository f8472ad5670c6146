//! `stillwell [serve]`: flags to settings, then the server until a signal ends it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use stillwell_adapters::host::QuerySettings;
use stillwell_engine::Limits;
use stillwell_engine::promql::Features;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{Level, error, info, warn};

use super::flags::{IGNORED, LATER};
use super::{alerts, fail, secure, value};
use crate::clock::Clock;
use crate::config::units::{duration_ms, size_bytes};
use crate::discovery::Shard;
use crate::logging::{self, LogFormat};
use crate::memory;
use crate::serve::web::WebOptions;
use crate::serve::{ApiOptions, KedaOptions, OtlpReceiver, Settings, app, auto_reload, keda};

const KEDA_LISTEN: &str = "keda.listen-address";
const NOTIFICATION_STREAMS: &str = "web.max-notifications-subscribers";
const SHARD_COUNT: &str = "shard.count";
const SHARD_INDEX: &str = "shard.index";
const SNAPSHOT_INTERVAL: &str = "storage.snapshot-interval";
const AUTO_RELOAD: &str = "config.auto-reload-interval";
/// How often files are looked at where the feature is on and no interval is given, as in Prometheus.
const AUTO_RELOAD_MS: u64 = 30_000;
/// After SIGTERM readers are still answered for so long, while they learn that this server is not ready any more.
const DRAIN: Duration = Duration::from_millis(1_000);
/// Threads of the APIs. Queries run on others.
const FACE_THREADS: usize = 2;
/// Threads for what blocks and is neither a query nor a call of KEDA's: files, passwords.
const OTHERS_MAX: usize = 8;
/// The step of a subquery that names none: Prometheus' default evaluation interval.
const SUBQUERY_STEP_MS: i64 = 60_000;

pub(super) fn command() -> Command {
    let with_default =
        |name, what, help, default: &'static str| value(name, what, help).default_value(default);
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .help(help)
            .action(ArgAction::SetTrue)
    };
    let mut command = Command::new("serve")
        .about("Scrapes, evaluates and serves (the default)")
        .arg(with_default(
            "config.file",
            "FILE",
            "The configuration",
            "stillwell.yml",
        ))
        .arg(value(
            AUTO_RELOAD,
            "DURATION",
            "Reload when the configuration's files have changed, looked at this often",
        ))
        .arg(
            with_default(
                "web.listen-address",
                "ADDRESS",
                "Of the plain listener; may be given twice",
                "0.0.0.0:9090",
            )
            .action(ArgAction::Append),
        )
        .arg(switch(
            "web.enable-lifecycle",
            "Serve /-/reload and /-/quit",
        ))
        .arg(switch(
            "web.enable-remote-write-receiver",
            "Take samples at /api/v1/write",
        ))
        .arg(value(
            SHARD_COUNT,
            "N",
            "How many processes share the targets; each scrapes its own",
        ))
        .arg(value(
            SHARD_INDEX,
            "N",
            "Which of them this is, from 0; without it the number at the end of the host's name",
        ))
        .arg(switch(
            "web.enable-otlp-receiver",
            "Take metrics of OpenTelemetry at /api/v1/otlp/v1/metrics",
        ))
        .arg(value(
            "web.config.file",
            "FILE",
            "TLS, passwords and headers, in Prometheus' format",
        ))
        .arg(with_default(
            KEDA_LISTEN,
            "ADDRESS",
            "Of KEDA's external scaler (gRPC); empty turns it off",
            "0.0.0.0:9091",
        ))
        .arg(value(
            "keda.config.file",
            "FILE",
            "Its TLS, in the format of --web.config.file",
        ))
        .arg(with_default(
            NOTIFICATION_STREAMS,
            "N",
            "Streams of /api/v1/notifications/live at a time",
            "16",
        ))
        .arg(value("web.route-prefix", "PATH", "In front of every route"))
        .arg(
            value(
                "enable-feature",
                "NAMES",
                "Features as in Prometheus, comma-separated",
            )
            .action(ArgAction::Append),
        )
        .arg(with_default(
            "query.timeout",
            "DURATION",
            "Longest query",
            "2m",
        ))
        .arg(with_default(
            "query.max-concurrency",
            "N",
            "Queries at a time",
            "20",
        ))
        .arg(with_default(
            "query.max-samples",
            "N",
            "Samples that a query may hold at once",
            "50000000",
        ))
        .arg(with_default(
            "query.lookback-delta",
            "DURATION",
            "How far back an instant selector looks",
            "5m",
        ))
        .arg(with_default(
            "storage.retention.time",
            "DURATION",
            "How long samples are kept",
            "1h",
        ))
        .arg(value(
            "storage.path",
            "FOLDER",
            "Of the snapshot, from which a restart goes on; without it a restart begins empty",
        ))
        .arg(with_default(
            SNAPSHOT_INTERVAL,
            "DURATION",
            "Between two snapshots: what a killed process may lose, and what the disk has to write",
            "30s",
        ))
        .arg(value(
            "storage.memory.max",
            "BYTES",
            "Memory for samples; 60% of the memory limit where it is left out",
        ))
        .arg(with_default(
            "log.level",
            "LEVEL",
            "debug, info, warn or error",
            "info",
        ))
        .arg(with_default(
            "log.format",
            "FORMAT",
            "logfmt or json",
            "logfmt",
        ));
    command = command.args(alerts::flags()).args(secure::flags());
    for (name, takes_value, _) in IGNORED.iter().chain(&LATER) {
        let action = if *takes_value {
            ArgAction::Append
        } else {
            ArgAction::SetTrue
        };
        command = command.arg(Arg::new(*name).long(*name).action(action).hide(true));
        if !takes_value {
            // Prometheus' parser gives every switch its opposite.
            let opposite: &'static str = Box::leak(format!("no-{name}").into_boxed_str());
            command = command.arg(
                Arg::new(opposite)
                    .long(opposite)
                    .action(ArgAction::SetTrue)
                    .hide(true),
            );
        }
    }
    command
}

struct Options {
    settings: Settings,
    auto_reload_ms: Option<u64>,
    apis: ApiOptions,
    limits: Limits,
    level: Level,
    format: LogFormat,
}

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let options = match options(matches) {
        Ok(options) => options,
        Err(why) => return fail(why),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(FACE_THREADS)
        .max_blocking_threads(options.settings.query_concurrency_max + keda::CALLS_MAX + OTHERS_MAX)
        .thread_name("apis")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(error),
    };
    raise_descriptor_limit();
    let clock = Arc::new(Clock::start());
    logging::start(Arc::clone(&clock), options.level, options.format);
    for (name, takes_value, consequence) in IGNORED.iter().chain(&LATER) {
        let given = if *takes_value {
            matches.value_source(name) == Some(ValueSource::CommandLine)
        } else {
            matches.get_flag(name)
        };
        if given {
            warn!("--{name} has no effect here: {consequence}");
        }
    }
    let code = match runtime.block_on(serve(options, clock)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            error!(why, "cannot serve");
            ExitCode::FAILURE
        }
    };
    logging::flush();
    code
}

/// A descriptor for every connection: the soft limit of 1,024 that shells and containers start with is for programs that
/// use `select`. Where it cannot be raised, connections make room for one another as before.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current < limit.maximum || limit.maximum.is_none() {
        setrlimit(Resource::Nofile, raised).ok();
    }
}

async fn serve(options: Options, clock: Arc<Clock>) -> Result<(), String> {
    let path = options.settings.config_file.clone().unwrap_or_default();
    let text = app::read_config(&path).await?;
    let features = options.settings.query.features;
    let configured = app::load(&text, app::folder(&path), &features)
        .map_err(|problems| format!("{}: {}", path.display(), app::show(&problems)))?;
    let Options {
        settings,
        auto_reload_ms,
        apis,
        limits,
        ..
    } = options;
    let running = crate::serve::start(settings, configured, text, apis, limits, clock)
        .await
        .map_err(|error| error.to_string())?;
    for address in &running.addresses {
        info!(%address, "listening");
    }
    if let Some(address) = &running.secure_address {
        info!(%address, "listening over TLS");
    }
    if let Some(address) = &running.keda_address {
        info!(%address, "listening for KEDA");
    }
    if let Some(interval_ms) = auto_reload_ms {
        let (app, quit) = (Arc::clone(&running.app), running.quitting());
        tokio::spawn(auto_reload::run(app, path, interval_ms, quit));
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| error.to_string())?;
    let mut quitting = running.quitting();
    loop {
        tokio::select! {
            _ = terminate.recv() => {
                running.app.drain();
                info!("not ready any more; ending in {} ms", DRAIN.as_millis());
                // Whoever is in a hurry says so again.
                tokio::select! {
                    () = tokio::time::sleep(DRAIN) => {}
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                break;
            }
            _ = interrupt.recv() => break,
            _ = quitting.changed() => break,
            _ = hangup.recv() => {
                running.app.reload().await.ok(); // it has logged why not
            }
        }
    }
    info!("ending");
    running.stop().await;
    Ok(())
}

fn options(matches: &ArgMatches) -> Result<Options, String> {
    let text = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let path = |name: &str| (!text(name).is_empty()).then(|| PathBuf::from(text(name)));
    let duration = |name: &str| {
        let ms = duration_ms(text(name)).map_err(|error| format!("--{name}: {error}"))?;
        if ms == 0 {
            Err(format!("--{name}: must be longer than 0"))
        } else {
            Ok(ms)
        }
    };
    let number = |name: &str| {
        text(name)
            .parse::<u64>()
            .map_err(|_| format!("--{name}: {:?} is not a whole number", text(name)))
    };
    let features = matches
        .get_many::<String>("enable-feature")
        .into_iter()
        .flatten();
    let query = QuerySettings {
        timeout_ms: duration("query.timeout")?,
        lookback_ms: duration("query.lookback-delta")? as i64,
        samples_max: number("query.max-samples")?,
        subquery_step_ms: SUBQUERY_STEP_MS,
        features: Features::from_flag_names(features.map(String::as_str)),
    };
    let auto_reload_ms = auto_reload_ms(matches)?;
    let retention_ms = duration("storage.retention.time")?;
    let memory_bytes_max = match text("storage.memory.max") {
        "" => memory::default_bytes_max(),
        text => text
            .parse()
            .or_else(|_| size_bytes(text))
            .map_err(|error| format!("--storage.memory.max: {error}"))?,
    };
    // One limit for both: what queries may hold is not the store's.
    let query_bytes_max = memory::query_share(memory_bytes_max);
    let listen = matches
        .get_many::<String>("web.listen-address")
        .into_iter()
        .flatten();
    Ok(Options {
        auto_reload_ms,
        settings: Settings {
            storage_path: path("storage.path"),
            shard: Shard::of_flags(text(SHARD_COUNT), text(SHARD_INDEX), &app::hostname())?,
            snapshot_interval: snapshot_interval(text(SNAPSHOT_INTERVAL))?,
            config_file: Some(PathBuf::from(Path::new(text("config.file")))),
            query,
            query_concurrency_max: usize::try_from(number("query.max-concurrency")?)
                .unwrap_or(usize::MAX)
                .clamp(1, 1024),
            query_bytes_max,
            retention: text("storage.retention.time").to_owned(),
            remote_write: matches.get_flag("web.enable-remote-write-receiver"),
            otlp: OtlpReceiver {
                enabled: matches.get_flag("web.enable-otlp-receiver"),
                adds_up_deltas: has_feature(matches, "otlp-deltatocumulative"),
            },
            external_url: alerts::external_url(
                text(alerts::EXTERNAL_URL),
                text("web.listen-address"),
                &app::hostname(),
            )?,
            alerts: alerts::options(matches)?,
            notification_streams_max: usize::try_from(number(NOTIFICATION_STREAMS)?)
                .unwrap_or(usize::MAX),
            flags: shown_flags(matches),
        },
        apis: ApiOptions {
            listen: listen.map(|address| bindable(address)).collect(),
            web: WebOptions {
                route_prefix: route_prefix(text("web.route-prefix"), text(alerts::EXTERNAL_URL)),
                lifecycle: matches.get_flag("web.enable-lifecycle"),
                config_file: path("web.config.file"),
                insecure_api_groups: None,
                more: None,
            },
            secure: secure::options(matches)?,
            kubeconfig: secure::kubeconfig(matches),
            keda: (!text(KEDA_LISTEN).is_empty()).then(|| KedaOptions {
                address: bindable(text(KEDA_LISTEN)),
                config_file: path("keda.config.file"),
                optional: matches.value_source(KEDA_LISTEN) == Some(ValueSource::DefaultValue),
            }),
        },
        limits: Limits {
            memory_bytes_max: memory_bytes_max - query_bytes_max,
            retention_ms: retention_ms as i64,
        },
        level: match text("log.level") {
            "debug" => Level::DEBUG,
            "info" => Level::INFO,
            "warn" => Level::WARN,
            "error" => Level::ERROR,
            other => {
                return Err(format!(
                    "--log.level: {other:?} is not debug, info, warn or error"
                ));
            }
        },
        format: match text("log.format") {
            "logfmt" => LogFormat::Logfmt,
            "json" => LogFormat::Json,
            other => {
                return Err(format!(
                    "--log.format: {other:?} is neither logfmt nor json"
                ));
            }
        },
    })
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

/// Whether `--enable-feature` names this.
fn has_feature(matches: &ArgMatches, feature: &str) -> bool {
    let lists = matches.get_many::<String>("enable-feature");
    let mut lists = lists.into_iter().flatten();
    lists.any(|names| names.split(',').any(|name| name.trim() == feature))
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
    if address.starts_with(':') {
        format!("0.0.0.0{address}")
    } else {
        address.to_owned()
    }
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
                Err(_) => matches.get_flag(name).to_string(),
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
