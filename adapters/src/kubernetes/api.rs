//! The routes below `/apis` and `/openapi`, and which code answers which path.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::routing::any;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::accept::{self, Offer, negotiate};
use super::discovery::{self, Listed};
use super::etag::{etag, knows};
use super::groups::{Content, Groups};
use super::status::Status;
use super::{custom, external, openapi, usage};
use crate::form::{Form, decode};
use crate::host::Host;
use crate::reply::{reply, reply_bytes};

/// A list is used again for so many times as long as it took to make, so that at most a tenth of a core makes lists, ...
const LISTED_TIMES: u32 = 10;
/// ... and no longer than this.
const LISTED_FOR_MAX: Duration = Duration::from_secs(2);

/// The forms of what is no list of values.
const JSON_OR_YAML: &str = "application/json, application/yaml";

/// The routes of the APIs for these groups.
pub fn router(host: Arc<dyn Host>, groups: Groups) -> Router {
    let api = Arc::new(MetricsApi {
        host,
        groups,
        listed: Mutex::default(),
    });
    let handler = move |method: Method, uri: Uri, headers: HeaderMap| {
        let api = Arc::clone(&api);
        async move {
            api.answer(method, uri, headers)
                .await
                .unwrap_or_else(Status::into_response)
        }
    };
    Router::new()
        .route("/apis", any(handler.clone()))
        .route("/apis/", any(handler.clone()))
        .route("/apis/{*path}", any(handler.clone()))
        .route("/openapi/{*path}", any(handler))
}

struct MetricsApi {
    host: Arc<dyn Host>,
    groups: Groups,
    /// The newest list, and until when it is used. Held while one is made, so that whoever asks meanwhile has the same.
    listed: Mutex<Option<(Instant, Arc<Listed>)>>,
}

impl MetricsApi {
    async fn answer(
        &self,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
    ) -> Result<Response<Body>, Status> {
        if method != Method::GET && method != Method::HEAD {
            return Err(Status::method_not_allowed(format!(
                "{method} is not supported: metrics are only read (GET)"
            )));
        }
        if let Some(path) = uri.path().strip_prefix("/openapi/") {
            let document = openapi::document(&self.groups, path)
                .ok_or_else(|| Status::not_found(format!("there is no /openapi/{path}")))?;
            return discovered(&headers, || document);
        }
        let segments = segments(&uri);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, rest) = match segments.as_slice() {
            [] => return self.root(&headers).await,
            [group, rest @ ..] => (*group, rest),
        };
        let Some(content) = self.groups.content(group) else {
            return Err(self.no_such_path(uri.path()));
        };
        let rest = match rest {
            [] => return discovered(&headers, || discovery::group(group, content)),
            rest => rest,
        };
        let mut versions = content.versions().iter().copied();
        let version = versions.find(|version| rest.first() == Some(version));
        let (Some(version), rest) = (version, &rest[1..]) else {
            return Err(self.no_such_path(uri.path()));
        };
        if rest.is_empty() {
            let listed = self.listed().await?;
            return discovered(&headers, || {
                discovery::resource_list((group, version), content, &listed)
            });
        }
        let form = Form::parse(uri.query());
        let metrics = self.metrics(&headers, &form, (group, version), content, rest);
        let missing = || self.no_such_path(uri.path());
        metrics.await?.ok_or_else(missing)
    }

    /// The metrics that `rest` of the path asks for; `None` where it is no path of `content`.
    async fn metrics(
        &self,
        headers: &HeaderMap,
        form: &Form,
        (group, version): (&str, &'static str),
        content: Content,
        rest: &[&str],
    ) -> Result<Option<Response<Body>>, Status> {
        let wanted = negotiate(headers, Offer::Protobuf).ok_or_else(|| {
            Status::not_acceptable(&format!("{JSON_OR_YAML}, {}", accept::PROTOBUF))
        })?;
        if matches!(form.get("watch"), "true" | "1") {
            return Err(Status::method_not_allowed(
                "watch is not supported on resources of this kind",
            ));
        }
        if content == Content::Resource {
            let Some(path) = usage::Path::parse(rest) else {
                return Ok(None);
            };
            let body = usage::answer(&*self.host, group, path, form, wanted).await?;
            return Ok(Some(reply_bytes(
                StatusCode::OK,
                wanted.content_type(),
                body,
            )));
        }
        let list = match (content, rest) {
            (Content::External, ["namespaces", namespace, metric]) => {
                external::answer(&*self.host, group, namespace, metric, form).await?
            }
            (Content::Custom, pieces) => {
                let Some(path) = custom::Path::parse(pieces) else {
                    return Ok(None);
                };
                custom::answer(&*self.host, (group, version), path, form).await?
            }
            _ => return Ok(None),
        };
        Ok(Some(match wanted {
            accept::Form::Protobuf => {
                reply_bytes(StatusCode::OK, accept::PROTOBUF, list.protobuf())
            }
            accept::Form::Table => reply(StatusCode::OK, wanted.content_type(), list.table()),
            _ => reply(StatusCode::OK, wanted.content_type(), list.json()),
        }))
    }

    /// What is listed. Rules that name no metric look at the series there are: of 6,000 names that takes 170 ms of CPU, and the
    /// aggregators of three API servers probe each version five times at once, every 30 s.
    async fn listed(&self) -> Result<Arc<Listed>, Status> {
        let mut kept = self.listed.lock().await;
        if let Some((until, listed)) = &*kept
            && Instant::now() < *until
        {
            return Ok(Arc::clone(listed));
        }
        let began = Instant::now();
        let listed = Arc::new(self.list().await?);
        let used_for = LISTED_FOR_MAX.min(began.elapsed() * LISTED_TIMES);
        *kept = Some((Instant::now() + used_for, Arc::clone(&listed)));
        Ok(listed)
    }

    async fn list(&self) -> Result<Listed, Status> {
        let (signals, kinds) = (self.host.signals(), self.host.objects().kinds());
        // Not on the pool: the aggregator takes a server that is slow to list for one that is down.
        let listing = tokio::task::spawn_blocking(move || Listed {
            external: signals.names(),
            objects: signals.object_metrics(&kinds),
        });
        listing
            .await
            .map_err(|error| Status::unavailable(error.to_string()))
    }

    async fn root(&self, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        let version = match negotiate(headers, Offer::AggregatedDiscovery) {
            None => return Err(Status::not_acceptable(JSON_OR_YAML)),
            Some(accept::Form::AggregatedDiscovery(version)) => version,
            Some(form) => {
                let list = discovery::group_list(&self.groups);
                return Ok(reply(StatusCode::OK, form.content_type(), list));
            }
        };
        let listed = self.listed().await?;
        let body = discovery::aggregated(&self.groups, &listed, version.version());
        let etag = etag(&body);
        let mut response = if knows(headers, &etag) {
            reply(
                StatusCode::NOT_MODIFIED,
                version.content_type(),
                String::new(),
            )
        } else {
            reply(StatusCode::OK, version.content_type(), body)
        };
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        // One URL, several forms.
        response
            .headers_mut()
            .insert(header::VARY, HeaderValue::from_static("Accept"));
        Ok(response)
    }

    fn no_such_path(&self, path: &str) -> Status {
        let known: Vec<String> = self
            .groups
            .each()
            .map(|(group, content)| {
                let rest = match content {
                    Content::External => "namespaces/NAMESPACE/METRIC",
                    Content::Custom => {
                        "namespaces/NAMESPACE/RESOURCE/NAME/METRIC, namespaces/NAMESPACE/metrics/METRIC and \
                         RESOURCE/NAME/METRIC"
                    }
                    Content::Resource => {
                        "nodes, nodes/NAME, pods, namespaces/NAMESPACE/pods and namespaces/NAMESPACE/pods/NAME"
                    }
                };
                let version = content.version();
                format!("/apis/{group}/{version} and its {rest}")
            })
            .collect();
        Status::not_found(format!("{path}: there is {}", known.join(", ")))
    }
}

fn discovered(
    headers: &HeaderMap,
    document: impl FnOnce() -> String,
) -> Result<Response<Body>, Status> {
    match negotiate(headers, Offer::Json) {
        Some(form) => Ok(reply(StatusCode::OK, form.content_type(), document())),
        None => Err(Status::not_acceptable(JSON_OR_YAML)),
    }
}

/// The path below `/apis`, piece by piece, each decoded.
fn segments(uri: &Uri) -> Vec<String> {
    let path = uri.path().strip_prefix("/apis").unwrap_or("");
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(|part| decode(part, false))
        .collect()
}
