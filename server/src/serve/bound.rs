//! The listeners: everything of them that can fail is done before anything starts, so that a wrong certificate or a port
//! that is taken ends the process with its reason and nothing half begun.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use stillwell_adapters::host::{NoObjects, Objects};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

use super::app::App;
use super::keda::KedaListener;
use super::listen_address::{KEDA, WEB, bind};
use super::secure::{Secure, SecureOptions};
use super::web::{self, WebOptions};
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterObjects};
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

/// Listeners that are bound, with their certificates read, and not served yet.
pub(super) struct Bound {
    /// What the plain listeners serve.
    pub(super) web: WebOptions,
    /// What the cluster's objects are read from: the secure listener's API server where there is one.
    pub(super) objects: Arc<dyn Objects>,
    plain: Vec<TcpListener>,
    web_config: Option<Arc<ReloadedConfig>>,
    secure: Option<Secure>,
    keda: Option<(KedaListener, SocketAddr)>,
}

/// Listeners that are served, each by a task that ends when the process quits.
pub(super) struct Serving {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) secure_address: Option<SocketAddr>,
    pub(super) keda_address: Option<SocketAddr>,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

impl Bound {
    pub(super) async fn bind(options: ApiOptions, clock: &Clock) -> io::Result<Self> {
        let secure = match options.secure {
            Some(secure) => {
                let now_s = clock.wall_now().ms() / 1000;
                let bound = Secure::bind(secure, now_s).await;
                Some(bound.map_err(io::Error::other)?)
            }
            None => None,
        };
        let objects = objects(secure.as_ref(), options.kubeconfig.as_deref()).await?;
        let keda = match options.keda {
            Some(keda) => keda_listener(keda).await?,
            None => None,
        };
        let web_config = match &options.web.config_file {
            Some(path) => Some(Arc::new(
                ReloadedConfig::open(path, web::PROTOCOLS)
                    .map_err(|why| io::Error::other(format!("--web.config.file: {why}")))?,
            )),
            None => None,
        };
        let mut plain = Vec::new();
        for address in &options.listen {
            plain.push(bind(address, &WEB).await?);
        }
        Ok(Self {
            web: options.web,
            objects,
            plain,
            web_config,
            secure,
            keda,
        })
    }

    /// Serves `router` on the plain listeners, `groups` on the secure one and KEDA's external scaler on its own.
    pub(super) fn serve(
        self,
        app: &Arc<App>,
        router: &Router,
        groups: stillwell_adapters::kubernetes::Groups,
        quitting: &watch::Receiver<bool>,
    ) -> io::Result<Serving> {
        let mut serving = Serving {
            addresses: Vec::new(),
            secure_address: None,
            keda_address: None,
            tasks: Vec::new(),
        };
        for listener in self.plain {
            serving.addresses.push(listener.local_addr()?);
            serving.tasks.push(tokio::spawn(web::serve(
                listener,
                router.clone(),
                self.web.route_prefix.clone(),
                self.web_config.clone(),
                quitting.clone(),
            )));
        }
        if let Some(secure) = self.secure {
            serving.secure_address = Some(secure.address()?);
            let task = secure.serve(Arc::clone(app), groups, quitting.clone());
            serving.tasks.push(tokio::spawn(task));
        }
        if let Some((listener, address)) = self.keda {
            serving.keda_address = Some(address);
            let task = listener.serve(app.keda().clone(), quitting.clone());
            serving.tasks.push(tokio::spawn(task));
        }
        Ok(serving)
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
    let listener = match bind(address, &KEDA).await {
        Ok(listener) => listener,
        Err(error) if options.optional => {
            warn!(
                %error,
                "KEDA's external scaler is not served"
            );
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let bound = listener.local_addr()?;
    let tls = match &options.config_file {
        None => None,
        Some(path) => Some(KedaListener::tls(path).map_err(io::Error::other)?),
    };
    Ok(Some((KedaListener::new(listener, tls), bound)))
}
