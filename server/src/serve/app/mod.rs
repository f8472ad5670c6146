//! The running process: what its parts share and what the APIs see of it.
//!
//! `settings` are its flags and `configured` its configuration, `derived` what follows from both. `start` and `reload` apply
//! them to every part; `host` is what the APIs see, `signals` and `ready` what the process asks of itself.

mod configured;
mod derived;
mod host;
mod ready;
mod reload;
mod settings;
mod signals;
mod start;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::RwLock;
use stillwell_adapters::host::{Objects, OtlpSettings};
use stillwell_adapters::notifications::Notifications;
use stillwell_adapters::pool::QueryPool;
use stillwell_engine::labels::Labels;
use stillwell_engine::{Reader, Timestamp};
use tokio::sync::watch;

use super::keda::Triggers;
use super::shared_page::OwnPages;
use super::signals::ConfiguredSignals;
use super::snapshots::Snapshots;
use crate::alertmanager::Notifier;
use crate::clock::Clock;
use crate::config;
use crate::discovery::Manager;
use crate::remote_write::RemoteWrites;
use crate::rule_groups::Runner;
use crate::scrape::Scraper;
use crate::senders::Senders;

pub use configured::{Configured, folder, load, read, read_config, show};
pub use settings::{AlertSettings, OtlpReceiver, Settings};
pub use start::Parts;
pub(crate) use start::hostname;

/// The process behind the APIs.
pub struct App {
    settings: Settings,
    clock: Arc<Clock>,
    started: Timestamp,
    /// Where and on what machine it was started, as `/api/v1/status/runtimeinfo` says.
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
    loaded: RwLock<Loaded>,
    /// One reload at a time: held across the apply, so it is tokio's.
    reloading: tokio::sync::Mutex<()>,
    /// The section `events` of the configuration in force.
    events: watch::Sender<Option<config::Events>>,
    /// Messages of `/api/v1/notifications`.
    notifications: Notifications,
    /// The pages of `/metrics`.
    own_pages: OwnPages,
    ready: AtomicBool,
    /// The process is about to end, and is not ready any more.
    draining: AtomicBool,
}

/// The configuration in force, as far as it is read again and again. A reload replaces it under one lock.
struct Loaded {
    /// How metrics of OTLP become series.
    otlp: OtlpSettings,
    /// Its text without secrets.
    text: Arc<String>,
    signals: Arc<ConfiguredSignals>,
    /// Whether the last reload was taken.
    reload_succeeded: bool,
    external_labels: Labels,
    /// The step of a subquery that names none: the interval of rules, as in Prometheus.
    subquery_step_ms: i64,
    /// When it was read.
    loaded_at: Timestamp,
}

impl App {
    /// The pages of `/metrics`.
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

    /// What ScaledObjects ask for.
    pub fn keda(&self) -> &Triggers {
        &self.keda
    }
}
