//! The listener: bound, served, and kept up to date with files and the API server.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use stillwell_adapters::host::Host;
use stillwell_adapters::kubernetes::{self, Groups};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use super::access::Access;
use super::announce::Announcement;
use super::connection::{HTTP2, MetricsApi, connection};
use super::files::{Serving, Watched, certified_key};
use super::options::SecureOptions;
use super::self_made::self_made;
use super::trust::Trust;
use crate::cluster::Cluster;
use crate::serve::app::App;
use crate::serve::{listen, listen_address};
use crate::web_config::ClientAuth;
use crate::web_config::verifier::ByPolicy;

/// Files are looked at this often.
const RELOAD_MS: u64 = 1_000;

/// A secure listener, ready to serve.
pub struct Secure {
    options: SecureOptions,
    listener: TcpListener,
    serving: Arc<Serving>,
    /// Of the self-made certificate.
    ca: Option<CertificateDer<'static>>,
    trust: Arc<Trust>,
    cluster: Option<Cluster>,
}

impl Secure {
    /// Reads every file, asks the API server whom to believe, and listens. What is wrong now would be wrong for the first
    /// caller; an API server that is down is not, it will come back.
    pub async fn bind(options: SecureOptions, now_s: i64) -> Result<Secure, String> {
        let (serving, ca) = match &options.certificate {
            Some((certificate, key)) => (certified_key(certificate, key)?, None),
            None => {
                let made = self_made(options.self_made_names.clone(), &options.replica, now_s)?;
                (made.serving, Some(made.ca))
            }
        };
        let cluster = Cluster::connect(options.kubeconfig.as_deref()).await?;
        if cluster.is_none() && options.request_header_ca.is_none() {
            return Err(
                "--secure-port needs --requestheader-client-ca-file, or --kubeconfig outside of a cluster: without them \
                 nobody could be let in"
                    .to_owned(),
            );
        }
        let asked = cluster.as_ref().filter(|_| !options.skip_lookup);
        let trust = Trust::new(options.clone(), asked.is_some())?;
        match (&cluster, asked) {
            (Some(cluster), Some(_)) => {
                info!("asking the API server {} about callers", cluster.address());
                trust.hear(cluster.authentication().await)?;
            }
            (Some(cluster), None) => {
                info!("asking the API server {} about callers", cluster.address());
            }
            _ => info!("no API server to ask: only whom the front proxy vouches for is let in"),
        }
        let bound = listen_address::bind(&options.address, &listen_address::SECURE).await;
        let listener = bound.map_err(|error| error.to_string())?;
        Ok(Secure {
            options,
            listener,
            serving: Arc::new(Serving::new(serving)),
            ca,
            trust: Arc::new(trust),
            cluster,
        })
    }

    /// The API server that is asked, where there is one.
    pub(crate) fn cluster(&self) -> Option<Cluster> {
        self.cluster.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `quit` turns true.
    pub async fn serve(self, app: Arc<App>, groups: Groups, quit: watch::Receiver<bool>) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // Certificates are asked for, not required, and judged request by request in `identity`: a handshake that fails
        // tells nobody why, a Status does, and probes come without a certificate.
        let ask_only = ByPolicy::new(ClientAuth::Request, None, Vec::new(), &provider);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocol versions")
            .with_client_cert_verifier(Arc::new(ask_only))
            .with_cert_resolver(Arc::clone(&self.serving) as _);
        config.alpn_protocols = [HTTP2, b"http/1.1"].map(<[u8]>::to_vec).to_vec();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let announcement = self.announcement(&groups);
        let api = Arc::new(MetricsApi {
            router: kubernetes::router(Arc::clone(&app) as Arc<dyn Host>, groups),
            app,
            trust: Arc::clone(&self.trust),
            access: Access::new(self.cluster.clone(), self.options.lifetimes),
        });
        let asked = self.cluster.filter(|_| !self.options.skip_lookup);
        let listening = listen_to(asked, Arc::clone(&self.trust));
        let reloading = reload(self.options, self.serving, self.trust);
        let serving = listen::serve(self.listener, quit, move |stream, quit| {
            connection(stream, quit, acceptor.clone(), Arc::clone(&api))
        });
        tokio::select! {
            () = serving => {}
            () = reloading => {}
            () = listening => {}
            () = announce(announcement) => {}
        }
    }

    fn announcement(&self, groups: &Groups) -> Option<Announcement> {
        Some(Announcement {
            cluster: self.cluster.clone()?,
            groups: groups.clone(),
            us: self.options.service.clone()?,
            ca: self.ca.clone().filter(|_| self.options.write_ca_bundle),
            take_over: self.options.take_over,
        })
    }
}

/// Reads files again when they change; what does not read leaves the old in force. Never ends.
async fn reload(options: SecureOptions, serving: Arc<Serving>, trust: Arc<Trust>) {
    let pair = options.certificate.clone();
    let certificate_files = pair
        .iter()
        .flat_map(|(certificate, key)| [certificate.clone(), key.clone()]);
    let mut certificate = Watched::new(certificate_files.collect());
    let bundles = [options.client_ca.clone(), options.request_header_ca.clone()];
    let mut bundles = Watched::new(bundles.into_iter().flatten().collect());
    let mut ticks = tokio::time::interval(Duration::from_millis(RELOAD_MS));
    loop {
        ticks.tick().await;
        if let Some((file, key)) = &pair
            && certificate.changed()
        {
            match certified_key(file, key) {
                Ok(new) => {
                    serving.replace(new);
                    info!("serving certificate reloaded");
                }
                Err(why) => error!(
                    why,
                    "serving certificate not reloaded; the old one stays in force"
                ),
            }
        }
        if bundles.changed() {
            trust.reload();
        }
    }
}

/// Keeps up with what the API server says whom to believe. Never ends.
async fn listen_to(cluster: Option<Cluster>, trust: Arc<Trust>) {
    let Some(cluster) = cluster else {
        return std::future::pending().await;
    };
    crate::cluster::follow(cluster, |told| {
        if let Err(why) = trust.hear(told) {
            error!(why, "what was believed before stays in force");
        }
    })
    .await;
}

async fn announce(announcement: Option<Announcement>) {
    match announcement {
        Some(announcement) => announcement.keep().await,
        None => std::future::pending().await,
    }
}
