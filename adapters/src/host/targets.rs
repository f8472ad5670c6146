//! Targets, and the ScaledObjects that ask, as the APIs show them.

use stillwell_engine::labels::Labels;
use stillwell_engine::{TargetId, Timestamp};

/// What KEDA's ScaledObjects ask for.
#[derive(Clone, Debug, Default)]
pub struct ScalersReport {
    /// Triggers and refusals, by namespace and name.
    pub objects: Vec<ScaledObject>,
    /// How many triggers there are beside these.
    pub more: usize,
    /// What somebody should do something about.
    pub warnings: Vec<String>,
}

/// One trigger of a ScaledObject, or why it is none.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledObject {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Its peer showed a certificate that was verified.
    pub authenticated: bool,
    /// What it reads; empty where it was refused.
    pub trigger: String,
    /// `value`, `held`, `unknown` or `refused`.
    pub state: &'static str,
    /// Why.
    pub reason: String,
    /// Its number.
    pub value: Option<f64>,
    /// Whether it is to be awake; `None` where that is not known.
    pub active: Option<bool>,
    /// Until when it is active at most, where nothing but the latch keeps it so.
    pub latched_until: Option<Timestamp>,
    /// The target per replica.
    pub threshold: Option<f64>,
    /// Awake above it.
    pub activation_threshold: Option<f64>,
    /// Streams open.
    pub streams: usize,
    /// When it last asked.
    pub last_call: Timestamp,
}

/// What is scraped and what was dropped by relabelling.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// The targets, by job.
    pub active: Vec<ActiveTarget>,
    /// Dropped ones, as many as are remembered.
    pub dropped: Vec<DroppedTarget>,
    /// How many were dropped, by job.
    pub dropped_counts: Vec<(String, usize)>,
}

/// One target and its last scrape.
#[derive(Clone, Debug)]
pub struct ActiveTarget {
    /// The engine's name for it.
    pub id: Option<TargetId>,
    /// Before relabelling.
    pub discovered: Labels,
    /// After it.
    pub labels: Labels,
    /// `job_name`.
    pub job: String,
    /// Where it is.
    pub url: String,
    /// How the last scrape went.
    pub health: Health,
    /// Why it failed; empty where it did not.
    pub last_error: String,
    /// When it began; `None` where there was none.
    pub last_scrape: Option<Timestamp>,
    /// How long it took.
    pub last_duration_s: f64,
    /// As a duration.
    pub interval: String,
    /// As a duration.
    pub timeout: String,
}

/// Whether a target answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// The last scrape was good.
    Up,
    /// The last scrape failed.
    Down,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug)]
pub struct DroppedTarget {
    /// Before relabelling.
    pub discovered: Labels,
    /// `job_name`.
    pub job: String,
}
