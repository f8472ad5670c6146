//! Reaches the API server: by a kubeconfig, or with the credentials of the pod.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::bounded::bounded;

/// Where a pod finds its token.
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Set in every pod.
const HOST_VARIABLE: &str = "KUBERNETES_SERVICE_HOST";
/// A connection that is not there by then is not going to be.
const CONNECT_MS: u64 = 2_000;

/// The API server.
#[derive(Clone)]
pub struct Cluster {
    pub(super) client: Client,
    address: String,
}

impl Cluster {
    /// The API server that a kubeconfig names, or the one of the cluster that this pod runs in; `None` outside of one.
    /// Nothing is asked yet: it need not be up.
    pub async fn connect(kubeconfig: Option<&Path>) -> Result<Option<Cluster>, String> {
        let config = match kubeconfig {
            Some(path) => from_file(path).await?,
            None if in_cluster() => {
                Config::incluster().map_err(|error| format!("the pod's credentials: {error}"))?
            }
            None => return Ok(None),
        };
        Cluster::with(config).map(Some)
    }

    fn with(mut config: Config) -> Result<Cluster, String> {
        // Two providers may be compiled in by somebody else's features; rustls would not choose between them.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok(); // somebody has done so before
        config.connect_timeout = Some(Duration::from_millis(CONNECT_MS));
        config.default_retry = false; // a caller waits: what is tried again, and for how long, is decided there
        let address = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|error| super::words(&error))?;
        let client = bounded(client, namespace);
        Ok(Cluster { client, address })
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }
}

fn in_cluster() -> bool {
    std::env::var_os(HOST_VARIABLE).is_some() && Path::new(TOKEN_FILE).exists()
}

async fn from_file(path: &Path) -> Result<Config, String> {
    let refuse = |error: &dyn std::error::Error| {
        format!("--kubeconfig={}: {}", path.display(), super::chain(error))
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| refuse(&error))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| refuse(&error))
}
