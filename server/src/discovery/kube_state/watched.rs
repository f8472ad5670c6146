//! One watch and the pages about what it sees. A watch is a target (S2b): a page is as good as the API server's answer.
//!
//! Each page is preceded by a question to the API server. Without an answer there is no page, and the watch begins anew
//! with a list: a stream that outlived an outage may have died unnoticed. So a page tells what was so when it was asked
//! for, or the scrape fails and what was known is held, then unknown.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use parking_lot::Mutex;
use stillwell_engine::NotKnown;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Duration, Instant};

use super::families::{Facts, Kind, page};
use super::selection::Selection;
use crate::cluster::list_watch::{Bounds, Change, NO_SUCH_KIND, Selectors, follow};
use crate::scrape::{WritesPages, WrittenPage};

/// One question. It is far below the timeout of a scrape.
const ANSWER: Duration = Duration::from_secs(2);
/// A list that failed is not asked for again sooner than this.
const LIST_AGAIN: Duration = Duration::from_secs(1);
/// Objects of one kind; more are told of by a kube-state-metrics that is sharded.
const OBJECTS_MAX: usize = 100_000;
/// The API server is there and does not know us any more.
const UNAUTHORIZED: u16 = 401;

/// What a watch has seen.
#[derive(Default)]
struct Known {
    objects: BTreeMap<String, Facts>,
    /// Whether this is what there is: listed, and followed since.
    current: bool,
    /// Since when it is, or is not.
    since: Option<Instant>,
    /// Whether it was ever listed.
    listed: bool,
    /// Why it is not current.
    why: String,
}

impl Known {
    fn set_current(&mut self, is_current: bool) {
        if self.since.is_none() || self.current != is_current {
            (self.current, self.since) = (is_current, Some(Instant::now()));
        }
    }
}

/// Asks for a page.
type Asked = oneshot::Sender<Result<Vec<u8>, String>>;

/// Where pages are asked for. The watch ends with it.
pub(super) struct Watched {
    kind: &'static Kind,
    namespace: String,
    known: Arc<Mutex<Known>>,
    ask: mpsc::Sender<Asked>,
    /// So many pages of it are in the store.
    stored: AtomicUsize,
    /// Somebody waits for as many of them.
    awaited: AtomicUsize,
    changed: mpsc::Sender<()>,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of namespace {:?}", self.kind.plural, self.namespace)
    }
}

impl Watched {
    /// Begins to watch on the current runtime. Pages tell of what is in `selection`; `changed` is told of the first list
    /// and of failures before it.
    pub(super) fn start(
        client: Client,
        kind: &'static Kind,
        namespace: &str,
        selection: watch::Receiver<Selection>,
        changed: mpsc::Sender<()>,
    ) -> Watched {
        let known: Arc<Mutex<Known>> = Arc::default();
        let (ask, asked) = mpsc::channel(1); // one scrape at a time
        let task = Task {
            client,
            kind,
            namespace: namespace.to_owned(),
            known: Arc::clone(&known),
            selection,
            changed: changed.clone(),
            begun: Instant::now(),
        };
        Watched {
            stored: AtomicUsize::new(0),
            awaited: AtomicUsize::new(1),
            changed,
            kind,
            namespace: namespace.to_owned(),
            known,
            ask,
            task: tokio::spawn(task.run(asked)).abort_handle(),
        }
    }

    /// One that was listed, and then sees what there is, or nothing.
    #[cfg(test)]
    pub(super) fn idle(kind: &'static Kind, namespace: &str, sees: bool) -> Watched {
        let mut known = Known {
            listed: true,
            ..Known::default()
        };
        known.set_current(sees);
        Watched {
            kind,
            namespace: namespace.to_owned(),
            known: Arc::new(Mutex::new(known)),
            ask: mpsc::channel(1).0,
            stored: AtomicUsize::new(1),
            awaited: AtomicUsize::new(1),
            changed: mpsc::channel(1).0,
            task: tokio::spawn(std::future::pending::<()>()).abort_handle(),
        }
    }

    /// Whether it was ever listed: before that it is no target. Else why not, where that is known.
    pub(super) fn listed(&self) -> Result<(), String> {
        let known = self.known.lock();
        match known.listed {
            true => Ok(()),
            false => Err(known.why.clone()),
        }
    }

    /// Whether it sees what there is now, and for how long it has, or has not.
    pub(super) fn sees(&self) -> (bool, Duration) {
        let known = self.known.lock();
        let lasts = known.since.map(|since| since.elapsed());
        (known.current, lasts.unwrap_or_default())
    }

    /// Pages of it that are in the store.
    pub(super) fn stored(&self) -> usize {
        self.stored.load(Ordering::Acquire)
    }

    /// Tells of each page that is stored up to this one.
    pub(super) fn await_page(&self, number: usize) {
        self.awaited.store(number, Ordering::Release);
    }

    /// What it watches.
    pub(super) fn what(&self) -> (&'static Kind, &str) {
        (self.kind, &self.namespace)
    }
}

impl WritesPages for Watched {
    fn page(&self) -> Pin<Box<dyn Future<Output = Result<WrittenPage, String>> + Send + '_>> {
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            let gone = || "the watch has ended".to_owned();
            self.ask.send(tell).await.map_err(|_| gone())?;
            let body = told.await.map_err(|_| gone())??;
            Ok(WrittenPage {
                body,
                not_known: NotKnown::default(),
            })
        })
    }

    fn stored(&self) {
        if self.stored.fetch_add(1, Ordering::AcqRel) < self.awaited.load(Ordering::Acquire) {
            self.changed.try_send(()).ok(); // one that waits to be looked at is enough
        }
    }
}

struct Task {
    client: Client,
    kind: &'static Kind,
    namespace: String,
    known: Arc<Mutex<Known>>,
    selection: watch::Receiver<Selection>,
    changed: mpsc::Sender<()>,
    begun: Instant,
}

impl Task {
    async fn run(mut self, mut asked: mpsc::Receiver<Asked>) {
        loop {
            self.begun = Instant::now();
            let (lose, mut lost) = mpsc::channel(1);
            let following = self.follow(lose);
            let mut following = std::pin::pin!(following);
            let lost = loop {
                tokio::select! {
                    () = &mut following => break "the watch has ended".to_owned(),
                    Some(why) = lost.recv() => break why,
                    Some(tell) = asked.recv() => match self.answers().await {
                        Ok(()) => drop(tell.send(self.page())),
                        Err(why) => {
                            tell.send(Err(why.clone())).ok(); // the scrape may have ended
                            break why;
                        }
                    },
                    else => return,
                }
            };
            let again = self.begun + LIST_AGAIN;
            self.lose(lost);
            // Whoever asks meanwhile is told at once.
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(again) => break,
                    Some(tell) = asked.recv() => drop(tell.send(self.page())),
                    else => return,
                }
            }
        }
    }

    fn lose(&self, why: String) {
        let mut known = self.known.lock();
        known.set_current(false);
        known.why = why;
        drop(known);
        self.changed.try_send(()).ok(); // full: it is told anyway
    }

    /// Whether the API server is there.
    async fn answers(&self) -> Result<(), String> {
        match tokio::time::timeout(ANSWER, self.client.apiserver_version()).await {
            Err(_) => Err(format!("the API server does not answer within {ANSWER:?}")),
            // Who refuses is there; only who no longer knows us ends the watch, too.
            Ok(Err(kube::Error::Api(status)))
                if status.code < 500 && status.code != UNAUTHORIZED =>
            {
                Ok(())
            }
            Ok(Err(error)) => Err(format!("the API server: {}", crate::cluster::words(&error))),
            Ok(Ok(_)) => Ok(()),
        }
    }

    fn page(&self) -> Result<Vec<u8>, String> {
        let known = self.known.lock();
        match known.current {
            true => Ok(page(
                self.kind,
                &self.namespace,
                &known.objects,
                &self.selection.borrow(),
            )),
            false if known.why.is_empty() => Err("the API server has given no list yet".to_owned()),
            false => Err(known.why.clone()),
        }
    }

    /// Keeps what is known up to date until a change is lost, which `lose` is told.
    fn follow(&self, lose: mpsc::Sender<String>) -> impl Future<Output = ()> + use<> {
        let Kind {
            group,
            version,
            kind: name,
            plural,
            ..
        } = self.kind;
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, name), plural);
        let client = self.client.clone();
        let api: Api<DynamicObject> = match self.namespace.as_str() {
            "" => Api::all_with(client, &resource),
            namespace => Api::namespaced_with(client, namespace, &resource),
        };
        let kind = self.kind;
        let keep = move |object: DynamicObject| {
            Facts::of(kind, object.metadata.uid.as_deref(), &object.data)
        };
        let (known, changed) = (Arc::clone(&self.known), self.changed.clone());
        let send = move |change| {
            let lost = take(&mut known.lock(), change);
            match lost {
                Ok(true) => drop(changed.try_send(())), // full: it is told anyway
                Ok(false) => {}
                Err(why) => drop(lose.try_send(why)), // full: it is lost already
            }
            std::future::ready(())
        };
        // A page of a part of the objects would tell of less than there is.
        let selectors = Selectors {
            bounds: Bounds {
                objects: OBJECTS_MAX,
                leaves_out: false,
                ..Bounds::default()
            },
            ..Selectors::default()
        };
        follow(api, selectors, keep, send)
    }
}

/// Takes a change. Returns whether it is the first list; error: the watch has to begin anew.
fn take(known: &mut Known, change: Change<Facts>) -> Result<bool, String> {
    match change {
        Change::All(all) => {
            known.set_current(true);
            known.objects = all;
            known.why.clear();
            return Ok(!std::mem::replace(&mut known.listed, true));
        }
        Change::Put(key, facts) => {
            known.objects.insert(key, facts);
        }
        Change::Gone(key) => drop(known.objects.remove(&key)),
        // A definition that nobody installed: there are none. One that had objects is no longer served, for now.
        Change::Failed(why) if why == NO_SUCH_KIND && known.objects.is_empty() => {
            known.why = why;
        }
        Change::Failed(why) | Change::Beyond(why) | Change::AllBut { why, .. } => return Err(why),
    }
    Ok(false)
}
