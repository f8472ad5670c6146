//! The routes, and what is the same for all of them: who may read from a browser.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::routing::{any, get};

use super::{endpoints, federate, guarded, status};
use crate::host::Host;
use crate::reply::{JSON, reply};
use crate::written::BodySlots;

/// The routes of this API and of those that share its port: remote read and write, OTLP.
pub fn router(host: Arc<dyn Host>) -> Router {
    let guarded_host = Arc::clone(&host);
    let version_host = Arc::clone(&host);
    let reads = crate::remote_read::router(Arc::clone(&host));
    let slots = Arc::new(BodySlots::new(host.reader().memory_bytes_max()));
    let writes = crate::remote_write::router(Arc::clone(&host), Arc::clone(&slots));
    let otlp = crate::otlp::router(Arc::clone(&host), slots);
    let handler = move |request: Request<Body>| {
        let host = Arc::clone(&host);
        async move {
            let origin = request.headers().get(header::ORIGIN).cloned();
            let mut response = endpoints::answer(&*host, request).await;
            if let Some(origin) = origin {
                allow_origin(response.headers_mut(), origin);
            }
            response
        }
    };
    let guarded = move |request: Request<Body>| {
        let host = Arc::clone(&guarded_host);
        async move { guarded::answer(&*host, request).await }
    };
    let federating = Arc::clone(&version_host);
    let federate = move |request: Request<Body>| {
        let host = Arc::clone(&federating);
        async move { federate::answer(&*host, request).await }
    };
    let version =
        move || async move { reply(StatusCode::OK, JSON, status::version(&*version_host)) };
    Router::new()
        .route("/federate", get(federate))
        .route("/version", get(version))
        .route("/api/v1/{*path}", any(handler))
        .route("/guarded/api/v1/{*path}", any(guarded))
        .merge(reads)
        .merge(writes)
        .merge(otlp)
}

/// Any origin may read, as with Prometheus' default `--web.cors.origin`.
fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    for (name, value) in [
        (
            "access-control-allow-headers",
            "Accept, Authorization, Content-Type, Origin",
        ),
        ("access-control-allow-methods", "GET, POST, OPTIONS"),
        ("access-control-expose-headers", "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("access-control-allow-origin", origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
