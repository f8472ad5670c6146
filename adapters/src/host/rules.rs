//! Rule groups and alerts, as the APIs show them.

use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;

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
