//! Follows the objects of one kind: a list, then a watch from there on, and a list again where the watch lost its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::warn;

pub(crate) use super::budget::{Bounds, Kept, json_bytes, namespace_of};
use super::budget::{Budget, Room, Sizes};
use super::list_page::{self, Refused};

/// Labels, and annotations, of an object; what is beyond is left out, the longest first.
pub(crate) const METADATA_BYTES_MAX: usize = 32 << 10;
/// Objects of a page of the list.
const PAGE: u32 = 500;
/// Pages of it: a server may give fewer objects than it is asked for.
const PAGES_MAX: u32 = 2_000;
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
    /// How much of it is kept.
    pub(crate) bounds: Bounds,
}

/// A change of what there is. Keys are `namespace/name`, or the name of what has no namespace.
#[derive(Debug)]
pub(crate) enum Change<T> {
    /// This is all there is.
    All(BTreeMap<String, T>),
    /// This is all there is but for some namespaces, of which there is more than is kept. What was there of them is taken to be
    /// there still, as where nothing can be seen: without them a sum would be less than there is.
    AllBut {
        /// What is seen.
        all: BTreeMap<String, T>,
        /// The namespaces of which nothing is seen now.
        left_out: BTreeSet<String>,
        /// Which, and what is more than is kept.
        why: String,
    },
    /// This is new or changed.
    Put(String, T),
    /// This is gone.
    Gone(String),
    /// Nothing can be seen now, and why. What was there is taken to be there still.
    Failed(String),
    /// The same, for there is more than is kept: what is new there will not be seen.
    Beyond(String),
}

/// Why there is no list.
enum NoList {
    Failed(String),
    /// There is more than is kept.
    Beyond(String),
}

/// Hands on every change, made to what is kept of an object by `keep`. Never ends. Of partial metadata no more is asked for.
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
    // What others keep of each namespace.
    let mut sizes = Sizes::new();
    loop {
        let listed = list(&api, &selectors, &keep).await;
        let listed = listed.and_then(|(all, version, budget)| {
            sizes = budget.sizes(&sizes).map_err(NoList::Beyond)?;
            Ok((all, version, budget))
        });
        match listed {
            Ok((all, mut version, mut budget)) => {
                send(all_or_part(all, &budget)).await;
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
                        // There may be room again.
                        End::Timeout if is_steady && budget.left_out().next().is_some() => break,
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
                        End::Beyond(why) => {
                            send(Change::Beyond(why)).await;
                            pause.wait().await;
                            break;
                        }
                    }
                }
                // What the watch has added is kept, too, where the next list leaves its namespace out. More than that there is not.
                sizes = budget.sizes(&sizes).unwrap_or(sizes);
            }
            Err(NoList::Failed(why)) => {
                send(Change::Failed(why)).await;
                pause.wait().await;
            }
            Err(NoList::Beyond(why)) => {
                send(Change::Beyond(why)).await;
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
) -> Result<(BTreeMap<String, T>, String, Budget), NoList>
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
    let (mut all, mut budget) = (BTreeMap::new(), Budget::new(selectors.bounds));
    for _ in 0..PAGES_MAX {
        let page = tokio::time::timeout(LIST, list_page::ask(api, &parameters, &keep)).await;
        let silent = |_| NoList::Failed(format!("no list within {LIST:?}"));
        let page = page.map_err(silent)?.map_err(|refused| {
            NoList::Failed(match refused {
                Refused::Status(status) if status.code == NOT_FOUND => NO_SUCH_KIND.to_owned(),
                Refused::Status(status) => in_words(&kube::Error::Api(status)),
                Refused::Failed(why) => why,
            })
        })?;
        for (key, kept) in page.objects {
            let room = loop {
                match budget.put(&key, &kept).map_err(NoList::Beyond)? {
                    Room::Instead(namespace) => leave_out(&namespace, (&mut all, &mut budget)),
                    room => break room,
                }
            };
            if room == Room::Fits {
                all.insert(key, kept);
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => {
                let version = page.metadata.resource_version.unwrap_or_default();
                return Ok((all, version, budget));
            }
        }
    }
    Err(NoList::Beyond(format!(
        "a list of more than {PAGES_MAX} pages: narrow it by `selectors` or `namespaces`"
    )))
}

fn all_or_part<T>(all: BTreeMap<String, T>, budget: &Budget) -> Change<T> {
    let left_out: BTreeSet<String> = budget.left_out().map(str::to_owned).collect();
    match left_out.first() {
        None => Change::All(all),
        Some(first) => Change::AllBut {
            why: format!(
                "namespace {first:?} and {} others, which hold most, cannot be seen, and what was seen of them last stays: {}",
                left_out.len() - 1,
                budget.beyond()
            ),
            all,
            left_out,
        },
    }
}

/// Forgets what was listed of a namespace, and takes none of it any more.
fn leave_out<T>(namespace: &str, (all, budget): (&mut BTreeMap<String, T>, &mut Budget)) {
    let keys = all.range(format!("{namespace}/")..).map(|(key, _)| key);
    let keys = keys.take_while(|key| namespace_of(key) == namespace);
    let keys: Vec<String> = keys.cloned().collect();
    for key in &keys {
        all.remove(key);
        budget.remove(key);
    }
    budget.leave_out(namespace);
    warn!(
        why = budget.beyond(),
        "namespace {namespace:?}, which holds most, is left out with the {} objects seen of it until there is room",
        keys.len()
    );
}

/// How a watch ended.
enum End {
    /// As it should after its time.
    Timeout,
    /// The version is too old.
    LostPlace,
    /// There is more than is kept.
    Beyond(String),
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
    let request = match watch_request(api, selectors, version) {
        Ok(request) => request,
        Err(error) => return End::Failed(error.to_string()),
    };
    let client = api.clone().into_client();
    let stream = client.request_events::<K>(request);
    let stream = match tokio::time::timeout(LIST, stream).await {
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
                let room = match budget.put(&key, &kept) {
                    Ok(room) => room,
                    Err(why) => return End::Beyond(why),
                };
                if let Some(newer) = version_of {
                    *version = newer;
                }
                match room {
                    Room::Fits => send(Change::Put(key, kept)).await,
                    Room::LeftOut => {}
                    Room::Instead(_) => return End::LostPlace, // the list leaves it out
                }
            }
            Ok(Some(Ok(WatchEvent::Deleted(object)))) => {
                if let Some(newer) = &object.meta().resource_version {
                    version.clone_from(newer);
                }
                let key = key(&object);
                // What takes its place there is not seen either.
                if !budget.is_left_out(namespace_of(&key)) {
                    budget.remove(&key);
                    send(Change::Gone(key)).await;
                }
            }
        }
    }
}

fn watch_request<K: Resource>(
    api: &Api<K>,
    selectors: &Selectors,
    version: &str,
) -> Result<axum::http::Request<Vec<u8>>, impl std::error::Error + use<K>> {
    let mut parameters = WatchParams::default().timeout(WATCH_S); // bookmarks are the default
    if !selectors.label.is_empty() {
        parameters = parameters.labels(&selectors.label);
    }
    if !selectors.field.is_empty() {
        parameters = parameters.fields(&selectors.field);
    }
    let request = Request::new(api.resource_url());
    match K::metadata_api() {
        true => request.watch_metadata(&parameters, version),
        false => request.watch(&parameters, version),
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
        error => super::words(error),
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
