//! The external metrics API, as the HPA reads it through the API server's aggregation layer.
//!
//! Never a redirect, never `Retry-After`, an answer within a deadline: a worker of the HPA that waits here serves nobody.

mod accept;
mod discovery;
mod external;
pub mod hpa;
mod quantity;
mod selector;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::routing::any;

use crate::form::{Form, decode};
use crate::host::Host;
use crate::reply::{JSON, reply};
use accept::negotiate;

pub use quantity::{QuantityError, quantity};
pub use selector::{Requirement, Selector, SelectorError};
pub use status::Status;

/// The routes of the API for these groups.
pub fn router(host: Arc<dyn Host>, groups: Vec<String>) -> Router {
    let face = Arc::new(Face { host, groups });
    let handler = move |method: Method, uri: Uri, headers: HeaderMap| {
        let face = Arc::clone(&face);
        async move {
            face.answer(method, uri, headers)
                .await
                .unwrap_or_else(Status::into_response)
        }
    };
    Router::new()
        .route("/apis", any(handler.clone()))
        .route("/apis/{*path}", any(handler))
}

struct Face {
    host: Arc<dyn Host>,
    groups: Vec<String>,
}

impl Face {
    async fn answer(
        &self,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
    ) -> Result<Response<Body>, Status> {
        let path = uri
            .path()
            .strip_prefix("/apis")
            .unwrap_or("")
            .trim_matches('/');
        let segments: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| decode(part, false))
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let form = Form::parse(uri.query());
        if method != Method::GET && method != Method::HEAD {
            return Err(Status::method_not_allowed(format!(
                "{method} is not supported: metrics are only read (GET)"
            )));
        }
        let wanted = negotiate(&headers, segments.is_empty()).ok_or_else(Status::not_acceptable)?;
        let (group, rest) = match segments.as_slice() {
            [] => return Ok(self.root(wanted, &headers)),
            [group, rest @ ..] if self.groups.iter().any(|name| name == group) => (*group, rest),
            _ => return Err(self.no_such_path(uri.path())),
        };
        match rest {
            [] => Ok(ok(discovery::group(group))),
            [discovery::VERSION] => Ok(ok(discovery::resource_list(
                group,
                &self.host.signals().names(),
            ))),
            [discovery::VERSION, "namespaces", namespace, metric] => {
                external::answer(&*self.host, group, namespace, metric, &form)
                    .await
                    .map(ok)
            }
            _ => Err(self.no_such_path(uri.path())),
        }
    }

    fn root(&self, wanted: accept::Form, headers: &HeaderMap) -> Response<Body> {
        match wanted {
            accept::Form::Json => ok(discovery::group_list(&self.groups)),
            accept::Form::AggregatedDiscovery => {
                let body = discovery::aggregated(&self.groups, &self.host.signals().names());
                let etag = format!("\"{:016x}\"", fnv(body.as_bytes()));
                let known = headers
                    .get(header::IF_NONE_MATCH)
                    .and_then(|value| value.to_str().ok());
                let mut response = if known == Some(etag.as_str()) {
                    reply(StatusCode::NOT_MODIFIED, accept::AGGREGATED, String::new())
                } else {
                    reply(StatusCode::OK, accept::AGGREGATED, body)
                };
                if let Ok(etag) = HeaderValue::from_str(&etag) {
                    response.headers_mut().insert(header::ETAG, etag);
                }
                response
            }
        }
    }

    fn no_such_path(&self, path: &str) -> Status {
        let groups = self.groups.join(", ");
        Status::not_found(format!(
            "{path}: there is /apis/GROUP/{version} and /apis/GROUP/{version}/namespaces/NAMESPACE/METRIC, GROUP: {groups}",
            version = discovery::VERSION
        ))
    }
}

fn ok(body: String) -> Response<Body> {
    reply(StatusCode::OK, JSON, body)
}

/// FNV-1a, for an ETag: it tells versions of one document apart.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
