//! What the APIs need from the process that carries them.

mod objects;
mod otlp;
mod reading;
mod rules;
mod signals;
mod targets;

use std::sync::Arc;

use stillwell_engine::labels::{Labels, RelabelRule};
use stillwell_engine::promql::Features;
use stillwell_engine::{AppendError, Appended, AppendedSeries, Reader, Timestamp};

use crate::notifications::Notifications;

pub use objects::{
    ContainerUsage, ListedObject, NoNumbers, NoObjects, ObjectAnswer, ObjectList, ObjectMetric,
    ObjectQuestion, Objects, UsageList, UsageOf,
};
pub use otlp::{OtlpSettings, TranslationStrategy};
pub use reading::{Element, NoneFits, Reading};
pub use rules::{Alert, RuleGroup, RuleKind, RuleState};
pub use signals::{Asker, Description, GuardedRefusal, Outline, Signals};
pub use targets::{ActiveTarget, DroppedTarget, Health, ScaledObject, ScalersReport, Targets};

/// The process behind the APIs. Every call answers from memory at once, but for `append`.
pub trait Host: Send + Sync + 'static {
    /// The process' clock.
    fn now(&self) -> Timestamp;

    /// What must be added to a time of that clock for the wall clock's, which clients have: 0 unless the wall clock has
    /// stepped since the start.
    fn wall_offset_ms(&self) -> i64 {
        0
    }

    /// The store.
    fn reader(&self) -> &Reader;

    /// Runs what takes longer than a lookup.
    fn queries(&self) -> &crate::pool::QueryPool;

    /// What scalers may ask for by name.
    fn signals(&self) -> Arc<dyn Signals>;

    /// What is known of the cluster's objects.
    fn objects(&self) -> Arc<dyn Objects>;

    /// How queries are evaluated.
    fn query_settings(&self) -> QuerySettings;

    /// What is scraped.
    fn targets(&self) -> Targets;

    /// The jobs whose targets are looked for, by name.
    fn scrape_pools(&self) -> Vec<String>;

    /// The rules that rewrite the targets of a job; `None` where there is no such job.
    fn relabel_rules(&self, pool: &str) -> Option<Vec<RelabelRule>>;

    /// Labels of whatever leaves this server.
    fn external_labels(&self) -> Labels;

    /// What is recorded and alerted, by file and group.
    fn rule_groups(&self) -> Arc<Vec<RuleGroup>> {
        Arc::default()
    }

    /// What whoever looks at this server should know about it; `None` where nobody keeps such messages.
    fn notifications(&self) -> Option<&Notifications> {
        None
    }

    /// The entry of a job in the configuration in force, without its secrets; `None` where there is none.
    fn scrape_pool_config(&self, _pool: &str) -> Option<String> {
        None
    }

    /// URLs of the Alertmanagers to which alerts are sent, and of those that relabelling has dropped.
    fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        (Vec::new(), Vec::new())
    }

    /// What this process is.
    fn build(&self) -> Build;

    /// What KEDA's ScaledObjects ask for, and what people should know beside.
    fn scalers(&self) -> ScalersReport {
        ScalersReport::default()
    }

    /// The flags in force, by name.
    fn flags(&self) -> Vec<(String, String)>;

    /// The configuration in force, without its secrets.
    fn config_text(&self) -> Arc<String>;

    /// Whether the last reload was taken.
    fn reload_succeeded(&self) -> bool;

    /// Whether samples may be written (`--web.enable-remote-write-receiver`).
    fn takes_writes(&self) -> bool;

    /// How metrics of OTLP become series; `None` where they are not taken (`--web.enable-otlp-receiver`).
    fn otlp(&self) -> Option<OtlpSettings>;

    /// Takes samples that somebody else measured. Waits for the commits under way.
    fn append(&self, batch: Vec<AppendedSeries>) -> Result<Appended, AppendError>;
}

/// How queries are evaluated, from the command line.
#[derive(Clone, Copy, Debug)]
pub struct QuerySettings {
    /// The deadline of a query that asks for none.
    pub timeout_ms: u64,
    /// How far back an instant selector looks.
    pub lookback_ms: i64,
    /// Samples that a query may hold at once.
    pub samples_max: u64,
    /// The step of a subquery that names none.
    pub subquery_step_ms: i64,
    /// `--enable-feature`.
    pub features: Features,
}

/// What this process is.
#[derive(Clone, Debug)]
pub struct Build {
    /// Our own version.
    pub version: &'static str,
    /// Since when it runs.
    pub started: Timestamp,
    /// How long samples are kept, as a duration.
    pub retention: String,
    /// Where it was started.
    pub folder: String,
    /// Of the machine or container.
    pub hostname: String,
    /// When the configuration in force was read.
    pub configured: Timestamp,
}
