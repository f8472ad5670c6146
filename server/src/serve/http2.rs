//! HTTP/2 on the secure port, as API servers speak it with whoever they aggregate. The limits are those that API servers have
//! for themselves, and a client that does not read its answers loses its connection: over HTTP/1 the next write says so, here
//! the windows of single streams hide it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use super::listen;
use super::unread_answers;
use super::write_deadline::WriteDeadline;

/// Requests of one connection at a time, as in Go's servers since they were flooded (CVE-2023-44487: `k8s.io/apiserver` has 100
/// for whoever is not known).
const STREAMS_MAX: u32 = 100;
/// Headers of one request. The front proxy names the groups of its user in them.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// Bytes of unread requests: of a stream, of a connection.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const WINDOW_BYTES: u32 = 256 << 10;
/// Unsent bytes of one stream.
const SEND_BYTES_MAX: usize = 64 << 10;
/// A peer that is gone is noticed by this ping, and by its answer not having come.
const PING: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// An answer that was not read by then is not going to be.
const READ_MAX: Duration = Duration::from_secs(30);
/// That is looked at so often.
const LOOK: Duration = Duration::from_secs(5);

/// The answers of a connection.
#[derive(Default)]
struct Answers {
    /// Those that are not read yet, the oldest first.
    unread: VecDeque<(Instant, Weak<Answer>)>,
    /// When one was last read to its end: an API server has one connection for all its clients, of which one may be slow.
    read: Option<Instant>,
}

type Unread = Arc<Mutex<Answers>>;

/// An answer, until it is read or given up.
struct Answer(Weak<Mutex<Answers>>);

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(answers) = self.0.upgrade() {
            answers.lock().read = Some(Instant::now());
        }
    }
}

/// Answers the requests of one connection.
pub(super) async fn answer<S, A, F>(stream: S, mut quit: watch::Receiver<bool>, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Body>) -> F + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let unread = Unread::default();
    let noted = Arc::clone(&unread);
    let service = service_fn(move |request: Request<Incoming>| {
        let is_for_scalers = unread_answers::is_for_scalers(request.uri().path());
        let (answered, unread) = (answer(request.map(Body::new)), Arc::clone(&noted));
        async move {
            let answer = match is_for_scalers {
                true => answered.await,
                false => unread_answers::counted(answered.await).await,
            };
            Ok::<_, Infallible>(answer.map(|body| note(body, &unread)))
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(WriteDeadline::new(stream)), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stuck(&unread) => return debug!("a client does not read its answers"),
        () = listen::ended(&mut quit) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended");
    }
}

/// Bytes of an answer, which are noted until they are sent or given up: HTTP/2 takes whole pieces of a body and keeps them until
/// the client has a window for them.
struct Noted {
    bytes: Bytes,
    _alive: Arc<Answer>,
}

impl AsRef<[u8]> for Noted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body, noted for as long as some of it is unread.
fn note(body: Body, unread: &Unread) -> UnsyncBoxBody<Bytes, axum::Error> {
    let alive = Arc::new(Answer(Arc::downgrade(unread)));
    let mut answers = unread.lock();
    let is_read = |(_, one): &(Instant, Weak<Answer>)| one.strong_count() == 0;
    while answers.unread.front().is_some_and(is_read) {
        answers.unread.pop_front();
    }
    answers
        .unread
        .push_back((Instant::now(), Arc::downgrade(&alive)));
    drop(answers);
    body.map_frame(move |frame| {
        frame.map_data(|bytes| {
            Bytes::from_owner(Noted {
                bytes,
                _alive: Arc::clone(&alive),
            })
        })
    })
    .boxed_unsync()
}

/// Until an answer has been unread for too long, and no other was read meanwhile.
async fn stuck(unread: &Unread) {
    loop {
        tokio::time::sleep(LOOK).await;
        let answers = unread.lock();
        let is_old = |(since, one): &(Instant, Weak<Answer>)| {
            let since = answers.read.map_or(*since, |read| read.max(*since));
            one.strong_count() > 0 && since.elapsed() > READ_MAX
        };
        if answers.unread.iter().any(is_old) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::client::conn::http2 as client;
    use tokio::sync::watch;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_are_answered_and_who_reads_nothing_is_ended() {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (_quit, quitting) = watch::channel(false);
        let large = |request: Request<Body>| async move {
            let bytes = request.uri().path().len().pow(5);
            Response::new(Body::from(vec![b'x'; bytes]))
        };
        let served = tokio::spawn(answer(ours, quitting, large));
        let handshake = client::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 10)
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(theirs));
        let (mut sender, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        let ask = |path: &str| {
            let uri = format!("http://h{path}");
            Request::get(uri).body(Body::empty()).expect("a request")
        };
        let answered = sender.send_request(ask("/aa")).await.expect("an answer");
        let body = answered.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes().len(), 243);
        let began = Instant::now();
        let _unread = sender
            .send_request(ask("/apis/aaaaa"))
            .await
            .expect("a head");
        served.await.expect("it ends");
        let took = began.elapsed();
        assert!(took > READ_MAX && took <= READ_MAX + 2 * LOOK, "{took:?}");
    }
}
