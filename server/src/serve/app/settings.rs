//! How the process was started: its flags, checked.

use std::path::PathBuf;
use std::time::Duration;

use stillwell_adapters::host::QuerySettings;

use crate::alertmanager::NotifierOptions;
use crate::discovery::Shard;
use crate::rule_groups::RestoreOptions;

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
