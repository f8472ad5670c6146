//! Brings the parts up in order and takes them down again.
//!
//! Scraping has a runtime and a thread of its own; APIs and queries have another runtime. A query that takes all of
//! its threads delays no scrape.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use stillwell_adapters::host::{NoObjects, Objects};
use stillwell_engine::{Engine, Limits, Reader, Timestamp, Writer};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tracing::warn;

use super::app::{App, Configured, Parts, Settings};
use super::events;
use super::keda::{self, KedaListener};
use super::secure::{Secure, SecureOptions};
use super::signal_states;
use super::snapshots::{self, Snapshots};
use super::web::{self, WebOptions};
use crate::alertmanager::Notifier;
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterObjects};
use crate::discovery::Manager;
use crate::rule_groups::Runner;
use crate::scrape::{Scraper, Shared};
use crate::web_config::ReloadedConfig;

/// Where to listen, and for what.
#[derive(Clone, Debug, Default)]
pub struct ApiOptions {
    /// Addresses of the plain listener.
    pub listen: Vec<String>,
    /// What it serves.
    pub web: WebOptions,
    /// The secure listener, where there is one.
    pub secure: Option<SecureOptions>,
    /// The port for KEDA's external scaler, where there is one.
    pub keda: Option<KedaOptions>,
    /// How the API server is reached, for the objects that metrics are about; in a pod it is found without.
    pub kubeconfig: Option<PathBuf>,
}

/// The port for KEDA's external scaler.
#[derive(Clone, Debug, Default)]
pub struct KedaOptions {
    /// Where to listen.
    pub address: String,
    /// Its TLS, in the format of `--web.config.file`; plain where it is left out.
    pub config_file: Option<PathBuf>,
    /// Nobody asked for it by name: where it cannot be had, the others are served without it.
    pub optional: bool,
}

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
    scraping: JoinHandle<()>,
    discovering: JoinHandle<()>,
    ruling: JoinHandle<()>,
    notifying: JoinHandle<()>,
    looking: JoinHandle<()>,
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
    let ApiOptions {
        listen,
        web,
        secure,
        keda,
        kubeconfig,
    } = apis;
    let secure = match secure {
        Some(options) => {
            let now_s = clock.wall_now().ms() / 1000;
            let bound = Secure::bind(options, now_s).await;
            Some(bound.map_err(io::Error::other)?)
        }
        None => None,
    };
    let objects = objects(secure.as_ref(), kubeconfig.as_deref()).await?;
    let keda = match keda {
        Some(options) => keda_listener(options).await?,
        None => None,
    };
    let reloaded = match &web.config_file {
        Some(path) => Some(Arc::new(
            ReloadedConfig::open(path, web::PROTOCOLS).map_err(io::Error::other)?,
        )),
        None => None,
    };
    let mut listeners = Vec::new();
    for address in &listen {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            io::Error::new(error.kind(), format!("listen on {address}: {error}"))
        })?;
        listeners.push(listener);
    }
    let snapshots = settings
        .storage_path
        .clone()
        .map(|folder| Arc::new(Snapshots::new(folder, settings.snapshot_interval)));
    let (writer, reader, latches) = engine(snapshots.clone(), limits, clock.now()).await;
    let shared = Shared::new(writer, Arc::clone(&clock));
    let (quit, quitting) = watch::channel(false);
    let (scraper, scraping) = scraping_thread(shared, quitting.clone())?;
    let scraper = scraper
        .await
        .map_err(|_| io::Error::other("the scraping thread did not start"))?;
    let (discovery, discovering) = discovery_thread(&scraper, &reader, quitting.clone())?;
    let discovery = discovery
        .await
        .map_err(|_| io::Error::other("the discovery thread did not start"))?;
    let notifier = Notifier::new(settings.alerts.sending);
    let notifying = notifier_thread(notifier.clone(), quitting.clone())?;
    let inputs = (&discovery, notifier.clone());
    let (rules, ruling) = rules_thread(&scraper, &reader, inputs, quitting.clone())?;
    let rules = rules
        .await
        .map_err(|_| io::Error::other("the thread of the rules did not start"))?;
    let external = &configured.config.external_metrics;
    let groups = external.groups.clone();
    let insecure_groups = external.insecure.then(|| groups.clone());
    let web = WebOptions {
        insecure_api_groups: insecure_groups,
        ..web
    };
    let ending = quitting.clone();
    let parts = Parts {
        scraper,
        discovery,
        rules,
        notifier,
        objects,
        snapshots: snapshots.clone(),
        latches,
    };
    let app = App::start(settings, configured, text, clock, reader, parts, ending)
        .await
        .map_err(|problems| io::Error::other(super::app::show(&problems)))?;
    let saving = snapshots.map(|snapshots| {
        let (shared, keda) = (Arc::clone(app.scraper().shared()), app.keda().clone());
        tokio::spawn(snapshots.run(shared, keda, quitting.clone()))
    });
    tokio::spawn(signal_states::run(Arc::clone(&app), quitting.clone()));
    tokio::spawn(events::run(Arc::clone(&app), quitting.clone()));
    let looking = keda::start(app.keda(), app.scraper().clone(), quitting.clone())?;
    let router = web::router(&app, &web, quit.clone());
    let mut addresses = Vec::new();
    let mut apis = Vec::new();
    for listener in listeners {
        addresses.push(listener.local_addr()?);
        let prefix = web.route_prefix.clone();
        apis.push(tokio::spawn(web::serve(
            listener,
            router.clone(),
            prefix,
            reloaded.clone(),
            quitting.clone(),
        )));
    }
    let mut secure_address = None;
    if let Some(secure) = secure {
        secure_address = Some(secure.address()?);
        apis.push(tokio::spawn(secure.serve(
            Arc::clone(&app),
            groups,
            quitting.clone(),
        )));
    }
    let mut keda_address = None;
    if let Some((listener, address)) = keda {
        keda_address = Some(address);
        let serving = listener.serve(app.keda().clone(), quitting.clone());
        apis.push(tokio::spawn(serving));
    }
    Ok(Running {
        app,
        addresses,
        secure_address,
        keda_address,
        quit,
        apis,
        scraping,
        discovering,
        ruling,
        notifying,
        looking,
        saving,
    })
}

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
        let threads = [
            self.discovering,
            self.ruling,
            self.notifying,
            self.scraping,
            self.looking,
        ];
        if let Some(saving) = self.saving {
            saving.await.ok(); // one that is being written is finished
        }
        let app = self.app;
        let ending = tokio::task::spawn_blocking(move || {
            for thread in threads {
                thread.join().ok(); // one that panicked has ended too
            }
            if let Some(snapshots) = app.snapshots() {
                snapshots.write(app.scraper().shared(), app.keda());
            }
        });
        ending.await.ok(); // a panic has been logged
    }
}

/// The engine of the snapshot, or an empty one; and KEDA's latches of then.
async fn engine(
    snapshots: Option<Arc<Snapshots>>,
    limits: Limits,
    now: Timestamp,
) -> (Writer, Reader, Vec<u8>) {
    let load = move || snapshots?.load(limits, now);
    let restored = tokio::task::spawn_blocking(load).await;
    match restored {
        Ok(Some(restored)) => {
            let latches = snapshots::latches(restored.named);
            (restored.writer, restored.reader, latches)
        }
        _ => {
            let (writer, reader) = Engine::new(limits);
            (writer, reader, Vec::new())
        }
    }
}

/// What is known of the cluster's objects: through the secure listener's API server, or one that is found without it.
async fn objects(
    secure: Option<&Secure>,
    kubeconfig: Option<&Path>,
) -> io::Result<Arc<dyn Objects>> {
    let cluster = match secure.and_then(Secure::cluster) {
        Some(cluster) => Some(cluster),
        None => Cluster::connect(kubeconfig)
            .await
            .map_err(io::Error::other)?,
    };
    Ok(match cluster {
        Some(cluster) => ClusterObjects::start(cluster),
        None => Arc::new(NoObjects::default()),
    })
}

async fn keda_listener(options: KedaOptions) -> io::Result<Option<(KedaListener, SocketAddr)>> {
    let address = &options.address;
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if options.optional => {
            warn!(
                %error,
                "KEDA's external scaler is not served: {address} cannot be had; give --keda.listen-address"
            );
            return Ok(None);
        }
        Err(error) => {
            let error = io::Error::new(error.kind(), format!("listen on {address}: {error}"));
            return Err(error);
        }
    };
    let bound = listener.local_addr()?;
    let tls = match &options.config_file {
        None => None,
        Some(path) => Some(KedaListener::tls(path).map_err(io::Error::other)?),
    };
    Ok(Some((KedaListener::new(listener, tls), bound)))
}

type Started = oneshot::Receiver<Scraper>;

fn scraping_thread(
    shared: Shared,
    mut quit: watch::Receiver<bool>,
) -> io::Result<(Started, JoinHandle<()>)> {
    let (tell, told) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(3) // files of credentials, and one page that takes long
        .build()?;
    let thread = std::thread::Builder::new()
        .name("scraping".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                tell.send(Scraper::start(shared)).ok(); // nobody waits: then `quit` is true
                quit.wait_for(|quit| *quit).await.ok();
            });
            runtime.shutdown_background();
        })?;
    Ok((told, thread))
}

fn discovery_thread(
    scraper: &Scraper,
    reader: &Reader,
    quit: watch::Receiver<bool>,
) -> io::Result<(oneshot::Receiver<Manager>, JoinHandle<()>)> {
    let (scraper, reader) = (scraper.clone(), reader.clone());
    side_thread("discovery", quit, move |quit| {
        Manager::start(scraper, reader, quit)
    })
}

fn rules_thread(
    scraper: &Scraper,
    reader: &Reader,
    (discovery, notifier): (&Manager, Notifier),
    quit: watch::Receiver<bool>,
) -> io::Result<(oneshot::Receiver<Runner>, JoinHandle<()>)> {
    let (shared, reader) = (Arc::clone(scraper.shared()), reader.clone());
    let found = discovery.rules();
    side_thread("rules", quit, move |quit| {
        let send = Box::new(move |alerts| notifier.send(alerts));
        Runner::start(shared, reader, found, send, quit)
    })
}

/// The thread that talks to Alertmanagers. It ends when what waits is sent.
fn notifier_thread(notifier: Notifier, quit: watch::Receiver<bool>) -> io::Result<JoinHandle<()>> {
    let runtime = side_runtime()?;
    std::thread::Builder::new()
        .name("alerts".to_owned())
        .spawn(move || {
            runtime.block_on(notifier.run(quit));
            runtime.shutdown_background();
        })
}

fn side_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(2) // files only
        .build()
}

/// A thread with a runtime of its own, on which `start` begins what ends when `quit` turns true.
fn side_thread<T: Send + 'static>(
    name: &str,
    mut quit: watch::Receiver<bool>,
    start: impl FnOnce(watch::Receiver<bool>) -> T + Send + 'static,
) -> io::Result<(oneshot::Receiver<T>, JoinHandle<()>)> {
    let (tell, told) = oneshot::channel();
    let runtime = side_runtime()?;
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                tell.send(start(quit.clone())).ok(); // nobody waits: then `quit` is true
                quit.wait_for(|quit| *quit).await.ok();
            });
            runtime.shutdown_background();
        })?;
    Ok((told, thread))
}
