//! `stillwell [serve]`: flags to settings, then the server until a signal ends it.

mod flags;
mod options;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;
use stillwell_engine::nearest::nearest;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use self::flags::{FEATURES, WITHOUT_EFFECT};
pub(super) use self::flags::{RETENTION_DEFAULT, command};
use self::options::Options;
use super::fail;
use super::flags::{IGNORED, LATER};
use crate::clock::Clock;
use crate::http_client::bound_lookups;
use crate::logging;
use crate::serve::{Running, app, auto_reload, descriptors, keda};

/// After SIGTERM readers are still answered for so long, while they learn that this server is not ready any more.
const DRAIN: Duration = Duration::from_millis(1_000);
/// Threads of the APIs. Queries run on others.
const API_THREADS: usize = 2;
/// Threads for what blocks and is neither a query nor a call of KEDA's: files, passwords.
const OTHERS_MAX: usize = 8;

/// The least that can be scraped and told.
const CONFIGURATION_LEAST: &str =
    "`scrape_configs: [{job_name: gateway, static_configs: [{targets: ['HOST:PORT']}]}]`";

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let options = match options::read(matches) {
        Ok(options) => options,
        Err(why) => return fail(why),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(API_THREADS)
        .max_blocking_threads(
            options.settings.query_concurrency_max + keda::EVALUATED_AT_ONCE_MAX + OTHERS_MAX,
        )
        .thread_name("apis")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(error),
    };
    descriptors::raise_limit();
    bound_lookups(descriptors::lookups());
    let clock = Arc::new(Clock::start());
    logging::start(Arc::clone(&clock), options.level, options.format);
    warn_of_flags_without_effect(matches);
    warn_of_features_without_effect(matches);
    let code = match runtime.block_on(serve(options, clock)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            error!(why, "cannot serve");
            ExitCode::FAILURE
        }
    };
    // What hangs in a system call does not keep the process.
    runtime.shutdown_background();
    logging::flush();
    code
}

fn warn_of_flags_without_effect(matches: &ArgMatches) {
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
}

fn warn_of_features_without_effect(matches: &ArgMatches) {
    for name in options::features(matches) {
        if let Some((_, consequence)) = WITHOUT_EFFECT.iter().find(|(without, _)| *without == name)
        {
            warn!("--enable-feature={name} has no effect here: {consequence}");
        }
        if FEATURES.contains(&name) {
            continue;
        }
        let near = nearest(name, FEATURES.iter().copied());
        let near = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
        warn!("--enable-feature: {name:?} is no feature of Prometheus and has no effect{near}");
    }
}

async fn serve(options: Options, clock: Arc<Clock>) -> Result<(), String> {
    let path = options.settings.config_file.clone().unwrap_or_default();
    let text = app::read_config(&path).await;
    let text = text.map_err(|why| no_configuration(&why, path.exists()))?;
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
    until_told(&running).await?;
    info!("ending");
    running.stop().await;
    Ok(())
}

/// Why there is no configuration; whoever starts for the first time has none.
fn no_configuration(why: &str, is_there: bool) -> String {
    let first_time = match is_there {
        true => String::new(),
        false => {
            format!("; `stillwell demo` needs none, and a file begins with {CONFIGURATION_LEAST}")
        }
    };
    format!("--config.file: {why}{first_time}")
}

/// Returns when the process shall end. SIGHUP reloads; SIGTERM lets readers learn first that another replica answers.
async fn until_told(running: &Running) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let mut quitting = running.quitting();
    loop {
        tokio::select! {
            _ = terminate.recv() => {
                running.app.drain();
                info!("not ready any more; ending in {} ms", DRAIN.as_millis());
                pause(&mut terminate, &mut interrupt).await;
                return Ok(());
            }
            _ = interrupt.recv() => return Ok(()),
            _ = quitting.changed() => return Ok(()),
            _ = hangup.recv() => {
                running.app.reload().await.ok(); // it has logged why not
            }
        }
    }
}

/// Waits for [`DRAIN`], or for the second signal of somebody in a hurry.
async fn pause(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        () = tokio::time::sleep(DRAIN) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_starts_without_a_configuration_is_told_of_one() {
        let why = no_configuration("stillwell.yml: No such file or directory", false);
        assert!(why.contains("stillwell demo"), "{why}");
        let (_, least) = CONFIGURATION_LEAST.split_at(1);
        let least = least
            .trim_end_matches('`')
            .replace("HOST:PORT", "127.0.0.1:1");
        let (config, report) = crate::config::load(&least);
        let jobs = config.expect("valid").jobs.len();
        assert_eq!((jobs, report.errors.len()), (1, 0));
        assert!(!no_configuration("x: permission denied", true).contains("demo"));
    }
}
