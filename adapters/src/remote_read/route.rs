//! The route: a request is read, answered in a query's turn, and sent whole.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use axum::routing::any;
use stillwell_engine::promql::{EvalOptions, MemoryLease};

use super::reading::Reading;
use super::request::{REQUEST_BYTES_MAX, Refusal, check_queries, matchers, read, streamed};
use crate::api_error::ApiError;
use crate::host::Host;
use crate::pool::{Kind, Within};
use crate::reply::{reply, reply_bytes};
use crate::written::BodySlots;

/// Those of all requests together.
const REQUESTS_BYTES_MAX: usize = 4 * REQUEST_BYTES_MAX;

pub(super) const SAMPLED: &str = "application/x-protobuf";
pub(super) const STREAMED: &str =
    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// The route.
pub fn router(host: Arc<dyn Host>) -> Router {
    let bodies = Arc::new(BodySlots::of_bodies(REQUESTS_BYTES_MAX));
    let handler = move |request: Request<Body>| {
        let (host, bodies) = (Arc::clone(&host), Arc::clone(&bodies));
        async move {
            let answered = answer(&*host, &bodies, request).await;
            answered.unwrap_or_else(|(status, why)| {
                reply(status, "text/plain; charset=utf-8", format!("{why}\n"))
            })
        }
    };
    Router::new().route("/api/v1/read", any(handler))
}

async fn answer(
    host: &dyn Host,
    bodies: &BodySlots,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    if request.method() != Method::POST {
        return Ok(crate::reply::not_allowed("POST"));
    }
    let (packed, place) = match bodies.body(request, REQUEST_BYTES_MAX).await {
        Ok(whole) => whole,
        Err(refused) => return Ok(refused),
    };
    let request = read(&packed)?;
    drop((packed, place));
    let streamed = streamed(&request)?;
    let offset_ms = host.wall_offset_ms();
    let external = host.external_labels();
    check_queries(&request)?;
    let reader = host.reader().clone();
    let work = move |within: &Within| {
        within.evaluate(&EvalOptions::default(), |options| {
            // Here, in a query's turn: a pattern of a hundred bytes may take a tenth of a second to compile.
            let mut asked = Vec::with_capacity(request.queries.len());
            for query in &request.queries {
                let matchers = matchers(&query.matchers, &external, options)?;
                let from_ms = query.start_timestamp_ms.saturating_sub(offset_ms);
                let until_ms = query.end_timestamp_ms.saturating_sub(offset_ms);
                asked.push((matchers, from_ms, until_ms));
            }
            let reading = Reading {
                view: &reader.plain(),
                external: &external,
                offset_ms,
                options,
                memory: MemoryLease::new(options.memory.cloned(), options.bytes_max),
            };
            match streamed {
                true => reading.streamed(&asked),
                false => reading.sampled(&asked),
            }
        })
    };
    let timeout_ms = host.query_settings().timeout_ms;
    let body = host.queries().run(Kind::Query, timeout_ms, work).await;
    let body = body.map_err(|error| ApiError::from(error).into_status())?;
    let kind = if streamed { STREAMED } else { SAMPLED };
    let mut response = reply_bytes(StatusCode::OK, kind, body);
    if !streamed {
        let encoding = HeaderValue::from_static("snappy");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    Ok(response)
}
