//! The port: HTTP/2, plain or over TLS, with keepalive, until the process ends.

use std::convert::Infallible;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use stillwell_adapters::keda::{ExternalScaler, MESSAGE_BYTES_MAX};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;
use tracing::{debug, warn};

use super::Triggers;
use super::calls::{self, Answer, Calls, Peer, too_many};
use crate::serve::places::{Connection, Evicts, Places};
use crate::serve::{descriptors, listen};
use crate::web_config::{ReloadedConfig, accept};

const PROTOCOLS: &[&[u8]] = &[b"h2"];
/// A connection per client, should they not share: KEDA shares one.
const CONNECTIONS_MAX: usize = 10_240;
/// KEDA's own channel has no keepalive, so a peer that is gone is noticed here: by this ping,
const PING_MS: u64 = 20_000;
/// and by its answer not having come.
const PING_TIMEOUT_MS: u64 = 10_000;
/// Bytes of an unread request: one message.
const WINDOW_BYTES: u32 = 64 << 10;
/// Unsent bytes of one stream; a message has seven.
const SEND_BYTES_MAX: usize = 8 << 10;
/// A message that has not come by then is not going to.
const READING_MS: u64 = 5_000;
/// Before a message: one byte for its compression, four for its length.
const FRAME_BYTES: usize = 5;
/// Headers of one request.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// What rustls says of certificates that it refuses.
const OF_CERTIFICATES: [&str; 2] = ["invalid peer certificate", "peer sent no certificates"];

/// A bound port.
pub struct KedaListener {
    listener: TcpListener,
    tls: Option<Arc<ReloadedConfig>>,
}

impl KedaListener {
    /// Serves on `listener`; over TLS where there is a configuration of it.
    pub fn new(listener: TcpListener, tls: Option<Arc<ReloadedConfig>>) -> KedaListener {
        KedaListener { listener, tls }
    }

    /// Reads a TLS configuration. What else such a file may hold has no meaning to gRPC, and would be passed over.
    pub fn tls(path: &Path) -> Result<Arc<ReloadedConfig>, String> {
        let reloaded = ReloadedConfig::open(path, PROTOCOLS)?;
        let name = path.display();
        if !reloaded.has_tls() {
            return Err(format!("{name}: there is no tls_server_config in it"));
        }
        if reloaded.authenticator().is_closed() {
            return Err(format!(
                "{name}: basic_auth_users and bearer_token_file are for HTTP; ask KEDA for a certificate \
                 (client_auth_type: RequireAndVerifyClientCert)"
            ));
        }
        Ok(Arc::new(reloaded))
    }

    /// Serves until `quit` turns true; streams end with OK then.
    pub async fn serve(self, triggers: Triggers, quit: watch::Receiver<bool>) {
        let service = ExternalScaler::new(Arc::new(triggers.clone()));
        let tls = self.tls;
        let most = descriptors::connections(CONNECTIONS_MAX, descriptors::Share::Keda);
        let places = Places::new(most, Evicts::Silent);
        let calls = Calls::default();
        listen::serve_at(places, self.listener, quit, move |stream, quit| {
            let peer = calls.connected(stream.peer());
            let served = Served {
                service: service.clone(),
                peer,
            };
            connection(stream, tls.clone(), served, triggers.clone(), quit)
        })
        .await;
    }
}

/// What a connection is served with.
struct Served {
    service: ExternalScaler,
    peer: Arc<Peer>,
}

async fn connection(
    stream: Connection,
    tls: Option<Arc<ReloadedConfig>>,
    served: Served,
    triggers: Triggers,
    quit: watch::Receiver<bool>,
) {
    let Some(reloaded) = tls else {
        return answer(stream, quit, served, false).await;
    };
    stream.set_shaking_hands();
    match accept(stream, &reloaded).await {
        Ok(accepted) => {
            accepted.stream.get_ref().0.set_handshaken();
            answer(accepted.stream, quit, served, accepted.verified).await;
        }
        Err(why) => {
            triggers.count_failed_handshake();
            match OF_CERTIFICATES.iter().any(|part| why.contains(part)) {
                true => warn!(
                    why,
                    "KEDA's port: a client's certificate was refused: it has to be one of client_ca_file's; KEDA shows the \
                     one of its TriggerAuthentication (tlsClientCert)"
                ),
                false => debug!(why, "KEDA's port: a handshake failed"), // whoever scans ports fails, too
            }
        }
    }
}

async fn answer<S>(
    stream: S,
    mut quit: watch::Receiver<bool>,
    Served { service, peer }: Served,
    verified: bool,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams_max = peer.streams_max;
    let client = Arc::clone(&peer);
    let service = service_fn(move |request: Request<Incoming>| {
        let under_way = peer.call();
        let (service, peer) = (service.clone(), Arc::clone(&peer));
        async move {
            let Some(under_way) = under_way else {
                let refused: Response<Body> = too_many().into_http();
                return Ok::<_, Infallible>(refused.map(|body| Answer::new(body, None, None)));
            };
            let deadline = calls::deadline(request.headers());
            let answering = call(service, request, (peer, verified));
            Ok(calls::answered(under_way, deadline, answering).await)
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_millis(PING_MS))
        .keep_alive_timeout(Duration::from_millis(PING_TIMEOUT_MS))
        .max_concurrent_streams(streams_max)
        .initial_stream_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = listen::ended(&mut quit) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = client.does_not_read() => {
            debug!("a connection ended: its client does not read that its streams have");
            return;
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended");
    }
}

async fn call(
    service: ExternalScaler,
    request: Request<Incoming>,
    (peer, verified): (Arc<Peer>, bool),
) -> Response<Body> {
    let address = peer.address;
    let (head, body) = request.into_parts();
    if !ExternalScaler::has(head.uri.path()) {
        let request = Request::from_parts(head, Body::empty());
        return service.answer(request, Some(address), verified).await;
    }
    match message(body, &peer).await {
        Ok(bytes) => {
            let request = Request::from_parts(head, Body::from(bytes));
            service.answer(request, Some(address), verified).await
        }
        Err(status) => status.into_http(),
    }
}

/// The whole body of a request.
async fn message(body: Incoming, peer: &Peer) -> Result<Bytes, Status> {
    let mut reading = pin!(to_bytes(Body::new(body), MESSAGE_BYTES_MAX + FRAME_BYTES));
    let at_once = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context)));
    let read = match at_once.await {
        Poll::Ready(read) => read,
        Poll::Pending => {
            let Some(_incomplete) = peer.incomplete() else {
                let why = "too many requests are incomplete; send a message with its headers";
                return Err(Status::resource_exhausted(why));
            };
            let limited = tokio::time::timeout(Duration::from_millis(READING_MS), reading);
            let late = |_| Status::deadline_exceeded("the message did not come within 5 s");
            limited.await.map_err(late)?
        }
    };
    read.map_err(|error| Status::resource_exhausted(format!("the message is not read: {error}")))
}
