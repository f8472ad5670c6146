//! The plain listener: its routes, and connections served until the process ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, Uri, header};
use axum::routing::any;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use stillwell_adapters::host::Host;
use stillwell_adapters::reply::reply;
use stillwell_adapters::{kubernetes, prometheus, signals};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service;
use tracing::{debug, warn};

use super::app::App;
use super::own_metrics;

/// As many as Prometheus takes (`--web.max-connections`).
const CONNECTIONS_MAX: usize = 512;
/// A client that has not sent its headers by then is not going to.
const HEADER_TIMEOUT_MS: u64 = 30_000;
/// URL and headers of one request.
const HEADER_BYTES_MAX: usize = 512 << 10;
/// Answers under way are given this long when the process ends.
const DRAIN_MS: u64 = 5_000;

/// What the plain listener serves.
#[derive(Clone, Debug, Default)]
pub struct WebOptions {
    /// In front of every route; without a trailing slash.
    pub route_prefix: String,
    /// `/-/reload` and `/-/quit`.
    pub lifecycle: bool,
    /// API groups of the external metrics API, where it is mounted here.
    pub insecure_api_groups: Vec<String>,
}

/// Every route of the plain listener. `quit` ends the process.
pub fn router(app: &Arc<App>, options: &WebOptions, quit: watch::Sender<bool>) -> Router {
    let host: Arc<dyn Host> = Arc::clone(app) as Arc<dyn Host>;
    let mut router =
        prometheus::router(Arc::clone(&host)).merge(signals::router(Arc::clone(&host)));
    if !options.insecure_api_groups.is_empty() {
        router = router.merge(kubernetes::router(
            host,
            options.insecure_api_groups.clone(),
        ));
    }
    let text = |status, text: &str| reply(status, "text/plain; charset=utf-8", text.to_owned());
    router = router.route(
        "/-/healthy",
        any(move || async move { text(StatusCode::OK, "Stillwell is Healthy.\n") }),
    );
    let ready = Arc::clone(app);
    router = router.route(
        "/-/ready",
        any(move || async move {
            if ready.ready() {
                text(StatusCode::OK, "Stillwell is Ready.\n")
            } else {
                text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Not ready: some target has neither given a page nor failed for long.\n",
                )
            }
        }),
    );
    let metrics = Arc::clone(app);
    router = router.route(
        "/metrics",
        any(move || async move {
            let page = own_metrics::page(&metrics);
            reply(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                page,
            )
        }),
    );
    router.merge(lifecycle(app, options.lifecycle, quit))
}

fn lifecycle(app: &Arc<App>, enabled: bool, quit: watch::Sender<bool>) -> Router {
    let text = |status, text: String| reply(status, "text/plain; charset=utf-8", text);
    let refuse = move |method: &Method| {
        if !enabled {
            return Some(text(
                StatusCode::FORBIDDEN,
                "Lifecycle API is not enabled.\n".to_owned(),
            ));
        }
        let posted = matches!(*method, Method::POST | Method::PUT);
        (!posted).then(|| {
            text(
                StatusCode::METHOD_NOT_ALLOWED,
                "Only POST or PUT requests allowed\n".to_owned(),
            )
        })
    };
    let app = Arc::clone(app);
    let reload = move |method: Method| async move {
        if let Some(refused) = refuse(&method) {
            return refused;
        }
        match app.reload().await {
            Ok(()) => text(StatusCode::OK, String::new()),
            Err(why) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("failed to reload config: {why}\n"),
            ),
        }
    };
    let quit = move |method: Method| async move {
        refuse(&method).unwrap_or_else(|| {
            quit.send_replace(true);
            text(
                StatusCode::OK,
                "Requesting termination... Goodbye!\n".to_owned(),
            )
        })
    };
    Router::new()
        .route("/-/reload", any(reload))
        .route("/-/quit", any(quit))
}

/// Serves connections until `quit` turns true, then lets answers under way finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    prefix: String,
    mut quit: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = ended(&mut quit) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        if let Some((stream, slot)) = accepted {
            let (router, prefix, quit) = (router.clone(), prefix.clone(), quit.clone());
            connections.spawn(async move {
                connection(stream, router, prefix, quit).await;
                drop(slot);
            });
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

/// Until the process shall end.
async fn ended(quit: &mut watch::Receiver<bool>) {
    quit.wait_for(|quit| *quit).await.ok(); // without a sender nobody is left to serve for
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            // Out of file descriptors, most likely: others must end before a new one can begin.
            warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    prefix: String,
    mut quit: watch::Receiver<bool>,
) {
    stream.set_nodelay(true).ok(); // answers are one write; without it only latency suffers
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, prefix) = (router.clone(), prefix.clone());
        async move { Ok::<_, Infallible>(route(router, &prefix, request.map(Body::new)).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEADER_TIMEOUT_MS))
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
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

/// Takes the route prefix off and doubled slashes out, then routes. KEDA pastes a server address that ends in a slash.
pub async fn route(mut router: Router, prefix: &str, mut request: Request<Body>) -> Response<Body> {
    let path = request.uri().path();
    let mut clean = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !clean.ends_with('/') {
            clean.push(c);
        }
    }
    let inside = match clean.strip_prefix(prefix) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => {
            let body = format!("404 page not found; everything is below {prefix}\n");
            return reply(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", body);
        }
    };
    if inside != path {
        let target = match request.uri().query() {
            Some(query) => format!("{inside}?{query}"),
            None => inside.to_owned(),
        };
        if let Ok(uri) = target.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    let head = request.method() == Method::HEAD;
    let mut response = match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if head {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}
