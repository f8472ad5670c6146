//! `check config --scalers`: of each metric of a HorizontalPodAutoscaler and of each trigger of a ScaledObject, what of this
//! configuration it reads, or why it never can. A scaler that reads nothing never scales, and Kubernetes and KEDA say so
//! where nobody looks.

mod hpa;
mod keda;
mod objects;
mod prometheus;
mod resolve;
mod schema;
mod shapes;
mod thresholds;
mod tree;

use std::fmt;

use crate::config::Config;
use crate::yaml::{Node, parse};
use tree::{documents, list, text};

/// Read from a manifest.
const BYTES_MAX: u64 = 16 << 20;

/// What is said of a place in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// In its file.
    pub(super) line: usize,
    pub(super) level: Level,
    /// Which scaler and which part of it, and what.
    pub(super) text: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// What it reads.
    Told,
    /// It may be meant.
    Warning,
    /// It never works.
    Error,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Told => "",
            Level::Warning => "warning: ",
            Level::Error => "error: ",
        };
        write!(f, "{level}{}", self.text)
    }
}

/// What there is to say of the scalers in a manifest. Error: it cannot be read.
pub(super) fn of_file(config: &Config, path: &str) -> Result<Vec<Finding>, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("{path}: {error}"))?;
    if size.len() > BYTES_MAX {
        return Err(format!("{path}: more than {BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    of_manifest(config, &text).map_err(|why| format!("{path}: {why}"))
}

/// The same of a text of one or more documents.
pub(super) fn of_manifest(config: &Config, text: &str) -> Result<Vec<Finding>, String> {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for (before, document) in documents(text) {
        let tree = parse(&document).map_err(|problem| {
            let line = problem.line + before;
            format!("line {line}: {}", problem.message)
        })?;
        let mut said = Said::default();
        of_document(config, &tree, &mut said, &mut others);
        for mut finding in said.0 {
            finding.line += before;
            found.push(finding);
        }
    }
    if found.is_empty() {
        others.sort();
        others.dedup();
        let instead = match others.is_empty() {
            true => String::new(),
            false => format!(
                "; it has {}, of which nothing is looked at",
                others.join(", ")
            ),
        };
        found.push(Finding {
            line: 1,
            level: Level::Warning,
            text: format!(
                "there is no HorizontalPodAutoscaler, ScaledObject or ScaledJob in it{instead}"
            ),
        });
    }
    Ok(found)
}

/// Of one document; kinds that are no scalers go into `others`.
fn of_document(config: &Config, tree: &Node, said: &mut Said, others: &mut Vec<String>) {
    let kind = text(tree, &["kind"]).unwrap_or("");
    if kind == "List" || kind.ends_with("List") {
        for item in list(tree, &["items"]) {
            of_document(config, item, said, others);
        }
        return;
    }
    let namespace = text(tree, &["metadata", "namespace"]).unwrap_or("default");
    let name = text(tree, &["metadata", "name"]).unwrap_or("?");
    let scaler = format!("{kind} {namespace}/{name}");
    match kind {
        "HorizontalPodAutoscaler" => hpa::check(config, tree, &scaler, said),
        "ScaledObject" | "ScaledJob" => keda::check(config, tree, &scaler, said),
        "" => return,
        other => {
            others.push(other.to_owned());
            return;
        }
    }
    for (line, why) in thresholds::of_document(config, tree, &scaler) {
        said.add(Level::Warning, line, why);
    }
}

/// What was said so far.
#[derive(Default)]
struct Said(Vec<Finding>);

impl Said {
    fn add(&mut self, level: Level, line: usize, text: impl Into<String>) {
        let text = text.into();
        self.0.push(Finding { line, level, text });
    }

    fn error(&mut self, line: usize, text: impl Into<String>) {
        self.add(Level::Error, line, text);
    }

    fn warn(&mut self, line: usize, text: impl Into<String>) {
        self.add(Level::Warning, line, text);
    }

    fn told(&mut self, line: usize, text: impl Into<String>) {
        self.add(Level::Told, line, text);
    }

    fn errors(&self) -> usize {
        let errors = self.0.iter().filter(|one| one.level == Level::Error);
        errors.count()
    }
}

#[cfg(test)]
mod tests;
