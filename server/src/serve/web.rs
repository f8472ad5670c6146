//! The plain listener: its routes, and connections served until the process ends.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use axum::routing::{any, get};
use stillwell_adapters::ClientAddress;
use stillwell_adapters::form::Form;
use stillwell_adapters::host::Host;
use stillwell_adapters::kubernetes::Groups;
use stillwell_adapters::reply::{JSON, reply, reply_encoded};
use stillwell_adapters::{console, kubernetes, prometheus, signals};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_service::Service;
use tracing::debug;

use super::app::App;
use super::listen;
use super::own_metrics;
use super::pprof;
use crate::web_config::{ReloadedConfig, accept};

/// What the plain listener serves.
#[derive(Clone, Debug, Default)]
pub struct WebOptions {
    /// In front of every route; without a trailing slash.
    pub route_prefix: String,
    /// `/-/reload` and `/-/quit`.
    pub lifecycle: bool,
    /// `--web.config.file`: TLS, who is let in, and headers.
    pub config_file: Option<PathBuf>,
    /// API groups of the Kubernetes metrics APIs, where they are mounted here.
    pub insecure_api_groups: Option<Groups>,
    /// Routes of whoever starts the server: the demonstration's.
    pub more: Option<Router>,
}

/// Every route of the plain listener. `quit` ends the process.
pub fn router(app: &Arc<App>, options: &WebOptions, quit: watch::Sender<bool>) -> Router {
    let host: Arc<dyn Host> = Arc::clone(app) as Arc<dyn Host>;
    let mut router =
        prometheus::router(Arc::clone(&host)).merge(signals::router(Arc::clone(&host)));
    router = router.merge(console::router(Arc::clone(&host)));
    if let Some(groups) = &options.insecure_api_groups {
        router = router.merge(kubernetes::router(host, groups.clone()));
    }
    let text = |status, text: &str| reply(status, "text/plain; charset=utf-8", text.to_owned());
    router = router.route(
        "/-/healthy",
        get(move || async move { text(StatusCode::OK, "Stillwell is Healthy.\n") }),
    );
    let ready = Arc::clone(app);
    router = router.route(
        "/-/ready",
        get(move || async move {
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
        get(move |request: Request<Body>| async move {
            let (kind, page) = own_metrics::page(&metrics, request.headers()).await;
            reply_encoded(StatusCode::OK, kind, page, request.headers())
        }),
    );
    let own = Arc::clone(app);
    router = router.route(
        "/api/v1/status/self_metrics",
        get(move |request: Request<Body>| async move {
            let form = Form::parse(request.uri().query());
            match own_metrics::self_metrics(&own, &form).await {
                Ok(body) => reply_encoded(StatusCode::OK, JSON, body, request.headers()),
                Err(error) => error.into_response(),
            }
        }),
    );
    router = router.merge(pprof::router(app));
    router = router.merge(match &options.more {
        Some(more) => more.clone(),
        // The console asks what the demonstration lets people do; here it is nothing.
        None => {
            let none = || async { reply(StatusCode::OK, JSON, "{\"triggers\":[]}".to_owned()) };
            Router::new().route("/demo", get(none))
        }
    });
    router
        .merge(lifecycle(app, options.lifecycle, quit))
        .fallback(move || async move { text(StatusCode::NOT_FOUND, "404 page not found\n") })
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
            let why = "Only POST or PUT requests allowed\n".to_owned();
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, why);
            let allowed = HeaderValue::from_static("POST, PUT");
            response.headers_mut().insert(header::ALLOW, allowed);
            response
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

/// What is spoken over TLS.
pub(super) const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// Serves connections until `quit` turns true, then lets answers under way finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    prefix: String,
    reloaded: Option<Arc<ReloadedConfig>>,
    quit: watch::Receiver<bool>,
) {
    let prefix: Arc<str> = Arc::from(prefix);
    listen::serve(listener, quit, move |stream, quit| {
        let (router, prefix) = (router.clone(), Arc::clone(&prefix));
        let reloaded = reloaded.clone();
        async move {
            let address = stream.peer();
            let tls = reloaded.clone().filter(|reloaded| reloaded.has_tls());
            let answer = move |request: Request<Body>| {
                let (router, prefix, reloaded) =
                    (router.clone(), Arc::clone(&prefix), reloaded.clone());
                async move { guarded(router, &prefix, (reloaded.as_deref(), address), request).await }
            };
            let Some(tls) = tls else {
                return listen::answer((stream, address), quit, answer).await;
            };
            stream.set_shaking_hands();
            match accept(stream, &tls).await {
                Ok(accepted) => {
                    accepted.stream.get_ref().0.set_handshaken();
                    listen::answer((accepted.stream, address), quit, answer).await;
                }
                Err(why) => debug!(why, "a handshake failed"),
            }
        }
    })
    .await;
}

/// Routes a request from an address that the web configuration lets in.
async fn guarded(
    router: Router,
    prefix: &str,
    (reloaded, address): (Option<&ReloadedConfig>, Option<ClientAddress>),
    mut request: Request<Body>,
) -> Response<Body> {
    if let Some(address) = address {
        request.extensions_mut().insert(address);
    }
    let Some(authenticator) = reloaded.map(ReloadedConfig::authenticator) else {
        return route(router, prefix, request).await;
    };
    if let Some(refusal) = authenticator.refusal(request.headers(), address).await {
        return refusal;
    }
    let mut response = route(router, prefix, request).await;
    authenticator.dress(&mut response);
    response
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
