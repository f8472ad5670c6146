//! Which code answers which path below `/api/v1`.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};

use super::request_form::read_form;
use super::{live, lookup, metadata, query, rules, search, status, targets, tsdb};
use crate::api_error::ApiError;
use crate::form::{Form, decode};
use crate::host::Host;
use crate::pool::{Kind, Within};
use crate::reply::{JSON, is_packed, not_allowed, reply, reply_bytes, reply_encoded};

/// This API in OpenAPI's terms, for people and generators.
const OPENAPI: &str = include_str!("openapi.yaml");
/// Larger answers are not compressed by whoever has to answer scalers: that takes some 2 ms.
const PACKED_ASIDE_BYTES: usize = 64 << 10;
const YAML: &str = "application/yaml; charset=utf-8";
pub(super) const READ_OR_POST: &str = "GET, HEAD, OPTIONS, POST";

/// The answer to a request below `/api/v1`.
pub(super) async fn answer(host: &dyn Host, request: Request<Body>) -> Response<Body> {
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
        ["metadata"] => metadata::metadata(host, &form).await,
        ["rules"] => rules::rules(host, &form).await,
        ["alerts"] => Ok(rules::alerts(host)),
        ["alertmanagers"] => Ok(rules::alertmanagers(host)),
        _ => return not_found(),
    };
    match result {
        Ok(body) => packed(host, body, parts.headers).await,
        Err(error) => error.into_response(),
    }
}

/// A large answer is compressed where queries run: of 30 MB that takes a second, and the threads that answer scalers are two. Where
/// there is no room it is sent as it is.
async fn packed(host: &dyn Host, body: String, headers: HeaderMap) -> Response<Body> {
    if body.len() < PACKED_ASIDE_BYTES || !is_packed(&headers) {
        return reply_encoded(StatusCode::OK, JSON, body, &headers);
    }
    let body = Bytes::from(body);
    let (plain, timeout_ms) = (body.clone(), host.query_settings().timeout_ms);
    let pack = move |_: &Within| Ok(reply_encoded(StatusCode::OK, JSON, body, &headers));
    let packed = host.queries().run(Kind::Query, timeout_ms, pack).await;
    packed.unwrap_or_else(|_| reply_bytes(StatusCode::OK, JSON, plain))
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

/// Whether a path is one of those whose parameters may be long: they are also taken from a form in the body.
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

/// An answer for what we do not keep, in the shape that clients expect.
fn empty(data: &str) -> String {
    format!("{{\"status\":\"success\",\"data\":{data}}}")
}
