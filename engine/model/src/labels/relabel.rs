//! Relabelling (Prometheus model/relabel): rules that rewrite or drop a label set, for targets and for scraped
//! series.

use std::fmt;
use std::sync::Arc;

use md5::{Digest as _, Md5};

use super::re2::{Re2, Re2Error, expand};
use super::set::LabelsBuilder;

/// What rules may write into one set: what they double, one after another, takes all time and memory there is.
const WRITTEN_BYTES_MAX: usize = 256 << 10;
/// How many labels it may have then, or four times as many as before: each new one moves those behind it.
const LABELS_MAX: usize = 512;

/// Applies `rules` in order. `false`: the set is dropped; it is then only partly rewritten. So it is, too, where
/// [`LabelsBuilder::is_cut_short`] says so.
pub fn relabel(rules: &[RelabelRule], labels: &mut LabelsBuilder) -> bool {
    let (before, labels_max) = (labels.written(), LABELS_MAX.max(4 * labels.len()));
    for rule in rules {
        if labels.written() - before > WRITTEN_BYTES_MAX || labels.len() > labels_max {
            labels.set_cut_short();
            return true;
        }
        if !rule.apply(labels) {
            return false;
        }
    }
    true
}

/// A rule as configured. Its default has the values of Prometheus' defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelabelSpec {
    /// Labels whose values are joined to the text that the rule looks at.
    pub source_labels: Vec<String>,
    /// What joins them.
    pub separator: String,
    /// Matched against the whole text (or the label names, for the actions that look at those).
    pub regex: String,
    /// For `hashmod`.
    pub modulus: u64,
    /// The label that is written or compared.
    pub target_label: String,
    /// What is written, a template over the groups of `regex`.
    pub replacement: String,
    /// What the rule does.
    pub action: RelabelAction,
}

impl Default for RelabelSpec {
    fn default() -> RelabelSpec {
        RelabelSpec {
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            regex: "(.*)".to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: "$1".to_owned(),
            action: RelabelAction::Replace,
        }
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelabelAction {
    /// Writes `replacement` to `target_label` where `regex` fits.
    Replace,
    /// Drops the set unless `regex` fits.
    Keep,
    /// Drops the set where `regex` fits.
    Drop,
    /// Drops the set unless the text equals `target_label`'s value.
    KeepEqual,
    /// Drops the set where the text equals `target_label`'s value.
    DropEqual,
    /// Writes the text's hash modulo `modulus` to `target_label`.
    HashMod,
    /// Copies every label whose name fits to the name that `replacement` makes of it.
    LabelMap,
    /// Removes the labels whose names fit.
    LabelDrop,
    /// Removes the labels whose names do not fit.
    LabelKeep,
    /// Writes the text in lower case.
    Lowercase,
    /// Writes the text in upper case.
    Uppercase,
}

impl RelabelAction {
    /// Every action.
    pub const ALL: [RelabelAction; 11] = [
        RelabelAction::Replace,
        RelabelAction::Keep,
        RelabelAction::Drop,
        RelabelAction::KeepEqual,
        RelabelAction::DropEqual,
        RelabelAction::HashMod,
        RelabelAction::LabelMap,
        RelabelAction::LabelDrop,
        RelabelAction::LabelKeep,
        RelabelAction::Lowercase,
        RelabelAction::Uppercase,
    ];

    /// The action of this name, in any case.
    pub fn from_name(name: &str) -> Option<RelabelAction> {
        let fits = |action: &RelabelAction| action.as_str().eq_ignore_ascii_case(name);
        RelabelAction::ALL.into_iter().find(fits)
    }

    /// Its name in configurations (`labelmap`).
    pub const fn as_str(self) -> &'static str {
        match self {
            RelabelAction::Replace => "replace",
            RelabelAction::Keep => "keep",
            RelabelAction::Drop => "drop",
            RelabelAction::KeepEqual => "keepequal",
            RelabelAction::DropEqual => "dropequal",
            RelabelAction::HashMod => "hashmod",
            RelabelAction::LabelMap => "labelmap",
            RelabelAction::LabelDrop => "labeldrop",
            RelabelAction::LabelKeep => "labelkeep",
            RelabelAction::Lowercase => "lowercase",
            RelabelAction::Uppercase => "uppercase",
        }
    }

    fn writes_or_compares_a_target(self) -> bool {
        use RelabelAction::{DropEqual, HashMod, KeepEqual, Lowercase, Replace, Uppercase};
        matches!(
            self,
            Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual
        )
    }
}

/// What a template makes may be cut from this length on: rules that double a label, one after another, made gigabytes of it.
const EXPANDED_BYTES_MAX: usize = 64 << 10;

/// From so many labels on `labelmap` adds no more: rules that map all of them, one after another, double their number.
const MAPPED_LABELS_MAX: usize = 8_192;

/// A checked and compiled rule.
#[derive(Clone, Debug)]
pub struct RelabelRule {
    spec: RelabelSpec,
    regex: Arc<Re2>,
}

impl RelabelRule {
    /// Checks the rule as Prometheus does and compiles its pattern.
    pub fn new(spec: RelabelSpec) -> Result<RelabelRule, RelabelError> {
        check(&spec)?;
        let regex = Re2::new(&spec.regex).map_err(|error| RelabelError::Regex {
            pattern: spec.regex.clone(),
            error,
        })?;
        Ok(RelabelRule {
            spec,
            regex: Arc::new(regex),
        })
    }

    /// Whether it may make other labels of a set; `keep` and `drop` and their like only leave sets out.
    pub fn changes_labels(&self) -> bool {
        use RelabelAction::{Drop, DropEqual, Keep, KeepEqual};
        !matches!(self.spec.action, Keep | Drop | KeepEqual | DropEqual)
    }

    /// The rule as written.
    pub fn spec(&self) -> &RelabelSpec {
        &self.spec
    }

    /// Applies this one rule; `false` says that the set is dropped.
    pub fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let spec = &self.spec;
        match spec.action {
            RelabelAction::Keep => return self.regex.is_match(&self.source(labels)),
            RelabelAction::Drop => return !self.regex.is_match(&self.source(labels)),
            RelabelAction::KeepEqual => {
                return labels.get(&spec.target_label) == self.source(labels);
            }
            RelabelAction::DropEqual => {
                return labels.get(&spec.target_label) != self.source(labels);
            }
            RelabelAction::Replace => self.replace(labels),
            RelabelAction::HashMod => {
                let digest = Md5::digest(self.source(labels).as_bytes());
                let mut low = [0; 8];
                low.copy_from_slice(&digest[8..]);
                let bucket = u64::from_be_bytes(low) % spec.modulus;
                labels.set(&spec.target_label, &bucket.to_string());
            }
            RelabelAction::LabelMap => self.map_names(labels),
            RelabelAction::LabelDrop => {
                labels.retain(|name| !self.regex.is_match(name));
            }
            RelabelAction::LabelKeep => {
                labels.retain(|name| self.regex.is_match(name));
            }
            RelabelAction::Lowercase => {
                let lower = map_case(&self.source(labels), |c| c.to_lowercase().next());
                labels.set(&spec.target_label, &lower);
            }
            RelabelAction::Uppercase => {
                let upper = map_case(&self.source(labels), |c| {
                    let mut mapped = c.to_uppercase();
                    mapped.next().filter(|_| mapped.next().is_none())
                });
                labels.set(&spec.target_label, &upper);
            }
        }
        true
    }

    /// Whether the pattern fits this label name.
    pub fn fits_name(&self, label: &str) -> bool {
        self.regex.is_match(label)
    }

    fn source(&self, labels: &LabelsBuilder) -> String {
        let mut text = String::new();
        for (index, name) in self.spec.source_labels.iter().enumerate() {
            if index > 0 {
                text.push_str(&self.spec.separator);
            }
            text.push_str(labels.get(name));
        }
        text
    }

    fn replace(&self, labels: &mut LabelsBuilder) {
        let text = self.source(labels);
        let Some(captures) = self.regex.captures(&text) else {
            return;
        };
        let (mut target, mut value) = (String::new(), String::new());
        expand(
            &self.spec.target_label,
            &text,
            &captures,
            EXPANDED_BYTES_MAX,
            &mut target,
        );
        if target.is_empty() {
            return; // no name, so nothing to write: Prometheus passes over it too
        }
        expand(
            &self.spec.replacement,
            &text,
            &captures,
            EXPANDED_BYTES_MAX,
            &mut value,
        );
        labels.set(&target, &value);
    }

    fn map_names(&self, labels: &mut LabelsBuilder) {
        let before = labels.build();
        let more_max = MAPPED_LABELS_MAX.saturating_sub(before.len());
        for (name, value) in before.iter().take(more_max) {
            if let Some(captures) = self.regex.captures(name) {
                let mut target = String::new();
                expand(
                    &self.spec.replacement,
                    name,
                    &captures,
                    EXPANDED_BYTES_MAX,
                    &mut target,
                );
                labels.set(&target, value);
            }
        }
    }
}

impl PartialEq for RelabelRule {
    fn eq(&self, other: &RelabelRule) -> bool {
        self.spec == other.spec
    }
}

/// Why a rule is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelabelError {
    /// The pattern does not compile.
    Regex {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        error: Re2Error,
    },
    /// `hashmod` without a modulus.
    ModulusMissing,
    /// The action needs a `target_label`.
    TargetMissing(RelabelAction),
    /// The action does nothing with this field.
    FieldUnused {
        /// The action.
        action: RelabelAction,
        /// The field that must go.
        field: &'static str,
    },
}

impl fmt::Display for RelabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelabelError::Regex { pattern, error } => write!(f, "regex {pattern:?}: {error}"),
            RelabelError::ModulusMissing => {
                f.write_str("action hashmod needs a modulus of at least 1")
            }
            RelabelError::TargetMissing(action) => {
                write!(f, "action {} needs a target_label", action.as_str())
            }
            RelabelError::FieldUnused { action, field } => {
                write!(
                    f,
                    "action {} does not use {field}: remove it",
                    action.as_str()
                )
            }
        }
    }
}

impl std::error::Error for RelabelError {}

fn check(spec: &RelabelSpec) -> Result<(), RelabelError> {
    use RelabelAction::{
        DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, Lowercase, Uppercase,
    };
    let action = spec.action;
    if action == HashMod && spec.modulus == 0 {
        return Err(RelabelError::ModulusMissing);
    }
    if action.writes_or_compares_a_target() && spec.target_label.is_empty() {
        return Err(RelabelError::TargetMissing(action));
    }
    let default = RelabelSpec::default();
    let names_only = matches!(action, LabelDrop | LabelKeep);
    let compares = matches!(action, KeepEqual | DropEqual);
    let changes_case = matches!(action, Lowercase | Uppercase);
    let unused = [
        (
            "source_labels",
            names_only && !spec.source_labels.is_empty(),
        ),
        ("target_label", names_only && !spec.target_label.is_empty()),
        ("regex", compares && spec.regex != default.regex),
        ("modulus", (names_only || compares) && spec.modulus != 0),
        (
            "separator",
            (names_only || compares) && spec.separator != default.separator,
        ),
        (
            "replacement",
            (names_only || compares || changes_case) && spec.replacement != default.replacement,
        ),
    ];
    match unused.into_iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(RelabelError::FieldUnused { action, field }),
        None => Ok(()),
    }
}

/// Letter by letter, as Go maps case; a letter that would become several stays as it is.
fn map_case(text: &str, map: impl Fn(char) -> Option<char>) -> String {
    text.chars().map(|c| map(c).unwrap_or(c)).collect()
}

#[cfg(test)]
mod tests;
