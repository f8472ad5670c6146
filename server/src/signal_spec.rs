//! One signal as a user defines it: in `signals` of the configuration, or by a rule of a rules file.

use stillwell_engine::labels::Labels;
use stillwell_engine::signal::Policy;

use crate::floor::Floor;

/// A signal that scalers may ask for by name.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalSpec {
    /// The metric's name on every API, compared without regard to case.
    pub name: String,
    /// PromQL.
    pub expr: String,
    /// Who may read it; empty is everybody.
    pub namespaces: Vec<String>,
    /// Added to every element.
    pub labels: Labels,
    /// When its number may be told.
    pub policy: Policy,
    /// Where it stands in the file.
    pub line: usize,
    /// It is a rule of prometheus-adapter's for external metrics.
    pub from_rules: bool,
    /// Values that no selector of Kubernetes can hold are selected by a text that can.
    pub sanitized: bool,
    /// The least numbers that are told at certain times.
    pub floors: Vec<Floor>,
}

impl SignalSpec {
    /// Whether a caller in this namespace may read it.
    pub fn allows(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|one| one == namespace)
    }
}

/// How values of a caller's selector are read: as they are, or sanitised.
pub(crate) fn selector(text: &str) -> Result<bool, String> {
    match text {
        "exact" => Ok(false),
        "sanitized" => Ok(true),
        _ => Err(format!("{text:?} is not exact or sanitized")),
    }
}
