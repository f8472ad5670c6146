//! The running process: what its parts share and what the APIs see of it.

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
use super::signals::Watched;
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

impl App {
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
