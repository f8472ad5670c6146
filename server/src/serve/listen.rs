//! Listeners and their connections, plain or not, until the process ends.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use stillwell_adapters::ClientAddress;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::descriptors;
use super::host;
use super::places::{Connection, Evicts, Places};
use super::raw_target::RawTarget;
use super::request_heads::CountedHeads;
use super::unread_answers;
use super::write_deadline::WriteDeadline;

/// As many as Prometheus takes (`--web.max-connections`).
const CONNECTIONS_MAX: usize = 512;
/// A client that has not sent its headers by then is not going to.
const HEADER_TIMEOUT_MS: u64 = 30_000;
/// URL and headers of one request.
const HEADER_BYTES_MAX: usize = 512 << 10;
/// Answers under way are given this long when the process ends.
const DRAIN_MS: u64 = 5_000;
/// Between two tries, where accepting fails and nobody makes room.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Hands every connection to `handle` until `quit` turns true, then lets answers under way finish.
pub(super) async fn serve<H, F>(listener: TcpListener, quit: watch::Receiver<bool>, handle: H)
where
    H: Fn(Connection, watch::Receiver<bool>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let most = descriptors::connections(CONNECTIONS_MAX, descriptors::Share::Web);
    let places = Places::new(most, Evicts::Idle);
    serve_at(places, listener, quit, handle).await;
}

/// Like [`serve`], with these places.
pub(super) async fn serve_at<H, F>(
    places: Arc<Places>,
    listener: TcpListener,
    mut quit: watch::Receiver<bool>,
    handle: H,
) where
    H: Fn(Connection, watch::Receiver<bool>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut id = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = ended(&mut quit) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        id += 1;
        // Where every place is needed the new connection is closed at once.
        if let Some((stream, place)) = accepted.and_then(|stream| places.take(stream, id)) {
            let handled = handle(stream, quit.clone());
            let task = connections.spawn(async move {
                handled.await;
                drop(place);
            });
            places.served_by(id, task);
        }
    }
    drop(listener);
    let drain = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_millis(DRAIN_MS), drain)
        .await
        .is_err()
    {
        warn!("answers were still under way when the process ended");
    }
}

/// Answers the requests of one connection, from an address.
pub(super) async fn answer<S, A, F>(
    (stream, address): (S, Option<ClientAddress>),
    mut quit: watch::Receiver<bool>,
    answer: A,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Body>) -> F,
    F: Future<Output = Response<Body>>,
{
    let (stream, heads) = CountedHeads::new(WriteDeadline::new(stream), address);
    let service = service_fn(move |request: Request<Incoming>| {
        let under_way = heads.whole();
        let hosts = host::check(request.headers());
        let is_for_scalers = unread_answers::is_for_scalers(request.uri().path());
        let answered = hosts.map(|()| answer(request.map(Body::new)));
        async move {
            let answer = match answered {
                Ok(answered) if is_for_scalers => answered.await,
                Ok(answered) => unread_answers::counted(answered.await).await,
                Err(why) => bad_request(why),
            };
            drop(under_way);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEADER_TIMEOUT_MS))
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(RawTarget::new(stream)), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = ended(&mut quit) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended");
    }
}

fn bad_request(why: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(why));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// Until the process shall end.
pub(super) async fn ended(quit: &mut watch::Receiver<bool>) {
    quit.wait_for(|quit| *quit).await.ok(); // without a sender nobody is left to serve for
}

async fn accept(listener: &TcpListener, places: &Places) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => {
            stream.set_nodelay(true).ok(); // answers are one write; without it only latency suffers
            Some(stream)
        }
        Err(error) => {
            // Out of file descriptors, most likely: others must end before a new one can begin.
            warn!(%error, "a connection could not be accepted");
            match places.make_room() {
                true => tokio::task::yield_now().await, // its task has to run before its descriptor is free
                false => tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await,
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::listen_address::{BACKLOG, WEB, bind};
    use super::*;

    /// 2,000 clients at once waited for a second: the kernel kept 1,024 until they were accepted.
    #[tokio::test]
    async fn more_clients_than_1024_wait_to_be_accepted() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let allowed = allowed.ok().and_then(|text| text.trim().parse().ok());
        if allowed.is_none_or(|most: u32| most < BACKLOG) {
            return; // this kernel keeps fewer, whatever is asked for
        }
        descriptors::raise_limit();
        let listener = bind("127.0.0.1:0", &WEB).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let mut clients = Vec::new();
        for _ in 0..1_500 {
            // One that does not fit is dropped by the kernel, and the client waits for minutes.
            clients.push(TcpStream::connect(address).await.expect("it fits"));
        }
        assert_eq!(clients.len(), 1_500);
    }
}
