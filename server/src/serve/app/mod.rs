//! The running process: what its parts share and what the APIs see of it.

mod host;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use stillwell_adapters::host::{Objects, QuerySettings};
use stillwell_adapters::notifications::Notifications;
use stillwell_adapters::otlp::OtlpSettings;
use stillwell_adapters::pool::QueryPool;
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::Features;
use stillwell_engine::signal::{Reading, Transition};
use stillwell_engine::{Reader, Timestamp};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::keda::Triggers;
use super::shared_page::OwnPages;
use super::signals::{self, Watched};
use super::snapshots::Snapshots;
use crate::alertmanager::{Notifier, NotifierOptions};
use crate::clock::Clock;
use crate::config::units::duration_ms;
use crate::config::{self, Config, Problem, Report};
use crate::discovery::{Manager, Shard, Wanted};
use crate::files;
use crate::remote_write::RemoteWrites;
use crate::rule_groups::{self, RestoreOptions, RuleFile, RuleOptions, Runner};
use crate::scrape::{SETTLING_MS_MAX, Scraper};
use crate::senders::Senders;

/// How the process was started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the configuration is; `None` where it was given as text.
    pub config_file: Option<PathBuf>,
    /// Of queries.
    pub query: QuerySettings,
    /// Queries at a time.
    pub query_concurrency_max: usize,
    /// Bytes that all of them may hold together.
    pub query_bytes_max: u64,
    /// Bytes that pages under way may hold together.
    pub page_bytes_max: u64,
    /// As shown.
    pub retention: String,
    /// Whether samples may be written.
    pub remote_write: bool,
    /// Whether metrics of OTLP may be written, and whether deltas among them are added up.
    pub otlp: OtlpReceiver,
    /// Which of several processes this is; all targets are its own where it is none.
    pub shard: Option<Shard>,
    /// The folder of the snapshot; without it a restart begins empty.
    pub storage_path: Option<PathBuf>,
    /// Between two snapshots.
    pub snapshot_interval: Duration,
    /// Under which others reach this server.
    pub external_url: String,
    /// How alerts are sent and restored.
    pub alerts: AlertSettings,
    /// Streams of notifications at a time.
    pub notification_streams_max: usize,
    /// Every flag with its value, as shown.
    pub flags: Vec<(String, String)>,
}

/// Whether metrics of OTLP may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtlpReceiver {
    /// They may.
    pub enabled: bool,
    /// Deltas are added up; they are refused otherwise.
    pub adds_up_deltas: bool,
}

/// What people are told where they look, in Prometheus' words.
const RELOAD_FAILED: &str = "Configuration reload has failed.";
const ENDING: &str = "Stillwell is shutting down.";

/// How alerts are sent and restored.
#[derive(Clone, Copy, Debug)]
pub struct AlertSettings {
    /// Between two messages about an alert that fires on.
    pub resend_ms: u64,
    /// What is restored of alerts after a restart.
    pub restore: RestoreOptions,
    /// Queues and requests.
    pub sending: NotifierOptions,
}

/// Prometheus' defaults.
impl Default for AlertSettings {
    fn default() -> AlertSettings {
        AlertSettings {
            resend_ms: 60_000,
            restore: RestoreOptions::default(),
            sending: NotifierOptions::default(),
        }
    }
}

/// The process behind the APIs.
pub struct App {
    settings: Settings,
    clock: Arc<Clock>,
    started: Timestamp,
    /// Where it was started, and on what machine.
    folder: String,
    hostname: String,
    reader: Reader,
    scraper: Scraper,
    discovery: Manager,
    rules: Runner,
    notifier: Notifier,
    remote_writes: RemoteWrites,
    senders: Senders,
    snapshots: Option<Arc<Snapshots>>,
    queries: QueryPool,
    keda: Triggers,
    /// What is known of the cluster's objects.
    objects: Arc<dyn Objects>,
    /// Replaced as a whole by a reload.
    loaded: RwLock<Loaded>,
    /// One reload at a time: held across the apply, so it is tokio's.
    reloading: tokio::sync::Mutex<()>,
    /// Whether scalers are told of what they read, as the configuration in force says.
    events: watch::Sender<Option<config::Events>>,
    /// For whoever looks at this server.
    notifications: Notifications,
    own_pages: OwnPages,
    ready: AtomicBool,
    /// The process is about to end: nobody new is to be sent here.
    draining: AtomicBool,
}

struct Loaded {
    /// How metrics of OTLP become series.
    otlp: OtlpSettings,
    /// As shown: without secrets.
    text: Arc<String>,
    signals: Arc<Watched>,
    reload_succeeded: bool,
    external_labels: Labels,
    /// The step of a subquery that names none: the interval of rules, as in Prometheus.
    subquery_step_ms: i64,
    at: Timestamp,
}

/// What runs beside the APIs.
pub struct Parts {
    /// Fetches pages.
    pub scraper: Scraper,
    /// Finds targets.
    pub discovery: Manager,
    /// Evaluates rules.
    pub rules: Runner,
    /// Sends alerts.
    pub notifier: Notifier,
    /// Sends samples on.
    pub remote_writes: RemoteWrites,
    /// Takes samples of senders that are targets.
    pub senders: Senders,
    /// Knows the cluster's objects.
    pub objects: Arc<dyn Objects>,
    /// Keeps the file of snapshots, where there is one.
    pub snapshots: Option<Arc<Snapshots>>,
    /// The latches of an earlier run.
    pub latches: Vec<u8>,
}

fn subquery_step_ms(config: &Config) -> i64 {
    i64::try_from(config.global.evaluation_interval_ms).unwrap_or(i64::MAX)
}

fn rule_options(settings: &Settings, config: &Config) -> RuleOptions {
    RuleOptions {
        query: QuerySettings {
            subquery_step_ms: subquery_step_ms(config),
            ..settings.query
        },
        external_labels: config.global.external_labels.clone(),
        external_url: settings.external_url.clone(),
        interval_ms: config.global.evaluation_interval_ms,
        query_offset_ms: config.global.rule_query_offset_ms,
        resend_ms: settings.alerts.resend_ms,
        restore: settings
            .storage_path
            .as_ref()
            .map(|_| settings.alerts.restore),
    }
}

/// A configuration with the rules that it names.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// The configuration.
    pub config: Config,
    /// Its recording and alerting rules.
    pub rule_files: Vec<RuleFile>,
}

/// Reads and checks a configuration with the files that it names (relative to `base`), signals' expressions included.
/// Warnings are logged.
pub fn load(text: &str, base: &Path, features: &Features) -> Result<Configured, Vec<Problem>> {
    let (configured, report) = read(text, base, features);
    for warning in &report.warnings {
        warn!(line = warning.line, "configuration: {}", warning.message);
    }
    configured.ok_or(report.errors)
}

/// Like [`load`], with everything that there is to say.
pub fn read(text: &str, base: &Path, features: &Features) -> (Option<Configured>, Report) {
    let (config, mut report) = config::load_with_files(text, base);
    let Some(config) = config else {
        return (None, report);
    };
    report.errors.extend(signals::check(&config.signals));
    let line = config.rule_files_line;
    let rule_files = rule_groups::load(&config.rule_files, base, line, features, &mut report);
    let configured = Configured { config, rule_files };
    (report.errors.is_empty().then_some(configured), report)
}

impl App {
    /// A process that scrapes what `config` says.
    pub async fn start(
        settings: Settings,
        configured: Configured,
        text: String,
        clock: Arc<Clock>,
        reader: Reader,
        Parts {
            scraper,
            discovery,
            rules,
            notifier,
            remote_writes,
            senders,
            objects,
            snapshots,
            latches,
        }: Parts,
        ending: watch::Receiver<bool>,
    ) -> Result<Arc<App>, Vec<Problem>> {
        let Configured { config, rule_files } = configured;
        let external_labels = config.global.external_labels.clone();
        notifier.apply(config.alerting.clone(), external_labels.clone());
        // Before there are targets: what is scraped from the first is sent.
        remote_writes.apply(config.remote_writes.clone(), external_labels);
        let notifications = Notifications::new(settings.notification_streams_max);
        let queries = QueryPool::new(settings.query_concurrency_max, settings.query.timeout_ms)
            .with_memory(settings.query_bytes_max);
        reader.set_names(config.signal_names.clone());
        reader.set_subquery_step(subquery_step_ms(&config));
        let options = rule_options(&settings, &config);
        // Before signals are registered, which then go on from what a snapshot says of them.
        reader.set_recorded(rule_groups::recorded(
            rule_files.iter(),
            options.interval_ms,
        ));
        warn_of_short_history(&config, &settings);
        let signals = Arc::new(Watched::replace(
            &config,
            &Watched::none(reader.clone()),
            clock.wall_now(),
        )?);
        let keda = Triggers::new(
            reader.clone(),
            Arc::clone(&clock),
            Arc::clone(&signals),
            &latches,
            ending,
        );
        let loaded = Loaded {
            otlp: config.otlp.clone(),
            text: Arc::new(config::masked(&text)),
            signals,
            reload_succeeded: true,
            external_labels: config.global.external_labels.clone(),
            subquery_step_ms: subquery_step_ms(&config),
            at: clock.now(),
        };
        let wanted = Wanted {
            config: &config,
            rules: &rule_files,
            features: settings.query.features,
            written: senders.apply(&config.senders),
        };
        discovery.apply(wanted).await;
        rules.apply(rule_files, options);
        Ok(Arc::new(App {
            started: clock.now(),
            folder: std::env::current_dir()
                .map_or(String::new(), |folder| folder.display().to_string()),
            hostname: hostname(),
            settings,
            clock,
            reader,
            scraper,
            discovery,
            rules,
            notifier,
            remote_writes,
            senders,
            snapshots,
            queries,
            keda,
            objects,
            loaded: RwLock::new(loaded),
            reloading: tokio::sync::Mutex::new(()),
            events: watch::Sender::new(config.events),
            notifications,
            own_pages: OwnPages::default(),
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }))
    }

    /// Reads the configuration file again. A bad one changes nothing; the error says why, line by line.
    pub async fn reload(&self) -> Result<(), String> {
        let _one_at_a_time = self.reloading.lock().await;
        let result = self.try_reload().await;
        self.loaded.write().reload_succeeded = result.is_ok();
        match &result {
            Ok(()) => {
                self.notifications.remove(RELOAD_FAILED);
                info!("configuration reloaded");
            }
            Err(why) => {
                self.notifications.add(RELOAD_FAILED, self.clock.wall_now());
                error!(
                    why,
                    "configuration not reloaded; the old one stays in force"
                );
            }
        }
        result
    }

    async fn try_reload(&self) -> Result<(), String> {
        let Some(path) = &self.settings.config_file else {
            return Err("there is no configuration file to read".to_owned());
        };
        let text = read_config(path).await?;
        let features = &self.settings.query.features;
        let configured = load(&text, folder(path), features).map_err(|problems| show(&problems))?;
        let Configured { config, rule_files } = configured;
        let (rules, step_ms) = (
            rule_options(&self.settings, &config),
            subquery_step_ms(&config),
        );
        let before = Arc::clone(&self.loaded.read().signals);
        warn_of_short_history(&config, &self.settings);
        let signals = Watched::replace(&config, &before, self.clock.wall_now())
            .map_err(|problems| show(&problems))?;
        self.reader.set_names(config.signal_names.clone());
        self.reader.set_subquery_step(step_ms);
        let external_labels = config.global.external_labels.clone();
        let wanted = Wanted {
            config: &config,
            rules: &rule_files,
            features: *features,
            written: self.senders.apply(&config.senders),
        };
        self.discovery.apply(wanted).await;
        let signals = Arc::new(signals);
        {
            self.notifier
                .apply(config.alerting, external_labels.clone());
            self.remote_writes
                .apply(config.remote_writes, external_labels.clone());
            let mut loaded = self.loaded.write();
            loaded.external_labels = external_labels;
            loaded.otlp = config.otlp;
            loaded.subquery_step_ms = step_ms;
            loaded.at = self.clock.now();
            loaded.signals = Arc::clone(&signals);
            loaded.text = Arc::new(config::masked(&text));
        }
        self.rules.apply(rule_files, rules);
        self.events.send_if_modified(|events| {
            let news = *events != config.events;
            events.clone_from(&config.events);
            news
        });
        self.keda.configured(Arc::clone(&signals));
        before.end_unless_in(&signals);
        Ok(())
    }

    /// What this process does, for whoever asks.
    pub(super) fn own_pages(&self) -> &OwnPages {
        &self.own_pages
    }

    /// The scraper.
    pub fn scraper(&self) -> &Scraper {
        &self.scraper
    }

    /// What is recorded and alerted.
    pub fn rules(&self) -> &Runner {
        &self.rules
    }

    /// The section `events`, of each configuration that comes into force.
    pub(super) fn events(&self) -> watch::Receiver<Option<config::Events>> {
        self.events.subscribe()
    }

    /// The signals of the configuration in force.
    pub(super) fn watched(&self) -> Arc<Watched> {
        Arc::clone(&self.loaded.read().signals)
    }

    /// Puts the floors into force that apply now, and ends what nobody asks about any more. Returns the newest change of each signal's state, by its name.
    pub(super) fn look_at_signals(&self) -> Vec<(String, Transition)> {
        let signals = Arc::clone(&self.loaded.read().signals);
        signals.apply_floors(self.clock.wall_now());
        signals.expire(self.clock.now());
        signals.newest_transitions(self.clock.now())
    }

    /// What each signal of the configuration says, by its name.
    pub(super) async fn signal_readings(&self, now: Timestamp) -> Vec<(String, Reading)> {
        let signals = Arc::clone(&self.loaded.read().signals);
        // Some signals are evaluated when they are read.
        let reading = tokio::task::spawn_blocking(move || signals.readings(now));
        reading.await.unwrap_or_default() // a panic has been logged
    }

    /// The same as it is sent on: of several processes that share their targets each speaks of its own.
    pub(super) async fn sent_readings(&self, now: Timestamp) -> Vec<(String, Reading)> {
        if self.settings.shard.is_none() {
            return self.signal_readings(now).await;
        }
        let signals = Arc::clone(&self.loaded.read().signals);
        let reading = tokio::task::spawn_blocking(move || signals.readings_of_shard(now));
        reading.await.unwrap_or_default() // a panic has been logged
    }

    /// The names of the signals of the configuration.
    pub(super) fn signal_names(&self) -> BTreeSet<String> {
        self.loaded.read().signals.configured_names()
    }

    /// How alerts are sent.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Who sends samples and is a target.
    pub fn senders(&self) -> &Senders {
        &self.senders
    }

    /// How samples are sent on.
    pub fn remote_writes(&self) -> &RemoteWrites {
        &self.remote_writes
    }

    /// Where targets are found.
    pub fn discovery(&self) -> &Manager {
        &self.discovery
    }

    /// The file of snapshots, where there is one.
    pub fn snapshots(&self) -> Option<&Arc<Snapshots>> {
        self.snapshots.as_ref()
    }

    /// Is not ready from now on: the process is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.notifications.add(ENDING, self.clock.wall_now());
    }

    /// What ScaledObjects ask for.
    pub fn keda(&self) -> &Triggers {
        &self.keda
    }

    /// Whether numbers can be expected (S9d): each target of the start is known, or enough time has passed. Once ready
    /// the process stays so until it ends; a target that a reload adds makes nobody wait.
    pub fn ready(&self) -> bool {
        if self.draining.load(Ordering::Relaxed) {
            return false;
        }
        if self.ready.load(Ordering::Relaxed) {
            return true;
        }
        let now = self.clock.now();
        let waited_ms = now.since_ms(self.started);
        let settled = || {
            self.discovery.settled() && self.scraper.states().iter().all(|state| state.settled(now))
        };
        let ready = waited_ms >= SETTLING_MS_MAX as i64 || settled();
        self.ready.fetch_or(ready, Ordering::Relaxed);
        ready
    }
}

/// Where the files that a configuration names are looked for: beside it.
pub fn folder(config_file: &Path) -> &Path {
    config_file.parent().unwrap_or(Path::new(""))
}

/// Reads the configuration file, up to the size that is parsed.
pub async fn read_config(path: &Path) -> Result<String, String> {
    files::read_text(path, config::CONFIG_BYTES_MAX as u64).await
}

/// Problems in one text.
pub fn show(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// Says which signals read further back than samples are kept.
fn warn_of_short_history(config: &Config, settings: &Settings) {
    let retention_ms = duration_ms(&settings.retention).unwrap_or(0);
    let Some(retention_ms) = i64::try_from(retention_ms).ok().filter(|ms| *ms > 0) else {
        return; // it is checked where it is given
    };
    for signal in &config.signals {
        if let Some(why) = signal.longer_than(retention_ms) {
            warn!(line = signal.line, "signal {:?}: {why}", signal.name);
        }
    }
}

/// The machine's name; in a pod it is the pod's. Empty where it is not known.
pub(crate) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or(String::new(), |name| name.trim().to_owned())
}
