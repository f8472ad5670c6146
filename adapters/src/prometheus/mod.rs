//! The Prometheus HTTP API, version 1: what KEDA, Grafana, promtool and client libraries send.

mod answer;
mod ast;
mod escaped_name;
mod federate;
mod guarded;
mod histogram;
mod live;
mod lookup;
mod metadata;
mod number;
mod params;
mod printer;
mod query;
mod rules;
mod search;
mod search_score;
mod stats;
mod status;
mod targets;
mod tsdb;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use axum::routing::{any, get};

use crate::client::address_of;
use crate::form::{Form, decode};
use crate::host::Host;
use crate::reply::{JSON, not_allowed, reply, reply_encoded};
use crate::written::BodySlots;

pub use crate::api_error::ApiError;
pub use answer::query_body;
pub use federate::quoted as quoted_label_value;
pub use guarded::REMEDY;
pub use printer::print_query;

/// This API in OpenAPI's terms, for people and generators.
const OPENAPI: &str = include_str!("openapi.yaml");
const READ_OR_POST: &str = "GET, HEAD, OPTIONS, POST";
const YAML: &str = "application/yaml; charset=utf-8";

/// Bytes of a form: each connection may hold one. Go takes ten times as many, for queries that nothing evaluates.
const FORM_BYTES_MAX: usize = 1 << 20;
/// How long one may take, within which Prometheus' clients have sent it long since.
const FORM_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// The routes below `/api/v1`.
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
            let mut response = answer(&*host, request).await;
            if let Some(origin) = origin {
                allow_origin(response.headers_mut(), origin);
            }
            response
        }
    };
    let guarded = move |request: Request<Body>| {
        let host = Arc::clone(&guarded_host);
        async move { answer_guarded(&*host, request).await }
    };
    let federating = Arc::clone(&version_host);
    let federate = move |request: Request<Body>| {
        let host = Arc::clone(&federating);
        async move { answer_federate(&*host, request).await }
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

/// The same API, where an instant query is told as a signal is, or not at all (rule S9b).
async fn answer_guarded(host: &dyn Host, request: Request<Body>) -> Response<Body> {
    let address = address_of(&request);
    let (mut parts, body) = request.into_parts();
    let path_and_query = parts
        .uri
        .path_and_query()
        .map_or("", |whole| whole.as_str());
    let inner = path_and_query
        .strip_prefix("/guarded")
        .unwrap_or(path_and_query);
    let path = parts.uri.path().trim_end_matches('/');
    if !path.ends_with("/api/v1/query") && !path.ends_with("/api/v1/query_range") {
        if let Ok(uri) = inner.parse() {
            parts.uri = uri;
        }
        return answer(host, Request::from_parts(parts, body)).await;
    }
    if !matches!(parts.method, Method::GET | Method::HEAD | Method::POST) {
        return not_allowed(READ_OR_POST);
    }
    let form = match read_form(&parts.headers, parts.uri.query(), body).await {
        Ok(form) => form,
        Err(error) => return error.into_response(),
    };
    let result = match path.ends_with("_range") {
        true => Err(ApiError::bad_data(
            "/guarded answers instant queries only: what a scaler may be told is about now",
        )),
        false => guarded::instant(host, &form, address).await,
    };
    match result {
        Ok(body) => reply_encoded(StatusCode::OK, JSON, body, &parts.headers),
        Err(error) => error.into_response(),
    }
}

/// A page for another Prometheus.
async fn answer_federate(host: &dyn Host, request: Request<Body>) -> Response<Body> {
    let headers = request.headers().clone();
    let form = Form::parse(request.uri().query());
    let encoding = federate::Encoding::asked_for(&headers);
    match federate::page(host, &form, encoding).await {
        Ok(page) => reply_encoded(StatusCode::OK, encoding.content_type(), page, &headers),
        Err(error) => error.into_response(),
    }
}

async fn answer(host: &dyn Host, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix("/api/v1").unwrap_or("");
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if let Some(answered) = by_method(&parts.method, &segments) {
        return answered;
    }
    let form = match read_form(&parts.headers, parts.uri.query(), body).await {
        Ok(form) => form,
        Err(error) => return error.into_response(),
    };
    let result = match segments.as_slice() {
        ["query"] => query::instant(host, &form).await,
        ["query_range"] => query::range(host, &form).await,
        ["series"] => lookup::series(host, &form).await,
        ["labels"] => lookup::label_names(host, &form).await,
        ["label", name, "values"] => lookup::label_values(host, &decode(name, false), &form).await,
        ["format_query"] => query::format(host, &form).await,
        ["parse_query"] => query::parse(host, &form).await,
        ["query_exemplars"] => query::exemplars(host, &form).await,
        ["scrape_pools"] => Ok(targets::scrape_pools(host)),
        ["scrape_pools", "config"] => targets::scrape_pool_config(host, &form),
        ["targets"] => Ok(targets::targets(host, &form)),
        ["targets", "metadata"] => targets::metadata(host, &form).await,
        ["targets", "relabel_steps"] => targets::relabel_steps(host, &form),
        ["status", "buildinfo"] => Ok(status::buildinfo(host)),
        ["status", "runtimeinfo"] => Ok(status::runtimeinfo(host)),
        ["status", "tsdb"] => tsdb::tsdb(host, &form).await,
        ["status", "tsdb", "blocks"] => Ok(empty(r#"{"blocks":[]}"#)),
        ["status", "flags"] => Ok(status::flags(host)),
        ["status", "config"] => Ok(status::config(host)),
        ["status", "walreplay"] => Ok(empty(r#"{"min":0,"max":0,"current":0}"#)), // there is no log to replay
        ["features"] => Ok(status::features(host)),
        ["notifications"] => Ok(live::notifications(host)),
        ["notifications", "live"] => return live::stream(host),
        ["search", subject] => return answer_search(host, subject, &form, &parts.headers).await,
        ["openapi.yaml"] => {
            let document = OPENAPI.to_owned();
            return reply_encoded(StatusCode::OK, YAML, document, &parts.headers);
        }
        ["metadata"] => metadata::metadata(host, &form),
        ["rules"] => rules::rules(host, &form).await,
        ["alerts"] => Ok(rules::alerts(host)),
        ["alertmanagers"] => Ok(rules::alertmanagers(host)),
        _ => return not_found(),
    };
    match result {
        Ok(body) => reply_encoded(StatusCode::OK, JSON, body, &parts.headers),
        Err(error) => error.into_response(),
    }
}

/// The answer to a method that these paths do not take, or that says it all; `None` where the path answers.
fn by_method(method: &Method, segments: &[&str]) -> Option<Response<Body>> {
    if *method == Method::OPTIONS {
        return Some(reply(StatusCode::NO_CONTENT, JSON, String::new()));
    }
    if let [
        "admin",
        "tsdb",
        "delete_series" | "clean_tombstones" | "snapshot",
    ] = segments
    {
        return Some(match *method {
            Method::POST | Method::PUT => {
                ApiError::unavailable("admin APIs disabled").into_response()
            }
            _ => not_allowed("OPTIONS, POST, PUT"),
        });
    }
    let read_only = !takes_post(segments);
    let is_allowed =
        matches!(*method, Method::GET | Method::HEAD) || (*method == Method::POST && !read_only);
    (!is_allowed).then(|| {
        not_allowed(match read_only {
            true => "GET, HEAD, OPTIONS",
            false => READ_OR_POST,
        })
    })
}

/// Names for whoever is typing one.
async fn answer_search(
    host: &dyn Host,
    subject: &str,
    form: &Form,
    headers: &HeaderMap,
) -> Response<Body> {
    let subject = match subject {
        "metric_names" => search::Subject::MetricNames,
        "label_names" => search::Subject::LabelNames,
        "label_values" => search::Subject::LabelValues,
        _ => return not_found(),
    };
    match search::search(host, subject, form).await {
        Ok(lines) => reply_encoded(StatusCode::OK, search::NDJSON, lines, headers),
        Err(error) => error.into_response(),
    }
}

fn not_found() -> Response<Body> {
    let text = "404 page not found\n".to_owned();
    reply(StatusCode::NOT_FOUND, "text/plain", text)
}

fn takes_post(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["query"
            | "query_range"
            | "query_exemplars"
            | "format_query"
            | "parse_query"
            | "series"
            | "labels"]
            | ["search", _]
    )
}

/// Parameters of body and URL; those of a form's body come first, as in Go, and those of one in parts last.
async fn read_form(headers: &HeaderMap, query: Option<&str>, body: Body) -> Result<Form, ApiError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let is_parts = kind.starts_with("multipart/form-data");
    if !is_parts && !kind.starts_with("application/x-www-form-urlencoded") {
        return Ok(Form::parse(query));
    }
    let reading = tokio::time::timeout(FORM_TIMEOUT, to_bytes(body, FORM_BYTES_MAX));
    let bytes = reading
        .await
        .map_err(|_| ApiError::bad_data("the form did not come within 5 s".to_owned()))?
        .map_err(|error| ApiError::bad_data(format!("error parsing form values: {error}")))?;
    if is_parts {
        return Form::parse(query)
            .with_parts(kind, &bytes)
            .map_err(|why| ApiError::bad_data(format!("error parsing form values: {why}")));
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Form::parse([&*text].into_iter().chain(query)))
}

/// An answer for what we do not keep, in the shape that clients expect.
fn empty(data: &str) -> String {
    format!("{{\"status\":\"success\",\"data\":{data}}}")
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
