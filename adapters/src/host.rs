//! What the APIs need from the process that carries them.

use std::collections::BTreeMap;
use std::sync::Arc;

use stillwell_engine::labels::{Labels, RelabelRule};
use stillwell_engine::promql::{Answer, EvalOptions, Features, QueryError};
use stillwell_engine::{AppendError, Appended, AppendedSeries, Reader, TargetId, Timestamp};

use crate::notifications::Notifications;
use crate::objects::{Kind, Kinds, Selector};
use crate::otlp::OtlpSettings;

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

/// Rules that are evaluated together, in order.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    /// Its name, once in its file.
    pub name: String,
    /// Where it is from.
    pub file: String,
    /// Between two evaluations.
    pub interval_ms: u64,
    /// Series or alerts that a rule may yield; 0 is any number.
    pub limit: u64,
    /// The rules.
    pub rules: Vec<RuleState>,
    /// How long the last evaluation took.
    pub evaluation_s: f64,
    /// When it began.
    pub last_evaluation: Option<Timestamp>,
}

/// One rule and its last evaluation.
#[derive(Clone, Debug)]
pub struct RuleState {
    /// The series or the alert.
    pub name: String,
    /// PromQL.
    pub query: String,
    /// Added to what it yields.
    pub labels: Labels,
    /// `unknown`, `ok` or `err`.
    pub health: &'static str,
    /// Why the last evaluation failed; empty where it did not.
    pub last_error: String,
    /// How long it took.
    pub evaluation_s: f64,
    /// When it was.
    pub last_evaluation: Option<Timestamp>,
    /// What else there is to say.
    pub kind: RuleKind,
}

/// What a rule makes of its query.
#[derive(Clone, Debug)]
pub enum RuleKind {
    /// A series.
    Recording,
    /// An alert per element.
    Alerting {
        /// `inactive`, `pending` or `firing`: the most urgent of its alerts.
        state: &'static str,
        /// How long an element must be there.
        for_ms: u64,
        /// How long it fires on without one.
        keep_firing_for_ms: u64,
        /// Templates of its annotations.
        annotations: Labels,
        /// One per element.
        alerts: Vec<Alert>,
    },
}

/// One alert.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Of the element, of the rule, and `alertname`.
    pub labels: Labels,
    /// Filled in.
    pub annotations: Labels,
    /// `pending` or `firing`.
    pub state: &'static str,
    /// Since when the element is there.
    pub active_at: Timestamp,
    /// Since when it fires without one.
    pub keep_firing_since: Option<Timestamp>,
    /// The element's newest value.
    pub value: f64,
}

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
    /// As it says.
    pub namespace: String,
    /// As it says.
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

/// Signals, by name.
pub trait Signals: Send + Sync {
    /// The configured names, sorted.
    fn names(&self) -> Vec<String>;

    /// The signal of this name, in any case, for a caller who selects elements by their labels; `None` where none is
    /// configured. May evaluate: call it on the pool.
    fn read(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Reading>;

    /// The same, where it takes neither a wait nor an evaluation: may be called on any thread. `None` says nothing about the
    /// signal; [`Signals::read`] does.
    fn read_if_ready(
        &self,
        _name: &str,
        _namespace: &str,
        _selector: &Selector,
        _now: Timestamp,
    ) -> Option<Reading> {
        None
    }

    /// What a metric says about the object of this name; `None` where there is no such metric of its kind. May evaluate.
    fn read_object(
        &self,
        _question: &ObjectQuestion<'_>,
        _name: &str,
        _now: Timestamp,
    ) -> Option<Reading> {
        None
    }

    /// The same under the conditions of [`Signals::read_if_ready`].
    fn read_object_if_ready(
        &self,
        _question: &ObjectQuestion<'_>,
        _name: &str,
        _now: Timestamp,
    ) -> Option<Reading> {
        None
    }

    /// What a metric says about the objects of these names, or about all that it knows. Error inside: nothing can be said of
    /// any. May evaluate.
    fn read_objects(
        &self,
        _question: &ObjectQuestion<'_>,
        _names: Option<&[String]>,
        _now: Timestamp,
    ) -> Option<Result<ObjectList, String>> {
        None
    }

    /// The metrics of objects, as they are listed.
    fn object_metrics(&self, _kinds: &Kinds) -> Vec<ObjectMetric> {
        Vec::new()
    }

    /// What a query says, judged like a signal. It stays judged for some minutes after the last call.
    fn guarded(
        &self,
        query: &str,
        now: Timestamp,
        within: &EvalOptions<'_>,
    ) -> Result<Reading, QueryError>;

    /// The same under the conditions of [`Signals::read_if_ready`]: of a query that stands already.
    fn guarded_if_ready(&self, _query: &str, _now: Timestamp) -> Option<Reading> {
        None
    }

    /// CPU and memory of the objects of these names. `None`: no rules give them. Error inside: nothing can be said of any.
    /// May evaluate.
    fn usage(
        &self,
        _of: UsageOf<'_>,
        _names: &[String],
        _now: Timestamp,
    ) -> Option<Result<UsageList, String>> {
        None
    }

    /// The values of a signal's query over time, not judged; `None` where there is no such signal. May evaluate.
    fn history(
        &self,
        _name: &str,
        _range: (Timestamp, Timestamp),
        _step_ms: i64,
        _within: &EvalOptions<'_>,
    ) -> Option<Result<Answer, QueryError>> {
        None
    }

    /// `/guarded` refused a query; people will ask why.
    fn guarded_refused(&self, _query: &str, _why: &str, _now: Timestamp) {}

    /// `/guarded` has answered a query; what was wrong with it was put right.
    fn guarded_answered(&self, _query: &str) {}

    /// What `/guarded` refused lately.
    fn guarded_refusals(&self, _now: Timestamp) -> Vec<GuardedRefusal> {
        Vec::new()
    }

    /// Every signal in one line, for lists.
    fn outlines(&self, _now: Timestamp) -> Vec<Outline> {
        Vec::new()
    }

    /// Everything about every signal, for people; `only` picks one by name. Cost: a thousand signals over five hundred
    /// targets are 500,000 states of targets; [`Signals::outlines`] has none.
    fn describe(&self, only: Option<&str>, now: Timestamp) -> Vec<Description>;
}

/// Whose CPU and memory.
#[derive(Clone, Copy, Debug)]
pub enum UsageOf<'q> {
    /// Of the containers of pods of a namespace.
    Pods {
        /// Which.
        namespace: &'q str,
    },
    /// Of nodes.
    Nodes,
}

/// CPU and memory of objects.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageList {
    /// By name; a node has one entry without a name of its own.
    pub told: Vec<(String, Vec<ContainerUsage>)>,
    /// Those of which none may be told, and why.
    pub missing: Vec<(String, String)>,
    /// Over which rates were taken.
    pub window_ms: u64,
    /// When it was evaluated.
    pub at: Timestamp,
}

/// CPU and memory of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerUsage {
    /// Empty for a node.
    pub name: String,
    /// Cores.
    pub cpu_cores: f64,
    /// Bytes.
    pub memory_bytes: f64,
}

/// A question for a metric of objects.
#[derive(Clone, Copy, Debug)]
pub struct ObjectQuestion<'q> {
    /// The metric.
    pub metric: &'q str,
    /// Where the objects are; empty for those that are in no namespace.
    pub namespace: &'q str,
    /// What they are.
    pub kind: &'q Kind,
    /// What there is besides: rules name kinds by other names.
    pub kinds: &'q Kinds,
    /// `metricLabelSelector`.
    pub selector: &'q Selector,
}

/// Numbers of objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectList {
    /// By name.
    pub told: Vec<(String, Element)>,
    /// Those of which none may be told, and why.
    pub missing: Vec<(String, String)>,
}

/// A metric of a kind of objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectMetric {
    /// `resource.group`.
    pub resource: String,
    /// The metric.
    pub name: String,
    /// Whether the objects are in namespaces.
    pub namespaced: bool,
}

/// What is known of the cluster's objects.
pub trait Objects: Send + Sync {
    /// The kinds there are.
    fn kinds(&self) -> Arc<Kinds>;

    /// A kind that `kinds` does not have yet, looked for where that can be done. Waits for the API server.
    fn find_kind(&self, path: String) -> ObjectAnswer<'_, Option<Arc<Kind>>>;

    /// The names of the objects whose labels fit, in a namespace (empty: in none). `Ok(None)`: there is no API server to
    /// ask. Waits for the API server.
    fn names(
        &self,
        kind: Arc<Kind>,
        namespace: String,
        selector: Selector,
    ) -> ObjectAnswer<'_, Result<Option<Vec<String>>, String>>;

    /// The objects whose labels fit, by namespace (empty: of all) and name. `Ok(None)`: there is no API server to ask. Waits
    /// for the API server.
    fn list(
        &self,
        _kind: Arc<Kind>,
        _namespace: String,
        _selector: Selector,
    ) -> ObjectAnswer<'_, Result<Option<Vec<ListedObject>>, String>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// An object of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Empty for objects that are in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// An answer that may have to be asked for.
pub type ObjectAnswer<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// No cluster: the usual kinds, and nobody who knows which objects there are.
#[derive(Debug, Default)]
pub struct NoObjects(Arc<Kinds>);

impl Objects for NoObjects {
    fn kinds(&self) -> Arc<Kinds> {
        Arc::clone(&self.0)
    }

    fn find_kind(&self, _: String) -> ObjectAnswer<'_, Option<Arc<Kind>>> {
        Box::pin(std::future::ready(None))
    }

    fn names(
        &self,
        _: Arc<Kind>,
        _: String,
        _: Selector,
    ) -> ObjectAnswer<'_, Result<Option<Vec<String>>, String>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// A query that `/guarded` refused: KEDA tells its user the code of the answer alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardedRefusal {
    /// As it was asked.
    pub query: String,
    /// Why.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// When it last was.
    pub last: Timestamp,
}

/// A signal in one line.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Its name; for a query that somebody asks about, the query.
    pub name: String,
    /// What it says.
    pub reading: stillwell_engine::signal::Reading,
    /// Its query, its kind and its warnings.
    pub about: stillwell_engine::signal::Outline,
    /// When it was last read, and what was told.
    pub last_read: Option<(Timestamp, String)>,
    /// As in [`Description`].
    pub missing: Vec<(String, String)>,
}

/// A signal for people.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its name; for a query that somebody asks about, the query.
    pub name: String,
    /// What it says.
    pub reading: stillwell_engine::signal::Reading,
    /// What it is made of.
    pub explanation: stillwell_engine::signal::Explanation,
    /// What it said before, oldest first.
    pub transitions: Vec<stillwell_engine::signal::Transition>,
    /// When it was last read, and what was told.
    pub last_read: Option<(Timestamp, String)>,
    /// Objects of which nothing was told when they were last asked for, and why; at most some of them.
    pub missing: Vec<(String, String)>,
}

/// What a signal says now.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Numbers measured now, one per group.
    Value(Vec<Element>),
    /// Numbers that may still be told, though some target is not fresh.
    Held {
        /// One per group.
        elements: Vec<Element>,
        /// How old the oldest part is.
        age_ms: i64,
        /// Who is not fresh.
        why: String,
    },
    /// No number, and why.
    Unknown(String),
    /// There are so many elements, and the selector fits none.
    NoneFits(usize),
    /// This namespace may not read it.
    Forbidden,
}

impl Reading {
    /// Only the elements that fit; `NoneFits` where none does.
    pub fn select(self, selector: &Selector) -> Reading {
        self.retain(|element| selector.matches(&element.labels))
    }

    /// Only the elements for which `fits` holds; `NoneFits` where it does for none.
    pub fn retain(self, fits: impl Fn(&Element) -> bool) -> Reading {
        let keep = |mut elements: Vec<Element>| {
            let all = elements.len();
            elements.retain(&fits);
            if elements.is_empty() {
                Err(Reading::NoneFits(all))
            } else {
                Ok(elements)
            }
        };
        match self {
            Reading::Value(elements) => keep(elements).map_or_else(|none| none, Reading::Value),
            Reading::Held {
                elements,
                age_ms,
                why,
            } => match keep(elements) {
                Ok(elements) => Reading::Held {
                    elements,
                    age_ms,
                    why,
                },
                Err(none) => none,
            },
            other => other,
        }
    }
}

/// One number of a signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// The group's labels.
    pub labels: Labels,
    /// The number; the API checks that it can be told.
    pub value: f64,
    /// When it was measured.
    pub at: Timestamp,
}
