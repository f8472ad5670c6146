//! Follows the objects of one kind: a list, then a watch from there on, and a list again where the watch lost its place.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::list_page::{self, Refused};
use super::meta::METADATA_BYTES_MAX;

/// Objects of a page of the list.
const PAGE: u32 = 500;
/// Objects of it, some forty times what a process is meant for, ...
const OBJECTS_MAX: usize = 200_000;
/// ... and pages: a server may give fewer objects than it is asked for.
const PAGES_MAX: u32 = 2_000;
/// What a process keeps of them: 200,000 pods take some 360 MB.
const KEPT_BYTES_MAX: usize = 400 << 20;
/// A namespace and a name (apimachinery, `IsDNS1123Subdomain`: 253 bytes each).
const KEY_BYTES_MAX: usize = 2 * 253 + 1;
/// One page.
const LIST: Duration = Duration::from_secs(60);
/// The server ends a watch after this long; a stream that stays silent for longer is dead (bookmarks come every minute).
const WATCH_S: u32 = 290;
const SILENCE: Duration = Duration::from_secs(300);
/// A watch that has lasted so long was none that the server ends at once.
const STEADY: Duration = Duration::from_secs(10);
/// Between a failure and the next try: at first, and at most.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// What the API server answers where a version is too old to watch from.
const GONE: u16 = 410;
/// What it answers to a list of a kind that it does not have.
const NOT_FOUND: u16 = 404;
/// Why nothing can be seen of such a kind.
pub(crate) const NO_SUCH_KIND: &str = "the API server has no such kind of objects";
/// A watch that failed so often in a row begins with a list again.
const FAILURES_MAX: u32 = 3;

/// What of a kind is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selectors {
    /// Labels.
    pub(crate) label: String,
    /// Fields.
    pub(crate) field: String,
}

/// A change of what there is. Keys are `namespace/name`, or the name of what has no namespace.
#[derive(Debug)]
pub(crate) enum Change<T> {
    /// This is all there is.
    All(BTreeMap<String, T>),
    /// This is new or changed.
    Put(String, T),
    /// This is gone.
    Gone(String),
    /// Nothing can be seen now, and why. What was there is taken to be there still.
    Failed(String),
}

/// What is kept of an object.
pub(crate) trait Kept {
    /// How many bytes it holds, about.
    fn bytes(&self) -> usize;
}

impl Kept for serde_json::Value {
    fn bytes(&self) -> usize {
        json_bytes(self)
    }
}

/// The length of an object as JSON, which is about what it takes.
pub(super) fn json_bytes(object: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Writing does not fail, and a key that is no text ends it early: then it counts for what was written.
    serde_json::to_writer(&mut count, object).ok();
    count.0
}

/// Counts what is kept of all objects of a watch.
#[derive(Default)]
struct Budget {
    /// Bytes by the hash of a key.
    of: HashMap<u64, usize>,
    bytes: usize,
}

impl Budget {
    /// Counts an object, in the place of an earlier one. Error: it is not to be kept, for this reason.
    fn put(&mut self, key: &str, kept: &impl Kept) -> Result<(), String> {
        if key.len() > KEY_BYTES_MAX {
            return Err(format!(
                "an object whose namespace and name take {} bytes: in Kubernetes they take {KEY_BYTES_MAX} at most",
                key.len()
            ));
        }
        let (hash, bytes) = (hash(key), key.len() + kept.bytes());
        let before = self.of.get(&hash).copied();
        if self.of.len() >= OBJECTS_MAX && before.is_none() {
            return Err(format!(
                "a list of more than {OBJECTS_MAX} objects: narrow it by `selectors` or `namespaces`"
            ));
        }
        let all = self.bytes - before.unwrap_or(0) + bytes;
        if all > KEPT_BYTES_MAX {
            return Err(format!(
                "what is kept of the objects takes more than {} MiB: narrow them by `selectors` or `namespaces`",
                KEPT_BYTES_MAX >> 20
            ));
        }
        self.of.insert(hash, bytes);
        self.bytes = all;
        Ok(())
    }

    fn remove(&mut self, key: &str) {
        self.bytes -= self.of.remove(&hash(key)).unwrap_or(0);
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Hands on every change, made to what is kept of an object by `keep`. Never ends.
pub(crate) async fn follow<K, T, F>(
    api: Api<K>,
    selectors: Selectors,
    keep: impl Fn(K) -> T,
    send: impl Fn(Change<T>) -> F,
) where
    K: Resource + Clone + Debug + DeserializeOwned,
    T: Kept,
    F: Future<Output = ()>,
{
    let keep = |object: K| keep(within_limits(object));
    let mut pause = Pause(PAUSE);
    loop {
        match list(&api, &selectors, &keep).await {
            Ok((all, mut version, mut budget)) => {
                send(Change::All(all)).await;
                let mut failures = 0;
                while failures < FAILURES_MAX {
                    let (before, began) = (version.clone(), Instant::now());
                    let place = (&mut version, &mut budget);
                    let end = watch(&api, &selectors, place, &keep, &send).await;
                    let is_steady = began.elapsed() >= STEADY;
                    if is_steady || before != version {
                        pause = Pause(PAUSE);
                    }
                    match end {
                        End::Timeout if is_steady => failures = 0,
                        End::Timeout => pause.wait().await,
                        // A list costs the API server more than a watch.
                        End::LostPlace if is_steady => break,
                        End::LostPlace => {
                            pause.wait().await;
                            break;
                        }
                        End::Failed(why) => {
                            failures = if before == version { failures + 1 } else { 1 };
                            send(Change::Failed(why)).await;
                            pause.wait().await;
                        }
                    }
                }
            }
            Err(why) => {
                send(Change::Failed(why)).await;
                pause.wait().await;
            }
        }
    }
}

/// How long the next pause is: twice the one before, until a watch has lasted or told of something.
struct Pause(Duration);

impl Pause {
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSE_MAX);
    }
}

/// An object without who changed it when, and without the longest of its labels and annotations where they are more than is made
/// of them: a tenant's thousand services with all that Kubernetes allows (256 KiB) were as many copies.
fn within_limits<K: Resource>(mut object: K) -> K {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    for texts in [&mut meta.labels, &mut meta.annotations] {
        let Some(texts) = texts else {
            continue;
        };
        let bytes = |(name, value): (&String, &String)| name.len() + value.len();
        let mut all: usize = texts.iter().map(bytes).sum();
        while all > METADATA_BYTES_MAX {
            let longest = texts.iter().max_by_key(|one| bytes(*one));
            let Some((name, held)) = longest.map(|one| (one.0.clone(), bytes(one))) else {
                break;
            };
            texts.remove(&name);
            all -= held;
        }
    }
    object
}

async fn list<K, T>(
    api: &Api<K>,
    selectors: &Selectors,
    keep: &impl Fn(K) -> T,
) -> Result<(BTreeMap<String, T>, String, Budget), String>
where
    K: Resource + Clone + Debug + DeserializeOwned,
    T: Kept,
{
    let mut parameters = ListParams::default().limit(PAGE);
    if !selectors.label.is_empty() {
        parameters = parameters.labels(&selectors.label);
    }
    if !selectors.field.is_empty() {
        parameters = parameters.fields(&selectors.field);
    }
    let keep = |object: K| (key(&object), keep(object));
    let (mut all, mut budget) = (BTreeMap::new(), Budget::default());
    for _ in 0..PAGES_MAX {
        let page = tokio::time::timeout(LIST, list_page::ask(api, &parameters, &keep)).await;
        let page = page.map_err(|_| format!("no list within {LIST:?}"))?;
        let page = page.map_err(|refused| match refused {
            Refused::Status(status) if status.code == NOT_FOUND => NO_SUCH_KIND.to_owned(),
            Refused::Status(status) => in_words(&kube::Error::Api(status)),
            Refused::Failed(why) => why,
        })?;
        for (key, kept) in page.objects {
            budget.put(&key, &kept)?;
            all.insert(key, kept);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => {
                let version = page.metadata.resource_version.unwrap_or_default();
                return Ok((all, version, budget));
            }
        }
    }
    Err(format!(
        "a list of more than {PAGES_MAX} pages: narrow it by `selectors` or `namespaces`"
    ))
}

/// How a watch ended.
enum End {
    /// As it should after its time.
    Timeout,
    /// The version is too old.
    LostPlace,
    /// Otherwise.
    Failed(String),
}

/// Watches from `version` on, which moves with what is seen.
async fn watch<K, T, F>(
    api: &Api<K>,
    selectors: &Selectors,
    (version, budget): (&mut String, &mut Budget),
    keep: &impl Fn(K) -> T,
    send: &impl Fn(Change<T>) -> F,
) -> End
where
    K: Resource + Clone + Debug + DeserializeOwned,
    T: Kept,
    F: Future<Output = ()>,
{
    let mut parameters = WatchParams::default().timeout(WATCH_S); // bookmarks are the default
    if !selectors.label.is_empty() {
        parameters = parameters.labels(&selectors.label);
    }
    if !selectors.field.is_empty() {
        parameters = parameters.fields(&selectors.field);
    }
    let stream = match tokio::time::timeout(LIST, api.watch(&parameters, version)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return ended(&error),
        Err(_) => return End::Failed("the watch does not begin".to_owned()),
    };
    let mut stream = pin!(stream);
    loop {
        let next = tokio::time::timeout(SILENCE, stream.next()).await;
        match next {
            Err(_) => return End::Failed("the watch was silent for too long".to_owned()),
            Ok(None) => return End::Timeout,
            Ok(Some(Err(error))) => return ended(&error),
            Ok(Some(Ok(WatchEvent::Error(status)))) if status.code == GONE => {
                return End::LostPlace;
            }
            Ok(Some(Ok(WatchEvent::Error(status)))) => return End::Failed(status.message.clone()),
            Ok(Some(Ok(WatchEvent::Bookmark(mark)))) => *version = mark.metadata.resource_version,
            Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => {
                let version_of = object.meta().resource_version.clone();
                let (key, kept) = (key(&object), keep(object));
                if let Err(why) = budget.put(&key, &kept) {
                    return End::Failed(why);
                }
                if let Some(newer) = version_of {
                    *version = newer;
                }
                send(Change::Put(key, kept)).await;
            }
            Ok(Some(Ok(WatchEvent::Deleted(object)))) => {
                if let Some(newer) = &object.meta().resource_version {
                    version.clone_from(newer);
                }
                let key = key(&object);
                budget.remove(&key);
                send(Change::Gone(key)).await;
            }
        }
    }
}

fn ended(error: &kube::Error) -> End {
    match error {
        kube::Error::Api(status) if status.code == GONE => End::LostPlace,
        error => End::Failed(in_words(error)),
    }
}

fn in_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "{}: bind a ClusterRole to it with the verbs get, list and watch on these objects",
            status.message
        ),
        error => crate::cluster::words(error),
    }
}

fn key<K: Resource>(object: &K) -> String {
    let meta = object.meta();
    let name = meta.name.as_deref().unwrap_or("");
    match &meta.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(usize);

    impl Kept for Bytes {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    /// A watch added what it was sent, as long as it was sent: 1.2 GB in 20 s.
    #[test]
    fn what_a_watch_keeps_is_bounded() {
        let mut budget = Budget::default();
        let put = |budget: &mut Budget, key: &str, bytes| budget.put(key, &Bytes(bytes));
        assert!(
            put(&mut budget, &"n".repeat(3 << 20), 1).is_err(),
            "no name of Kubernetes"
        );
        let half = KEPT_BYTES_MAX / 2;
        for _ in 0..3 {
            put(&mut budget, "a", half).expect("in the place of the one before");
        }
        let why = put(&mut budget, "b", half).expect_err("both are more than there may be");
        assert!(
            why.contains("400 MiB") && why.contains("selectors"),
            "{why}"
        );
        put(&mut budget, "b", 1_000).expect("it fits");
        budget.remove("a");
        put(&mut budget, "c", half).expect("a is gone");
        for key in ["b", "c", "never"] {
            budget.remove(key);
        }
        assert_eq!(budget.bytes, 0);
        for at in 0..OBJECTS_MAX {
            put(&mut budget, &at.to_string(), 1).expect("so many there may be");
        }
        assert!(put(&mut budget, "one more", 1).is_err());
        put(&mut budget, "0", 2).expect("it is there");
    }
}
