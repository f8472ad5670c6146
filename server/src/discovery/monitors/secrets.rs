//! Values of Secrets and ConfigMaps that objects refer to, each read by name in the object's own namespace.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::endpoint::REFERENCE;
use super::job::Job;
use super::places::Id;

/// One read.
const READ: Duration = Duration::from_secs(10);
/// Values are read again this often: credentials are rotated.
const AGAIN: Duration = Duration::from_secs(60);
/// What could not be read is tried again after so long. An API server that does not answer is asked for nothing until then.
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
    /// Those of the users of which a value could not be read, ...
    unread: BTreeSet<Id>,
    /// ... since when there are some, ...
    failed: Option<Instant>,
    /// ... and why the API server was then asked for nothing more, where it has not answered.
    silent: Option<String>,
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
    /// So could no other: the API server does not answer, or not us.
    Silent(String),
}

impl Secrets {
    pub(super) fn new(client: Client) -> Secrets {
        Secrets {
            client,
            values: BTreeMap::new(),
            users: BTreeSet::new(),
            oldest: None,
            unread: BTreeSet::new(),
            failed: None,
            silent: None,
        }
    }

    /// When values are read again, where some are used.
    pub(super) fn due(&self) -> Option<Instant> {
        let failed = self.failed.map(|at| at + PAUSE);
        let all = self.oldest.map(|at| at + AGAIN);
        failed.into_iter().chain(all).min()
    }

    /// Values are read again from now on: those that could not be read, or all where it is time. Returns the objects that
    /// refer to one of them.
    pub(super) fn read_again(&mut self) -> BTreeSet<Id> {
        (self.failed, self.silent) = (None, None);
        let unread = std::mem::take(&mut self.unread);
        if self.oldest.is_some_and(|at| Instant::now() < at + AGAIN) {
            return unread;
        }
        self.values.retain(|_, known| known.is_used);
        for known in self.values.values_mut() {
            (known.is_new, known.is_used) = (false, false);
        }
        self.oldest = None;
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
            self.look_up(user, (kind, job.namespace.clone(), name, key))
                .await?;
        }
        replace(&mut keys, &job.namespace, &self.values);
        if let Value::Object(keys) = keys {
            job.keys = keys;
        }
        Ok(())
    }

    /// Has the value of this key, the last one where it cannot be read now.
    async fn look_up(&mut self, user: &Id, key: Key) -> Result<(), NoValue> {
        if let Some(known) = self.values.get_mut(&key) {
            known.is_used = true;
            if known.is_new {
                return Ok(());
            }
        }
        let read = match &self.silent {
            None => self.read(&key).await,
            Some(why) => Err(NoValue::Silent(why.clone())),
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
            Err(missing @ NoValue::Missing(_)) => {
                self.values.remove(&key);
                Err(missing)
            }
            Err(failure) => {
                self.failed.get_or_insert_with(Instant::now);
                self.unread.insert(user.clone());
                if let NoValue::Silent(why) = &failure {
                    self.silent.get_or_insert_with(|| why.clone());
                }
                match self.values.contains_key(&key) {
                    true => Ok(()),
                    false => Err(failure),
                }
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
        let silent = |_| NoValue::Silent(format!("{what}: no answer within {READ:?}"));
        let read = read
            .map_err(silent)?
            .map_err(|error| no_value(&error, &what))?;
        read.ok_or_else(|| NoValue::Missing(format!("{what} has no key {key:?}")))
    }
}

/// Whether there is no value, or none for us, or the server has no time, or has forgotten who we are. What is no answer of the
/// API server's because nothing could be asked (a name that no object can have) or understood is about this value alone.
fn no_value(error: &kube::Error, what: &str) -> NoValue {
    let why = format!("{what}: {}", crate::cluster::words(error));
    match error {
        kube::Error::Api(status) => match status.code {
            UNAUTHORIZED | TOO_MANY_REQUESTS => NoValue::Silent(why),
            400..500 => NoValue::Missing(why),
            _ => NoValue::Unread(why),
        },
        kube::Error::BuildRequest(_) | kube::Error::HttpError(_) | kube::Error::SerdeError(_) => {
            NoValue::Missing(why)
        }
        _ => NoValue::Silent(why),
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
    #[tokio::test(start_paused = true)]
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
            assert!(matches!(error, Err(NoValue::Silent(why)) if why.contains("n/known")));
            assert_eq!(secrets.due(), secrets.failed.map(|at| at + PAUSE));
            assert_eq!(secrets.read_again(), [user.clone()].into());
            assert_eq!(secrets.due(), secrets.oldest.map(|at| at + AGAIN));
        }
        // What nobody refers to any more is forgotten.
        for users in [1, 0] {
            tokio::time::advance(AGAIN).await;
            assert_eq!(secrets.read_again().len(), users);
        }
        assert!(secrets.values.is_empty() && secrets.due().is_none());
    }

    /// A name that no Secret can have counted as an API server that does not answer, and nobody's Secret was read.
    #[test]
    fn what_is_wrong_with_one_value_is_not_said_of_all() {
        let status = |code: u16| {
            let status = kube::core::Status::failure("no", "Test").with_code(code);
            kube::Error::Api(Box::new(status))
        };
        let serde = serde_json::from_str::<Value>("{").expect_err("no JSON");
        for (error, expected) in [
            (status(404), "missing"),
            (status(403), "missing"),
            (status(500), "unread"),
            (status(503), "unread"),
            (status(401), "silent"),
            (status(429), "silent"),
            (kube::Error::SerdeError(serde), "missing"),
            (kube::Error::LinesCodecMaxLineLengthExceeded, "silent"),
        ] {
            let case = error.to_string();
            let is = match no_value(&error, "Secret n/s") {
                NoValue::Missing(_) => "missing",
                NoValue::Unread(_) => "unread",
                NoValue::Silent(_) => "silent",
            };
            assert_eq!(is, expected, "{case}");
        }
    }
}
