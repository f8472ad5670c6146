//! Follows the objects of one kind: a list, then a watch from there on, and a list again where the watch lost its place.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::list_page::{self, Refused};

/// Objects of a page of the list.
const PAGE: u32 = 500;
/// Objects of it, some forty times what a process is meant for, ...
const OBJECTS_MAX: usize = 200_000;
/// ... and pages: a server may give fewer objects than it is asked for.
const PAGES_MAX: u32 = 2_000;
/// All labels of an object, and all annotations (apimachinery, `TotalAnnotationSizeLimitB`).
const METADATA_BYTES_MAX: usize = 256 << 10;
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

/// Hands on every change, made to what is kept of an object by `keep`. Never ends.
pub(crate) async fn follow<K, T, F>(
    api: Api<K>,
    selectors: Selectors,
    keep: impl Fn(K) -> T,
    send: impl Fn(Change<T>) -> F,
) where
    K: Resource + Clone + Debug + DeserializeOwned,
    F: Future<Output = ()>,
{
    let keep = |object: K| keep(within_limits(object));
    let mut pause = Pause(PAUSE);
    loop {
        match list(&api, &selectors, &keep).await {
            Ok((all, mut version)) => {
                send(Change::All(all)).await;
                let mut failures = 0;
                while failures < FAILURES_MAX {
                    let (before, began) = (version.clone(), Instant::now());
                    let end = watch(&api, &selectors, &mut version, &keep, &send).await;
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

/// An object without labels or annotations that are larger than Kubernetes lets them be, which only somebody else than an API
/// server sends: each is kept several times, as labels of targets.
fn within_limits<K: Resource>(mut object: K) -> K {
    let meta = object.meta_mut();
    for texts in [&mut meta.labels, &mut meta.annotations] {
        let bytes = texts
            .iter()
            .flatten()
            .map(|(name, value)| name.len() + value.len());
        if bytes.sum::<usize>() > METADATA_BYTES_MAX {
            *texts = None;
        }
    }
    object
}

async fn list<K, T>(
    api: &Api<K>,
    selectors: &Selectors,
    keep: &impl Fn(K) -> T,
) -> Result<(BTreeMap<String, T>, String), String>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut parameters = ListParams::default().limit(PAGE);
    if !selectors.label.is_empty() {
        parameters = parameters.labels(&selectors.label);
    }
    if !selectors.field.is_empty() {
        parameters = parameters.fields(&selectors.field);
    }
    let keep = |object: K| (key(&object), keep(object));
    let mut all = BTreeMap::new();
    for _ in 0..PAGES_MAX {
        let page = tokio::time::timeout(LIST, list_page::ask(api, &parameters, &keep)).await;
        let page = page.map_err(|_| format!("no list within {LIST:?}"))?;
        let page = page.map_err(|refused| match refused {
            Refused::Status(status) if status.code == NOT_FOUND => NO_SUCH_KIND.to_owned(),
            Refused::Status(status) => in_words(&kube::Error::Api(status)),
            Refused::Failed(why) => why,
        })?;
        all.extend(page.objects);
        if all.len() > OBJECTS_MAX {
            break;
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok((all, page.metadata.resource_version.unwrap_or_default())),
        }
    }
    Err(format!(
        "a list of more than {OBJECTS_MAX} objects: narrow it by `selectors` or `namespaces`"
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
    version: &mut String,
    keep: &impl Fn(K) -> T,
    send: &impl Fn(Change<T>) -> F,
) -> End
where
    K: Resource + Clone + Debug + DeserializeOwned,
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
                advance(version, &object);
                send(Change::Put(key(&object), keep(object))).await;
            }
            Ok(Some(Ok(WatchEvent::Deleted(object)))) => {
                advance(version, &object);
                send(Change::Gone(key(&object))).await;
            }
        }
    }
}

fn advance<K: Resource>(version: &mut String, object: &K) {
    if let Some(newer) = &object.meta().resource_version {
        version.clone_from(newer);
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
