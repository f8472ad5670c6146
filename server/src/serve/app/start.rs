//! The start: the configuration applied to every part, from nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::RwLock;
use stillwell_adapters::host::Objects;
use stillwell_adapters::notifications::Notifications;
use stillwell_adapters::pool::QueryPool;
use stillwell_engine::Reader;
use tokio::sync::watch;

use super::configured::Configured;
use super::derived::{rule_options, subquery_step_ms, warn_of_short_history};
use super::settings::Settings;
use super::{App, Loaded};
use crate::alertmanager::Notifier;
use crate::clock::Clock;
use crate::config::{self, Problem};
use crate::discovery::{Manager, Wanted};
use crate::remote_write::RemoteWrites;
use crate::rule_groups::{self, Runner};
use crate::scrape::Scraper;
use crate::senders::Senders;
use crate::serve::keda::Triggers;
use crate::serve::shared_page::OwnPages;
use crate::serve::signals::ConfiguredSignals;
use crate::serve::snapshots::Snapshots;

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
    /// The latches of KEDA's triggers as a snapshot of an earlier run has them (`keda/latches.rs`).
    pub latches: Vec<u8>,
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
        let signals = Arc::new(ConfiguredSignals::replace(
            &config,
            &ConfiguredSignals::none(reader.clone()),
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
            loaded_at: clock.now(),
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
}

/// The machine's name; in a pod it is the pod's. Empty where it is not known.
pub(crate) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or(String::new(), |name| name.trim().to_owned())
}
