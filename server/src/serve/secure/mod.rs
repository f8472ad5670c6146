//! The secure listener: the external metrics API as the API server's aggregation layer calls it, over TLS.
//!
//! Identities come from client certificates: the front proxy's, which speaks for others, and those of the client CA.
//! TokenReview and SubjectAccessReview need the API server and are not built yet, so only what the front proxy vouches
//! for is let in (it has authorised the request), and `system:masters`; health is open to everybody.

mod der;
mod files;
mod identity;
mod verifier;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use stillwell_adapters::host::Host;
use stillwell_adapters::kubernetes::{self, Status};
use stillwell_adapters::reply::{JSON, reply};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, info};

use self::files::{Pool, Serving, Watched, certified_key, self_made};
use self::identity::{Authorities, Identity};
use self::verifier::AskOnly;
use super::app::App;
use super::{listen, own_metrics, web};

/// A client that has not finished its handshake by then is not going to.
const HANDSHAKE_MS: u64 = 10_000;
/// Files are looked at this often.
const RELOAD_MS: u64 = 1_000;
/// A member may do everything, as in every API server.
const MASTERS: &str = "system:masters";

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
    /// Names of a certificate that is made here.
    pub self_made_names: Vec<String>,
}

/// A secure listener, ready to serve.
pub struct Secure {
    options: SecureOptions,
    listener: TcpListener,
    serving: Arc<Serving>,
    authorities: Arc<RwLock<Authorities>>,
}

impl Secure {
    /// Reads every file and listens. What is wrong now would be wrong for the first caller.
    pub async fn bind(options: SecureOptions) -> Result<Secure, String> {
        let serving = match &options.certificate {
            Some((certificate, key)) => certified_key(certificate, key)?,
            None => self_made(options.self_made_names.clone())?,
        };
        let authorities = authorities(&options)?;
        let listener = TcpListener::bind(&options.address)
            .await
            .map_err(|error| format!("listen on {}: {error}", options.address))?;
        Ok(Secure {
            options,
            listener,
            serving: Arc::new(Serving::new(serving)),
            authorities: Arc::new(RwLock::new(authorities)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `quit` turns true.
    pub async fn serve(self, app: Arc<App>, groups: Vec<String>, quit: watch::Receiver<bool>) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocol versions")
            .with_client_cert_verifier(Arc::new(AskOnly::default()))
            .with_cert_resolver(Arc::clone(&self.serving) as _);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let face = Arc::new(Face {
            router: kubernetes::router(Arc::clone(&app) as Arc<dyn Host>, groups),
            app,
            authorities: Arc::clone(&self.authorities),
        });
        let reloading = reload(self.options, self.serving, self.authorities);
        let serving = listen::serve(self.listener, quit, move |stream, quit| {
            connection(stream, quit, acceptor.clone(), Arc::clone(&face))
        });
        tokio::select! {
            () = serving => {}
            () = reloading => {}
        }
    }
}

fn authorities(options: &SecureOptions) -> Result<Authorities, String> {
    let pool = |path: &Option<PathBuf>| path.as_deref().map(Pool::read).transpose();
    let authorities = Authorities {
        request_header: pool(&options.request_header_ca)?,
        allowed_names: options.allowed_names.clone(),
        client: pool(&options.client_ca)?,
    };
    authorities.check()?;
    Ok(authorities)
}

/// Reads files again when they change; what does not read leaves the old in force.
async fn reload(
    options: SecureOptions,
    serving: Arc<Serving>,
    authorities: Arc<RwLock<Authorities>>,
) {
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
            match self::authorities(&options) {
                Ok(new) => {
                    *authorities.write() = new;
                    info!("client CAs reloaded");
                }
                Err(why) => error!(why, "client CAs not reloaded; the old ones stay in force"),
            }
        }
    }
}

struct Face {
    router: Router,
    app: Arc<App>,
    authorities: Arc<RwLock<Authorities>>,
}

async fn connection(
    stream: TcpStream,
    quit: watch::Receiver<bool>,
    acceptor: TlsAcceptor,
    face: Arc<Face>,
) {
    let handshake =
        tokio::time::timeout(Duration::from_millis(HANDSHAKE_MS), acceptor.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "a handshake failed"),
        Err(_) => return debug!("a handshake took too long"),
    };
    let chain: Vec<CertificateDer<'static>> = match stream.get_ref().1.peer_certificates() {
        Some(chain) => chain
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect(),
        None => Vec::new(),
    };
    let chain: Arc<[CertificateDer<'static>]> = Arc::from(chain);
    listen::answer(stream, quit, move |request| {
        let (face, chain) = (Arc::clone(&face), Arc::clone(&chain));
        async move { face.answer(request, &chain).await }
    })
    .await;
}

impl Face {
    async fn answer(
        &self,
        mut request: Request<Body>,
        chain: &[CertificateDer<'static>],
    ) -> Response<Body> {
        let now_s = u64::try_from(self.app.now().ms() / 1000).unwrap_or(0);
        let identity = self
            .authorities
            .read()
            .identify(chain, request.headers_mut(), now_s);
        let path = request.uri().path().to_owned();
        match path.trim_end_matches('/') {
            "/livez" | "/readyz" | "/healthz" => {
                return reply(StatusCode::OK, "text/plain; charset=utf-8", "ok".to_owned());
            }
            _ => {}
        }
        if let Err(refused) = authorize(identity, &path) {
            return refused.into_response();
        }
        match path.as_str() {
            "/version" => reply(StatusCode::OK, JSON, version(self.app.build().version)),
            "/metrics" => reply(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                own_metrics::page(&self.app),
            ),
            _ if path.starts_with("/apis") => web::route(self.router.clone(), "", request).await,
            _ => Status::not_found(format!("{path}: there is /apis")).into_response(),
        }
    }
}

fn authorize(identity: Result<Identity, String>, path: &str) -> Result<(), Status> {
    // As an API server that lets nobody in anonymously: 403, with what would have been enough.
    let identity = identity.map_err(|why| Status::forbidden(format!("{path}: {why}")))?;
    if identity.from_front_proxy || identity.groups.iter().any(|group| group == MASTERS) {
        return Ok(());
    }
    Err(Status::forbidden(format!(
        "{}: user {:?} did not come through the API server, and asking it about others is not built yet",
        path, identity.user
    )))
}

fn version(ours: &str) -> String {
    format!(
        "{{\"major\":\"1\",\"minor\":\"0\",\"gitVersion\":\"v{ours}\",\"platform\":\"stillwell\"}}\n"
    )
}
