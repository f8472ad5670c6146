//! A scrape job under construction: the `scrape_config` in JSON, until references to Secrets are resolved and it is read
//! like one of the configuration file.

use serde_json::{Map, Value, json};

use super::relabel;
use crate::config::Monitors;

/// An object that names targets.
pub(super) struct Object<'o> {
    pub(super) namespace: &'o str,
    pub(super) name: &'o str,
    pub(super) spec: &'o Value,
    pub(super) options: &'o Monitors,
}

/// A `scrape_config`, in which values of Secrets may be missing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    /// Where Secrets are looked for: an object reads those of its own namespace.
    pub(super) namespace: String,
    pub(super) keys: Map<String, Value>,
}

impl Object<'_> {
    /// The rules that add the labels of the pod's controller, where they are wanted.
    pub(super) fn controller_labels(&self) -> Vec<Value> {
        match self.options.controller_labels {
            true => relabel::controller(),
            false => Vec::new(),
        }
    }

    /// The job of this name with these keys and relabelling rules.
    pub(super) fn job(&self, name: &str, mut keys: Map<String, Value>, rules: Vec<Value>) -> Job {
        keys.insert("job_name".to_owned(), json!(name));
        keys.insert("relabel_configs".to_owned(), Value::Array(rules));
        if let Some(interval) = &self.options.scrape_interval {
            keys.insert("scrape_interval".to_owned(), json!(interval));
            // One that was made for the object's interval would be longer than this one.
            keys.remove("scrape_timeout");
        }
        if let Some(retain) = &self.options.retain {
            keys.insert("retain".to_owned(), json!(retain));
        }
        Job {
            namespace: self.namespace.to_owned(),
            keys,
        }
    }
}

impl Job {
    pub(super) fn set(&mut self, key: &str, value: Value) {
        self.keys.insert(key.to_owned(), value);
    }
}
