//! The secure listener: the Kubernetes metrics APIs as the API server's aggregation layer calls them, over TLS.
//!
//! Identities come from client certificates (the front proxy's, which speaks for others, and those of the client CA) and
//! from bearer tokens; the API server is asked who holds a token and who may do what. Health is open to everybody.

mod access;
mod announce;
mod attributes;
mod cache;
mod files;
mod identity;
#[cfg(feature = "fuzzing")]
pub mod outside;
mod self_made;
mod subject;
mod trust;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use stillwell_adapters::host::Host;
use stillwell_adapters::kubernetes::{self, Groups, Status};
use stillwell_adapters::reply::{JSON, reply, reply_bytes};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, info};

pub use self::cache::Lifetimes;
pub use self::identity::Headers;

use self::access::Access;
use self::announce::Announcement;
use self::attributes::RequestPath;
use self::files::{Serving, Watched, certified_key};
use self::self_made::self_made;
use self::trust::Trust;
use super::app::App;
use super::places::Connection;
use super::{http2, listen, listen_address, own_metrics, web};
use crate::cluster::{Cluster, ServiceName};
use crate::web_config::ClientAuth;
use crate::web_config::verifier::ByPolicy;

/// A client that has not finished its handshake by then is not going to.
const HANDSHAKE_MS: u64 = 10_000;
/// What the API server's aggregator speaks where it may; kubectl and probes of the kubelet do as well.
const HTTP2: &[u8] = b"h2";
/// Files are looked at this often.
const RELOAD_MS: u64 = 1_000;
/// An HPA's worker has no deadline of its own, the aggregator's probe has 5 s: whatever an answer waits for ends here.
const ANSWER_MS: u64 = 4_500;

/// From the flags of extension API servers.
#[derive(Clone, Debug, Default)]
pub struct SecureOptions {
    /// Where to listen.
    pub address: String,
    /// The serving certificate and its key; one is made where they are left out.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// CA of clients that speak for themselves.
    pub client_ca: Option<PathBuf>,
    /// CA of the front proxy.
    pub request_header_ca: Option<PathBuf>,
    /// Names of the front proxy's certificates; empty is any.
    pub allowed_names: Vec<String>,
    /// In which headers the front proxy says for whom it asks.
    pub headers: Headers,
    /// Names of a certificate that is made here.
    pub self_made_names: Vec<String>,
    /// What tells this replica from others, and is the same after a restart of its container: the pod's name.
    pub replica: String,
    /// How the API server is reached; in a pod it is found without.
    pub kubeconfig: Option<PathBuf>,
    /// Whom to believe is in the files; the API server is not asked.
    pub skip_lookup: bool,
    /// How long the API server's answers are kept.
    pub lifetimes: Lifetimes,
    /// The Service through which the API server reaches this process.
    pub service: Option<ServiceName>,
    /// Write the self-made certificate's CA into the APIServices that point here.
    pub write_ca_bundle: bool,
    /// Point APIServices here that point elsewhere.
    pub take_over: bool,
}

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

struct MetricsApi {
    router: Router,
    app: Arc<App>,
    trust: Arc<Trust>,
    access: Access,
}

async fn connection(
    stream: Connection,
    quit: watch::Receiver<bool>,
    acceptor: TlsAcceptor,
    api: Arc<MetricsApi>,
) {
    let address = stream.peer();
    stream.set_shaking_hands();
    let handshake =
        tokio::time::timeout(Duration::from_millis(HANDSHAKE_MS), acceptor.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "a handshake failed"),
        Err(_) => return debug!("a handshake took too long"),
    };
    stream.get_ref().0.set_handshaken();
    let chain: Vec<CertificateDer<'static>> = match stream.get_ref().1.peer_certificates() {
        Some(chain) => chain
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect(),
        None => Vec::new(),
    };
    if !chain.is_empty() {
        stream.get_ref().0.set_verified();
    }
    let chain: Arc<[CertificateDer<'static>]> = Arc::from(chain);
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
    let answer = move |request: Request<Body>| {
        let (api, chain) = (Arc::clone(&api), Arc::clone(&chain));
        async move { api.answer(request, &chain).await }
    };
    match is_http2 {
        true => http2::answer(stream, quit, answer).await,
        false => listen::answer((stream, address), quit, answer).await,
    }
}

impl MetricsApi {
    async fn answer(
        &self,
        request: Request<Body>,
        chain: &[CertificateDer<'static>],
    ) -> Response<Body> {
        let answering = self.admit_and_route(request, chain);
        match tokio::time::timeout(Duration::from_millis(ANSWER_MS), answering).await {
            Ok(response) => response,
            Err(_) => Status::unavailable(format!("no answer was found within {ANSWER_MS} ms"))
                .into_response(),
        }
    }

    async fn admit_and_route(
        &self,
        mut request: Request<Body>,
        chain: &[CertificateDer<'static>],
    ) -> Response<Body> {
        let text = request.uri().path().to_owned();
        let Some(path) = RequestPath::parse(&text) else {
            return Status::not_found(format!("{text}: a slash inside a name")).into_response();
        };
        let authorities = self.trust.current();
        let now = self.app.now();
        let wall_now = now.plus_ms(self.app.wall_offset_ms());
        let admitted = self
            .access
            .admit(&mut request, &path, chain, &authorities, (now, wall_now));
        if let Err(refused) = admitted.await {
            return refused.into_response();
        }
        match *path.pieces() {
            ["livez" | "readyz" | "healthz"] => {
                reply(StatusCode::OK, "text/plain; charset=utf-8", "ok".to_owned())
            }
            ["version"] => reply(StatusCode::OK, JSON, version(self.app.build().version)),
            ["metrics"] => {
                let (kind, page) = own_metrics::page(&self.app, request.headers()).await;
                reply_bytes(StatusCode::OK, kind, page)
            }
            ["apis" | "openapi", ..] => web::route(self.router.clone(), "", request).await,
            _ => Status::not_found(format!("{text}: there is /apis")).into_response(),
        }
    }
}

fn version(ours: &str) -> String {
    format!(
        "{{\"major\":\"1\",\"minor\":\"0\",\"gitVersion\":\"v{ours}\",\"platform\":\"stillwell\"}}\n"
    )
}
