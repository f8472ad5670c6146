//! Values of Secrets and ConfigMaps that objects refer to, each read by name in the object's own namespace.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::Id;
use super::endpoint::REFERENCE;
use super::job::Job;

/// One read.
const READ: Duration = Duration::from_secs(10);

/// What was read, for a while.
pub(super) struct Secrets {
    client: Client,
    /// By kind, namespace, name and key.
    values: BTreeMap<(String, String, String, String), String>,
    users: BTreeSet<Id>,
    oldest: Option<Instant>,
}

impl Secrets {
    pub(super) fn new(client: Client) -> Secrets {
        Secrets {
            client,
            values: BTreeMap::new(),
            users: BTreeSet::new(),
            oldest: None,
        }
    }

    /// When the oldest value was read.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.oldest
    }

    /// Forgets all values. Returns the objects that refer to one.
    pub(super) fn forget(&mut self) -> BTreeSet<Id> {
        self.values.clear();
        self.oldest = None;
        std::mem::take(&mut self.users)
    }

    /// Replaces the references in a job by what they refer to. Error: what is missing.
    pub(super) async fn resolve(&mut self, user: &Id, job: &mut Job) -> Result<(), String> {
        let mut keys = Value::Object(std::mem::take(&mut job.keys));
        let mut references = Vec::new();
        collect(&keys, &mut references);
        for (kind, name, key) in references {
            let namespace = job.namespace.clone();
            let known = (kind, namespace, name, key);
            self.users.insert(user.clone());
            self.oldest.get_or_insert_with(Instant::now); // a failure is tried again, too
            if !self.values.contains_key(&known) {
                let value = self.read(&known).await?;
                self.values.insert(known, value);
            }
        }
        replace(&mut keys, &job.namespace, &self.values);
        if let Value::Object(keys) = keys {
            job.keys = keys;
        }
        Ok(())
    }

    async fn read(
        &self,
        (kind, namespace, name, key): &(String, String, String, String),
    ) -> Result<String, String> {
        let what = format!("{kind} {namespace}/{name}");
        let client = self.client.clone();
        let reading = async {
            if kind == "ConfigMap" {
                let map = Api::<ConfigMap>::namespaced(client, namespace)
                    .get(name)
                    .await?;
                return Ok(map.data.and_then(|mut data| data.remove(key)));
            }
            let secret = Api::<Secret>::namespaced(client, namespace)
                .get(name)
                .await?;
            let bytes = secret.data.and_then(|mut data| data.remove(key));
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes.0).trim_end().to_owned()))
        };
        let read = tokio::time::timeout(READ, reading).await;
        let read = read.map_err(|_| format!("{what}: no answer within {READ:?}"))?;
        let read = read
            .map_err(|error: kube::Error| format!("{what}: {}", crate::cluster::words(&error)))?;
        read.ok_or_else(|| format!("{what} has no key {key:?}"))
    }
}

fn reference(value: &Value) -> Option<(String, String, String)> {
    let reference = value.get(REFERENCE)?;
    let text = |key: &str| reference[key].as_str().map(str::to_owned);
    Some((text("kind")?, text("name")?, text("key")?))
}

fn collect(value: &Value, into: &mut Vec<(String, String, String)>) {
    if let Some(reference) = reference(value) {
        return into.push(reference);
    }
    match value {
        Value::Object(map) => map.values().for_each(|value| collect(value, into)),
        Value::Array(list) => list.iter().for_each(|value| collect(value, into)),
        _ => {}
    }
}

fn replace(
    value: &mut Value,
    namespace: &str,
    values: &BTreeMap<(String, String, String, String), String>,
) {
    if let Some((kind, name, key)) = reference(value) {
        let found = values.get(&(kind, namespace.to_owned(), name, key));
        *value = found.map_or(Value::Null, |text| Value::String(text.clone()));
        return;
    }
    match value {
        Value::Object(map) => map
            .values_mut()
            .for_each(|value| replace(value, namespace, values)),
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| replace(value, namespace, values)),
        _ => {}
    }
}
