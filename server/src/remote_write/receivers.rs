//! The receivers of the configuration, each with a task; all of them on one thread.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use stillwell_engine::Reader;
use stillwell_engine::feed::Feed;
use stillwell_engine::labels::Labels;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::error;

use super::counts::{Counts, Shown};
use super::cursors::CursorFile;
use super::delivery::Receiver;
use super::remote::Remote;
use crate::clock::Clock;
use crate::config::RemoteWrite;
use crate::http_client::{Resolver, Url};

/// Samples are not sent once they have been in history for all but such a part of the retention: a round takes its time.
const MARGIN_PART: i64 = 20;

/// The handle by which receivers are configured.
#[derive(Clone)]
pub struct RemoteWrites {
    inner: Arc<Inner>,
}

struct Inner {
    reader: Reader,
    clock: Arc<Clock>,
    storage: Option<PathBuf>,
    retention_ms: i64,
    wanted: Mutex<Wanted>,
    changed: Notify,
    /// Whether sending has begun.
    open: watch::Sender<bool>,
    /// Changes when what signals say was stored and somebody waits for it.
    signals_stored: watch::Sender<()>,
    shown: RwLock<Vec<Shown>>,
}

/// What the next refresh is to bring about.
#[derive(Default)]
struct Wanted {
    configs: Option<(Vec<RemoteWrite>, Labels)>,
    /// Of receivers that were not known before: they begin when they are configured, not when their task does.
    feeds: HashMap<String, Feed>,
    /// Receivers whose feed is there or above.
    names: Vec<String>,
}

impl RemoteWrites {
    /// Without receivers. `run` has to be awaited.
    pub fn new(
        reader: Reader,
        clock: Arc<Clock>,
        storage: Option<PathBuf>,
        retention_ms: i64,
    ) -> RemoteWrites {
        RemoteWrites {
            inner: Arc::new(Inner {
                reader,
                clock,
                storage,
                retention_ms,
                wanted: Mutex::default(),
                changed: Notify::new(),
                open: watch::Sender::new(false),
                signals_stored: watch::Sender::new(()),
                shown: RwLock::default(),
            }),
        }
    }

    /// Sends to exactly these receivers from now on. One that stays goes on where it is; a new one gets what is stored from
    /// now on, or from where its file says.
    pub fn apply(&self, configs: Vec<RemoteWrite>, external: Labels) {
        let inner = &self.inner;
        let mut wanted = inner.wanted.lock();
        for config in &configs {
            let name = &config.name;
            if !wanted.names.contains(name) {
                let feed = match inner.file(name) {
                    Some(file) => file.feed(&inner.reader, name),
                    None => Feed::from_now(&inner.reader),
                };
                wanted.feeds.insert(name.clone(), feed);
            }
        }
        wanted.names = configs.iter().map(|config| config.name.clone()).collect();
        let names = wanted.names.clone();
        wanted.feeds.retain(|name, _| names.contains(name));
        wanted.configs = Some((configs, external));
        inner.changed.notify_one();
    }

    /// How sending goes, by receiver.
    pub fn shown(&self) -> Vec<Shown> {
        self.inner.shown.read().clone()
    }

    /// Begins to send. What was stored before is sent too; but a receiver that adds up the newest of what several send must
    /// not get sums of a process that has not seen all of its targets yet.
    pub fn open(&self) {
        self.inner.open.send_replace(true);
    }

    /// Something new that signals say was stored: receivers that get it need not wait for their deadline.
    pub fn signals_stored(&self) {
        self.inner.signals_stored.send_replace(());
    }

    /// How often some receiver is to get the states of signals; `None` where none is.
    pub fn wants_signals(&self) -> Option<Duration> {
        let shown = self.inner.shown.read();
        let wanting = shown.iter().filter(|one| one.signals);
        wanting.map(|one| one.deadline).min()
    }

    /// Sends, until `quit` turns true and what is left is sent.
    pub async fn run(self, mut quit: watch::Receiver<bool>) {
        let mut tasks: Vec<Task> = Vec::new();
        let resolver = Resolver::default();
        loop {
            tokio::select! {
                () = self.inner.changed.notified() => {}
                _ = quit.wait_for(|quit| *quit) => break,
            }
            self.refresh(&mut tasks, &resolver).await;
        }
        for task in &tasks {
            task.quit.send_replace(true);
        }
        for task in tasks {
            task.running.await.ok(); // one that panicked has ended too
        }
    }

    async fn refresh(&self, tasks: &mut Vec<Task>, resolver: &Resolver) {
        let inner = &self.inner;
        let Some((configs, external)) = inner.wanted.lock().configs.take() else {
            return;
        };
        let mut before = std::mem::take(tasks);
        for config in configs {
            let same = |task: &Task| task.config.name == config.name;
            let known = before
                .iter()
                .position(same)
                .map(|at| before.swap_remove(at));
            let (feed, counts) = match known {
                Some(task) if task.is_same(&config, &external) => {
                    tasks.push(task);
                    continue;
                }
                Some(task) => (
                    task.end().await,
                    Arc::clone(&task_counts(&inner.shown, &config)),
                ),
                None => (
                    inner.wanted.lock().feeds.remove(&config.name),
                    Arc::default(),
                ),
            };
            let Some(feed) = feed else {
                let remote = &config.name;
                error!(remote, "sending has ended by a fault of this program");
                continue;
            };
            match Url::parse(&config.url) {
                Ok(url) => {
                    let to = (config, url);
                    tasks.push(inner.start(to, external.clone(), (feed, counts), resolver));
                }
                Err(why) => error!(remote = config.name, %why, "no samples are sent"),
            }
        }
        for task in before {
            task.end().await;
        }
        *inner.shown.write() = tasks.iter().map(Task::shown).collect();
    }
}

/// The numbers of a receiver go on when its configuration changes.
fn task_counts(shown: &RwLock<Vec<Shown>>, config: &RemoteWrite) -> Arc<Counts> {
    let shown = shown.read();
    let found = shown.iter().find(|one| one.name == config.name);
    found.map_or_else(Arc::default, |one| Arc::clone(&one.counts))
}

impl Inner {
    fn file(&self, name: &str) -> Option<CursorFile> {
        let storage = self.storage.as_ref()?;
        Some(CursorFile::new(storage, name))
    }

    fn start(
        &self,
        (config, url): (RemoteWrite, Url),
        external: Labels,
        (feed, counts): (Feed, Arc<Counts>),
        resolver: &Resolver,
    ) -> Task {
        let (quit, quitting) = watch::channel(false);
        // Who gets the whole store is sent large requests once in its deadline.
        let is_waited_for = config.signals && !config.relabel.is_empty();
        let remote = Remote {
            receiver: Arc::new(Receiver::new(
                (config.clone(), url.clone()),
                self.retention_ms - self.retention_ms / MARGIN_PART,
                resolver.clone(),
                Arc::clone(&self.clock),
                Arc::clone(&counts),
            )),
            feed,
            external: external.clone(),
            reader: self.reader.clone(),
            file: self.file(&config.name),
            open: self.open.subscribe(),
            signals_stored: is_waited_for.then(|| self.signals_stored.subscribe()),
        };
        Task {
            running: tokio::spawn(remote.run(quitting)),
            url: url.to_string(),
            config,
            external,
            counts,
            quit,
        }
    }
}

/// A running receiver.
struct Task {
    config: RemoteWrite,
    /// Without user and password.
    url: String,
    external: Labels,
    counts: Arc<Counts>,
    quit: watch::Sender<bool>,
    running: JoinHandle<Feed>,
}

impl Task {
    fn is_same(&self, config: &RemoteWrite, external: &Labels) -> bool {
        (&self.config, &self.external) == (config, external)
    }

    async fn end(self) -> Option<Feed> {
        self.quit.send_replace(true);
        self.running.await.ok()
    }

    fn shown(&self) -> Shown {
        let queue = &self.config.queue;
        Shown {
            name: self.config.name.clone(),
            url: self.url.clone(),
            shards: (queue.shards_min, queue.shards_max),
            signals: self.config.signals,
            deadline: Duration::from_millis(queue.deadline_ms),
            counts: Arc::clone(&self.counts),
        }
    }
}
