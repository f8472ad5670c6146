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
/// Values are read again this often: credentials are rotated.
const AGAIN: Duration = Duration::from_secs(60);
/// After a read that failed the API server is asked for none for so long, and then for all again.
const PAUSE: Duration = Duration::from_secs(10);

/// Codes of answers that say nothing of a value.
const UNAUTHORIZED: u16 = 401;
const TOO_MANY_REQUESTS: u16 = 429;

/// Kind, namespace, name and key of a value.
type Key = (String, String, String, String);

/// What was read, for a while.
pub(super) struct Secrets {
    client: Client,
    values: BTreeMap<Key, Known>,
    users: BTreeSet<Id>,
    /// When the oldest value was read.
    oldest: Option<Instant>,
    /// When a read failed last, since then.
    failed: Option<Instant>,
}

struct Known {
    text: String,
    /// It was read since [`Secrets::read_again`]. What was read before stands where the API server does not answer.
    is_new: bool,
    /// Some object has referred to it since then.
    is_used: bool,
}

/// Why there is no value.
#[derive(Debug)]
pub(super) enum NoValue {
    /// There is none, or it may not be read.
    Missing(String),
    /// It could not be read, which may pass.
    Unread(String),
}

impl Secrets {
    pub(super) fn new(client: Client) -> Secrets {
        Secrets {
            client,
            values: BTreeMap::new(),
            users: BTreeSet::new(),
            oldest: None,
            failed: None,
        }
    }

    /// When values are read again, where some are used.
    pub(super) fn due(&self) -> Option<Instant> {
        let failed = self.failed.map(|at| at + PAUSE);
        failed.or(self.oldest.map(|at| at + AGAIN))
    }

    /// Values are read again from now on. Returns the objects that refer to one.
    pub(super) fn read_again(&mut self) -> BTreeSet<Id> {
        self.values.retain(|_, known| known.is_used);
        for known in self.values.values_mut() {
            (known.is_new, known.is_used) = (false, false);
        }
        (self.oldest, self.failed) = (None, None);
        std::mem::take(&mut self.users)
    }

    /// Replaces the references in a job by what they refer to. Error: what is missing.
    pub(super) async fn resolve(&mut self, user: &Id, job: &mut Job) -> Result<(), NoValue> {
        let mut keys = Value::Object(std::mem::take(&mut job.keys));
        let mut references = Vec::new();
        collect(&keys, &mut references);
        for (kind, name, key) in references {
            self.users.insert(user.clone());
            self.oldest.get_or_insert_with(Instant::now); // a failure is tried again, too
            self.look_up((kind, job.namespace.clone(), name, key))
                .await?;
        }
        replace(&mut keys, &job.namespace, &self.values);
        if let Value::Object(keys) = keys {
            job.keys = keys;
        }
        Ok(())
    }

    /// Has the value of this key, the last one where it cannot be read now.
    async fn look_up(&mut self, key: Key) -> Result<(), NoValue> {
        if let Some(known) = self.values.get_mut(&key) {
            known.is_used = true;
            if known.is_new {
                return Ok(());
            }
        }
        let read = match self.failed {
            None => self.read(&key).await,
            Some(_) => Err(NoValue::Unread(format!(
                "{} {}/{}: the API server did not answer for another one",
                key.0, key.1, key.2
            ))),
        };
        match read {
            Ok(text) => {
                let known = Known {
                    text,
                    is_new: true,
                    is_used: true,
                };
                self.values.insert(key, known);
                Ok(())
            }
            Err(NoValue::Unread(why)) => {
                self.failed.get_or_insert_with(Instant::now);
                match self.values.contains_key(&key) {
                    true => Ok(()),
                    false => Err(NoValue::Unread(why)),
                }
            }
            Err(missing) => {
                self.values.remove(&key);
                Err(missing)
            }
        }
    }

    async fn read(&self, (kind, namespace, name, key): &Key) -> Result<String, NoValue> {
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
        let silent = |_| NoValue::Unread(format!("{what}: no answer within {READ:?}"));
        let read = read.map_err(silent)?.map_err(|error: kube::Error| {
            let why = format!("{what}: {}", crate::cluster::words(&error));
            match error {
                kube::Error::Api(status) if is_final(status.code) => NoValue::Missing(why),
                _ => NoValue::Unread(why),
            }
        })?;
        read.ok_or_else(|| NoValue::Missing(format!("{what} has no key {key:?}")))
    }
}

/// Whether an answer says that there is no value, or none for us: not that the server has no time, or has forgotten who we are.
fn is_final(code: u16) -> bool {
    (400..500).contains(&code) && code != UNAUTHORIZED && code != TOO_MANY_REQUESTS
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

fn replace(value: &mut Value, namespace: &str, values: &BTreeMap<Key, Known>) {
    if let Some((kind, name, key)) = reference(value) {
        let found = values.get(&(kind, namespace.to_owned(), name, key));
        *value = found.map_or(Value::Null, |known| Value::String(known.text.clone()));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An API server that did not answer for a while took the jobs that use a Secret away, after ten seconds for each of them.
    #[tokio::test]
    async fn a_value_that_cannot_be_read_again_stays() {
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().expect("an address"));
        let client = Client::try_from(nowhere).expect("a client");
        let mut secrets = Secrets::new(client);
        let key = |name: &str| {
            let texts = ["Secret", "n", name, "k"];
            let [kind, namespace, name, key] = texts.map(str::to_owned);
            (kind, namespace, name, key)
        };
        let known = Known {
            text: "swordfish".to_owned(),
            is_new: false,
            is_used: true,
        };
        secrets.values.insert(key("known"), known);
        let job = |name: &str| {
            let reference = json!({"kind": "Secret", "name": name, "key": "k"});
            let keys = json!({"password": {REFERENCE: reference}});
            Job {
                namespace: "n".to_owned(),
                keys: keys.as_object().expect("a mapping").clone(),
            }
        };
        let user = (0, "n/user".to_owned());
        for _ in 0..3 {
            let mut known = job("known");
            secrets.resolve(&user, &mut known).await.expect("it stays");
            assert_eq!(known.keys["password"], "swordfish");
            let error = secrets.resolve(&user, &mut job("other")).await;
            assert!(matches!(error, Err(NoValue::Unread(why)) if why.contains("n/other")));
            assert_eq!(secrets.due(), secrets.failed.map(|at| at + PAUSE));
            assert_eq!(secrets.read_again(), [user.clone()].into());
            assert!(secrets.due().is_none());
        }
        // What nobody refers to any more is forgotten.
        secrets.read_again();
        assert!(secrets.values.is_empty());
    }
}
