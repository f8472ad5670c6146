//! One connection: its handshake, and requests, each admitted before it is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use rustls::pki_types::CertificateDer;
use stillwell_adapters::host::Host;
use stillwell_adapters::kubernetes::Status;
use stillwell_adapters::reply::{JSON, reply, reply_bytes};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::access::Access;
use super::attributes::RequestPath;
use super::trust::Trust;
use crate::serve::app::App;
use crate::serve::places::Connection;
use crate::serve::{http2, listen, own_metrics, web};

/// A client that has not finished its handshake by then is not going to.
const HANDSHAKE_MS: u64 = 10_000;

/// What the API server's aggregator speaks where it may; kubectl and probes of the kubelet do as well.
pub(super) const HTTP2: &[u8] = b"h2";

/// An HPA's worker has no deadline of its own, the aggregator's probe has 5 s: whatever an answer waits for ends here.
const ANSWER_MS: u64 = 4_500;

/// What answers requests.
pub(super) struct MetricsApi {
    pub(super) router: Router,
    pub(super) app: Arc<App>,
    pub(super) trust: Arc<Trust>,
    pub(super) access: Access,
}

/// Answers a client until it leaves or `quit` turns true.
pub(super) async fn connection(
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
