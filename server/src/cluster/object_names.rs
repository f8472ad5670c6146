//! Which objects there are: names and labels of the objects of a kind in a namespace, watched from the first question for
//! them until some minutes after the last. Only their metadata is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::{Api, Client};
use parking_lot::Mutex;
use stillwell_adapters::host::ListedObject;
use stillwell_adapters::objects::{Kind, Selector};
use tokio::sync::watch;
use tracing::warn;

use super::list_watch::{Bounds, Change, Kept, Selectors, follow};

/// How long a question waits for the first list. An HPA's worker has 4.5 s in all.
const FIRST_LIST: Duration = Duration::from_millis(2_500);
/// Objects of one kind in one namespace; more are no HPA's pods.
const OBJECTS_MAX: usize = 50_000;
/// Names and labels of all of them: a pod has some 500 bytes of these.
const KNOWN_BYTES_MAX: usize = 64 << 20;

/// What is kept of an object.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Kept for Names {
    fn bytes(&self) -> usize {
        let each = self.0.iter().map(|(name, value)| name.len() + value.len());
        each.sum()
    }
}

/// What is known of the objects of a kind in a namespace.
#[derive(Default)]
struct State {
    /// `None` until the first list.
    known: Option<BTreeMap<String, Names>>,
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
        let api: Api<PartialObjectMeta<DynamicObject>> = match namespace {
            "" => Api::all_with(client, &resource),
            namespace => Api::namespaced_with(client, namespace, &resource),
        };
        let state: Arc<Mutex<State>> = Arc::default();
        let (tell, attempts) = watch::channel(0);
        let what = format!("{} of namespace {namespace:?}", kind.resource);
        let task = tokio::spawn(keep(api, what, Arc::clone(&state), tell));
        Watched {
            state,
            attempts,
            task,
        }
    }

    /// The names of the objects whose labels fit. Waits for the first list, but not for long.
    pub(super) async fn names(&self, selector: &Selector) -> Result<Vec<String>, String> {
        self.each(selector, |(_, name), _| name.to_owned()).await
    }

    /// The objects whose labels fit, by namespace and name. Waits as `names` does.
    pub(super) async fn list(&self, selector: &Selector) -> Result<Vec<ListedObject>, String> {
        let object =
            |(namespace, name): (&str, &str), labels: &BTreeMap<String, String>| ListedObject {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                labels: labels.clone(),
            };
        self.each(selector, object).await
    }

    async fn each<T>(
        &self,
        selector: &Selector,
        of: impl Fn((&str, &str), &BTreeMap<String, String>) -> T,
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
        let fitting = known.iter().filter(|(_, names)| fits(&names.0));
        let fitting = fitting.map(|(key, names)| (key.split_once('/').unwrap_or(("", key)), names));
        let fitting = fitting.map(|(key, names)| of(key, &names.0));
        Ok(fitting.collect())
    }
}

/// Keeps what is known up to date. Never ends. While the API server cannot be asked, what was known stays.
async fn keep(
    api: Api<PartialObjectMeta<DynamicObject>>,
    what: String,
    state: Arc<Mutex<State>>,
    tell: watch::Sender<u64>,
) {
    let selectors = Selectors {
        bounds: Bounds {
            objects: OBJECTS_MAX,
            bytes: KNOWN_BYTES_MAX,
            // An HPA that was told of a part of its pods would take it for all.
            leaves_out: false,
        },
        ..Selectors::default()
    };
    let names = |object: PartialObjectMeta<DynamicObject>| {
        Names(object.metadata.labels.unwrap_or_default())
    };
    let take = |change| {
        let is_try = !matches!(change, Change::Put(..) | Change::Gone(_));
        let news = state.lock().take(change);
        if is_try {
            tell.send_modify(|attempts| *attempts += 1);
        }
        if let Some(why) = news {
            warn!(
                why,
                "{what} cannot be listed; HPAs that read them get no number"
            );
        }
        std::future::ready(())
    };
    follow(api, selectors, names, take).await;
}

impl State {
    /// Takes a change. Returns why nothing can be seen, where that is news.
    fn take(&mut self, change: Change<Names>) -> Option<String> {
        match change {
            Change::All(all) => {
                self.known = Some(all);
                self.why.clear();
            }
            Change::Put(key, names) => {
                self.known.get_or_insert_default().insert(key, names);
            }
            Change::Gone(key) => {
                self.known.get_or_insert_default().remove(&key);
            }
            Change::Failed(why) | Change::Beyond(why) | Change::AllBut { why, .. } => {
                let news = self.why != why;
                self.why.clone_from(&why);
                return news.then_some(why);
            }
        }
        None
    }
}
