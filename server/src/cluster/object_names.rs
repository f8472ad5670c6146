//! Which objects there are: names and labels of the objects of a kind in a namespace, watched from the first question for
//! them until some minutes after the last. Only their metadata is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::{Api, Client, ResourceExt as _};
use parking_lot::Mutex;
use stillwell_adapters::host::ListedObject;
use stillwell_adapters::objects::{Kind, Selector};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

/// Objects of a page of the list.
const PAGE: u32 = 1_000;
/// One page.
const LIST: Duration = Duration::from_secs(30);
/// The server ends a watch after this long; a stream that stays silent for longer is dead (bookmarks come every minute).
const WATCH_S: u32 = 290;
const SILENCE: Duration = Duration::from_secs(300);
/// A watch that ends sooner has failed.
const WATCH_SHORTEST: Duration = Duration::from_secs(1);
/// After a watch that lasted so long the next list comes at once.
const WATCH_STEADY: Duration = Duration::from_secs(10);
/// Between a failure and the next try: at first, and at most.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a question waits for the first list. An HPA's worker has 4.5 s in all.
const FIRST_LIST: Duration = Duration::from_millis(2_500);
/// Objects of one kind in one namespace; more are no HPA's pods.
const OBJECTS_MAX: usize = 50_000;
/// Pages of a list: a server may give fewer objects than it is asked for.
const PAGES_MAX: u32 = 500;
/// Names and labels of all of them: a pod has some 500 bytes of these.
const KNOWN_BYTES_MAX: usize = 64 << 20;
/// Labels of one object, and bytes of them; the API server's own limit of an object is 1.5 MB.
const LABEL_BYTES_MAX: usize = 64 << 10;
/// A name or a namespace (apimachinery, `IsDNS1123Subdomain`).
const NAME_BYTES_MAX: usize = 253;

/// A namespace and a name.
type Key = (String, String);

/// Labels of objects.
#[derive(Default)]
struct Known {
    of: BTreeMap<Key, BTreeMap<String, String>>,
    bytes: usize,
}

impl Known {
    /// Takes an object, or what it is now. What no API server has, and what there is no room for, is left out: whether that is so
    /// is answered.
    fn put(&mut self, mut object: PartialObjectMeta<DynamicObject>) -> bool {
        let mut labels = object.metadata.labels.take().unwrap_or_default();
        if label_bytes(&labels) > LABEL_BYTES_MAX {
            labels.clear();
        }
        let key = key(&object);
        self.remove(&key);
        let bytes = self.bytes + key_bytes(&key) + label_bytes(&labels);
        let is_name = key.0.len() <= NAME_BYTES_MAX && key.1.len() <= NAME_BYTES_MAX;
        let fits = is_name && bytes <= KNOWN_BYTES_MAX && self.of.len() < OBJECTS_MAX;
        if fits {
            self.bytes = bytes;
            self.of.insert(key, labels);
        }
        fits
    }

    fn remove(&mut self, key: &Key) {
        if let Some(labels) = self.of.remove(key) {
            self.bytes -= key_bytes(key) + label_bytes(&labels);
        }
    }
}

fn key_bytes(key: &Key) -> usize {
    key.0.len() + key.1.len()
}

fn label_bytes(labels: &BTreeMap<String, String>) -> usize {
    let each = labels.iter().map(|(name, value)| name.len() + value.len());
    each.sum()
}

/// What is known of the objects of a kind in a namespace.
#[derive(Default)]
struct State {
    /// `None` until the first list.
    known: Option<Known>,
    /// Why the API server could not be asked, last.
    why: String,
}

/// A watch. Dropping it ends it.
pub(super) struct Watched {
    state: Arc<Mutex<State>>,
    /// Counts the attempts to list.
    attempts: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watched {
    /// Begins to watch on the current runtime.
    pub(super) fn start(client: Client, kind: &Kind, namespace: &str) -> Watched {
        let resource = ApiResource {
            group: kind.group.clone(),
            version: kind.version.clone(),
            api_version: kind.api_version(),
            kind: kind.kind.clone(),
            plural: kind.resource.clone(),
        };
        let api: Api<DynamicObject> = match namespace {
            "" => Api::all_with(client, &resource),
            namespace => Api::namespaced_with(client, namespace, &resource),
        };
        let state: Arc<Mutex<State>> = Arc::default();
        let (tell, attempts) = watch::channel(0);
        let what = format!("{} of namespace {namespace:?}", kind.resource);
        let task = tokio::spawn(follow(api, what, Arc::clone(&state), tell));
        Watched {
            state,
            attempts,
            task,
        }
    }

    /// The names of the objects whose labels fit. Waits for the first list, but not for long.
    pub(super) async fn names(&self, selector: &Selector) -> Result<Vec<String>, String> {
        self.each(selector, |(_, name), _| name.clone()).await
    }

    /// The objects whose labels fit, by namespace and name. Waits as `names` does.
    pub(super) async fn list(&self, selector: &Selector) -> Result<Vec<ListedObject>, String> {
        let object = |(namespace, name): &(String, String), labels: &BTreeMap<String, String>| {
            ListedObject {
                namespace: namespace.clone(),
                name: name.clone(),
                labels: labels.clone(),
            }
        };
        self.each(selector, object).await
    }

    async fn each<T>(
        &self,
        selector: &Selector,
        of: impl Fn(&(String, String), &BTreeMap<String, String>) -> T,
    ) -> Result<Vec<T>, String> {
        let mut attempts = self.attempts.clone();
        let first = attempts.wait_for(|attempts| *attempts > 0);
        // What there is by then decides.
        tokio::time::timeout(FIRST_LIST, first).await.ok();
        let state = self.state.lock();
        let Some(known) = &state.known else {
            return Err(match state.why.as_str() {
                "" => format!("the API server gave no list within {FIRST_LIST:?}"),
                why => why.to_owned(),
            });
        };
        let fits = |labels: &BTreeMap<String, String>| {
            selector.matches_object(|label| labels.get(label).map(String::as_str))
        };
        let fitting = known.of.iter().filter(|(_, labels)| fits(labels));
        Ok(fitting.map(|(key, labels)| of(key, labels)).collect())
    }
}

/// Keeps what is known up to date. Never ends. While the API server cannot be asked, what was known stays.
async fn follow(
    api: Api<DynamicObject>,
    what: String,
    state: Arc<Mutex<State>>,
    tell: watch::Sender<u64>,
) {
    let mut pause = PAUSE;
    loop {
        match list(&api).await {
            Ok((known, mut version)) => {
                {
                    let mut state = state.lock();
                    state.known = Some(known);
                    state.why.clear();
                }
                tell.send_modify(|attempts| *attempts += 1);
                let listed = Instant::now();
                let mut since = listed;
                while watch_from(&api, &mut version, &state).await == Ended::Timeout
                    && since.elapsed() > WATCH_SHORTEST
                {
                    since = Instant::now();
                }
                // A list of a server whose watches end at once costs it more than it tells us.
                pause = match listed.elapsed() > WATCH_STEADY {
                    true => PAUSE,
                    false => (pause * 2).min(PAUSE_MAX),
                };
            }
            Err(why) => {
                let why = why.to_string();
                let news = std::mem::replace(&mut state.lock().why, why.clone()) != why;
                tell.send_modify(|attempts| *attempts += 1);
                if news {
                    warn!(
                        why,
                        "{what} cannot be listed; HPAs that read them get no number"
                    );
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Why a list could not be had.
enum Refused {
    Server(kube::Error),
    Late,
    TooMany,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Server(kube::Error::Api(status)) if status.code == 403 => write!(
                f,
                "{}: bind a ClusterRole to it with the verbs list and watch",
                status.message
            ),
            Refused::Server(error) => f.write_str(&super::words(error)),
            Refused::Late => write!(f, "no list within {LIST:?}"),
            Refused::TooMany => write!(
                f,
                "there are more than {OBJECTS_MAX} in the namespace, or {} MiB of names and labels",
                KNOWN_BYTES_MAX >> 20
            ),
        }
    }
}

async fn list(api: &Api<DynamicObject>) -> Result<(Known, String), Refused> {
    let mut parameters = ListParams::default().limit(PAGE);
    let mut known = Known::default();
    for _ in 0..PAGES_MAX {
        let page = tokio::time::timeout(LIST, api.list_metadata(&parameters)).await;
        let page = page.map_err(|_| Refused::Late)?.map_err(Refused::Server)?;
        for object in page.items {
            if !known.put(object) {
                return Err(Refused::TooMany);
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok((known, page.metadata.resource_version.unwrap_or_default())),
        }
    }
    Err(Refused::TooMany)
}

fn key(object: &PartialObjectMeta<DynamicObject>) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// How a watch ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// As it should after its time: it goes on from where it was.
    Timeout,
    /// A list is needed.
    Failed,
}

/// Watches from `version` on, which moves with what is seen. Ends always.
async fn watch_from(api: &Api<DynamicObject>, version: &mut String, state: &Mutex<State>) -> Ended {
    let parameters = WatchParams::default().timeout(WATCH_S); // bookmarks are the default
    let stream = api.watch_metadata(&parameters, version);
    let stream = match tokio::time::timeout(LIST, stream).await {
        Ok(Ok(stream)) => stream,
        _ => return Ended::Failed,
    };
    let mut stream = pin!(stream);
    loop {
        let event = match tokio::time::timeout(SILENCE, stream.next()).await {
            Ok(None) => return Ended::Timeout,
            Ok(Some(Ok(event))) => event,
            Ok(Some(Err(_))) | Err(_) => return Ended::Failed,
        };
        let mut state = state.lock();
        let Some(known) = &mut state.known else {
            return Ended::Failed; // there was a list before
        };
        match event {
            WatchEvent::Bookmark(mark) => *version = mark.metadata.resource_version,
            WatchEvent::Error(_) => return Ended::Failed,
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                advance(version, &object);
                if !known.put(object) {
                    return Ended::Failed; // the list says why
                }
            }
            WatchEvent::Deleted(object) => {
                advance(version, &object);
                known.remove(&key(&object));
            }
        }
    }
}

fn advance(version: &mut String, object: &PartialObjectMeta<DynamicObject>) {
    if let Some(newer) = &object.metadata.resource_version {
        version.clone_from(newer);
    }
}
