//! Brings the parts up in order and takes them down again.
//!
//! Scraping has a runtime and a thread of its own; APIs and queries have another runtime. A query that takes all of
//! its threads delays no scrape.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use stillwell_adapters::host::Objects;
use stillwell_engine::{Engine, Limits, Reader, Timestamp, Writer};
use tokio::sync::watch;
use tracing::warn;

use super::app::{App, Configured, Parts, Settings};
use super::bound::{ApiOptions, Bound};
use super::snapshots::{self, Snapshots};
use super::web::{self, WebOptions};
use super::{events, keda, signal_series, signal_states, threads};
use crate::alertmanager::Notifier;
use crate::clock::Clock;
use crate::remote_write::RemoteWrites;
use crate::scrape::Shared;
use crate::senders::{Before, Senders};

/// A server that was started.
pub struct Running {
    /// The process behind the APIs.
    pub app: Arc<App>,
    /// Where the plain listener listens.
    pub addresses: Vec<SocketAddr>,
    /// Where the secure listener listens.
    pub secure_address: Option<SocketAddr>,
    /// Where KEDA's external scaler listens.
    pub keda_address: Option<SocketAddr>,
    quit: watch::Sender<bool>,
    apis: Vec<tokio::task::JoinHandle<()>>,
    threads: Vec<JoinHandle<()>>,
    saving: Option<tokio::task::JoinHandle<()>>,
}

/// Starts everything on the current runtime, which becomes that of the APIs.
pub async fn start(
    settings: Settings,
    configured: Configured,
    text: String,
    apis: ApiOptions,
    limits: Limits,
    clock: Arc<Clock>,
) -> io::Result<Running> {
    let bound = Bound::bind(apis, &clock).await?;
    let (quit, quitting) = watch::channel(false);
    let external = &configured.config.external_metrics;
    let groups = external.groups.clone();
    let web = WebOptions {
        insecure_api_groups: external.insecure.then(|| groups.clone()),
        ..bound.web.clone()
    };
    let objects = Arc::clone(&bound.objects);
    let (parts, reader, mut threads) = parts(&settings, objects, limits, &clock, &quitting).await?;
    let (ending, senders) = (quitting.clone(), parts.senders.clone());
    let app = App::start(settings, configured, text, clock, reader, parts, ending)
        .await
        .map_err(|problems| io::Error::other(super::app::show(&problems)))?;
    let saving = app.snapshots().map(|snapshots| {
        let shared = Arc::clone(app.scraper().shared());
        let more = (app.keda().clone(), senders.clone());
        tokio::spawn(Arc::clone(snapshots).run(shared, more, quitting.clone()))
    });
    tokio::spawn(signal_states::run(Arc::clone(&app), quitting.clone()));
    tokio::spawn(signal_series::run(Arc::clone(&app), quitting.clone()));
    let manager = app.discovery().clone();
    tokio::spawn(senders.run(manager, quitting.clone()));
    tokio::spawn(events::run(Arc::clone(&app), quitting.clone()));
    threads.push(keda::start(
        app.keda(),
        app.scraper().clone(),
        quitting.clone(),
    )?);
    let router = web::router(&app, &web, quit.clone());
    let serving = bound.serve(&app, &router, groups, &quitting)?;
    Ok(Running {
        app,
        addresses: serving.addresses,
        secure_address: serving.secure_address,
        keda_address: serving.keda_address,
        quit,
        apis: serving.tasks,
        threads,
        saving,
    })
}

/// What the process is made of beside its listeners, with the threads of its own that it runs on.
async fn parts(
    settings: &Settings,
    objects: Arc<dyn Objects>,
    limits: Limits,
    clock: &Arc<Clock>,
    quitting: &watch::Receiver<bool>,
) -> io::Result<(Parts, Reader, Vec<JoinHandle<()>>)> {
    let snapshots = settings.storage_path.clone().map(|folder| {
        Arc::new(Snapshots::new(
            folder,
            settings.snapshot_interval,
            limits.retention_ms,
        ))
    });
    let (writer, reader, named) = engine(snapshots.clone(), limits, clock.now()).await;
    let before = named.as_ref().map(|named| {
        let senders = snapshots::named(named, snapshots::SENDERS);
        Before::read(senders, &reader)
    });
    let shared = Shared::new(
        writer,
        reader.clone(),
        Arc::clone(clock),
        settings.page_bytes_max,
    );
    let (scraper, scraping) = threads::scraping(shared, quitting.clone()).await?;
    let (discovery, discovering) =
        threads::discovery(&scraper, &reader, settings.shard, quitting.clone()).await?;
    let notifier = Notifier::new(settings.alerts.sending);
    let notifying = threads::sending("alerts", notifier.clone().run(quitting.clone()))?;
    let remote_writes = RemoteWrites::new(
        reader.clone(),
        Arc::clone(clock),
        settings.storage_path.clone(),
        limits.retention_ms,
    );
    let writing = threads::sending("remote-write", remote_writes.clone().run(quitting.clone()))?;
    let inputs = (&discovery, notifier.clone());
    let (rules, ruling) = threads::rules(&scraper, &reader, inputs, quitting.clone()).await?;
    let parts = Parts {
        scraper,
        discovery,
        rules,
        notifier,
        remote_writes,
        senders: Senders::new(Arc::clone(clock), limits.memory_bytes_max, before),
        objects,
        snapshots,
        latches: named.map_or_else(Vec::new, |named| {
            snapshots::named(&named, snapshots::LATCHES).to_vec()
        }),
    };
    let threads = vec![notifying, writing, discovering, ruling, scraping];
    Ok((parts, reader, threads))
}

/// How long threads and the last snapshot may take to end. Kubernetes gives a pod 30 s in all.
const ENDING_MAX: Duration = Duration::from_secs(20);

impl Running {
    /// Turns true when the process shall end.
    pub fn quitting(&self) -> watch::Receiver<bool> {
        self.quit.subscribe()
    }

    /// Ends scraping and, once answers under way are out, the APIs; then the last snapshot is written.
    pub async fn stop(self) {
        self.app.drain();
        self.quit.send_replace(true);
        for api in self.apis {
            api.await.ok(); // an API that panicked has ended too
        }
        let (app, threads, saving) = (self.app, self.threads, self.saving);
        let ending = async move {
            if let Some(saving) = saving {
                saving.await.ok(); // one that is being written is finished
            }
            let ending = tokio::task::spawn_blocking(move || {
                for thread in threads {
                    thread.join().ok(); // one that panicked has ended too
                }
                if let Some(snapshots) = app.snapshots() {
                    snapshots.write(app.scraper().shared(), app.keda(), app.senders());
                }
            });
            ending.await.ok(); // a panic has been logged
        };
        if tokio::time::timeout(ENDING_MAX, ending).await.is_err() {
            let waited_s = ENDING_MAX.as_secs();
            warn!(
                "ending without the last snapshot, or in the middle of it: the disk, or a thread, takes longer than {waited_s} s"
            );
        }
    }
}

/// The engine of the snapshot, with our own bytes in it, or an empty one.
async fn engine(
    snapshots: Option<Arc<Snapshots>>,
    limits: Limits,
    now: Timestamp,
) -> (Writer, Reader, Option<Vec<(String, Vec<u8>)>>) {
    let load = move || snapshots?.load(limits, now);
    let restored = tokio::task::spawn_blocking(load).await;
    match restored {
        Ok(Some(restored)) => {
            let named = Some(restored.named);
            (restored.writer, restored.reader, named)
        }
        _ => {
            let (writer, reader) = Engine::new(limits);
            (writer, reader, None)
        }
    }
}
