//! `POST /api/v1/read`: samples of the selected series, as remote read asks for them: all in one message, or as frames of
//! compressed chunks (storage/remote/read_handler.go).
//!
//! An answer is put together within the time and the memory that queries have, and sent whole.

mod chunk;
mod frames;
pub mod messages;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use axum::routing::any;
use prost::Message;
use stillwell_engine::labels::{Labels, MatchOp, Matcher};
use stillwell_engine::promql::select::{Projection, Samples, SelectRequest, Selection, View};
use stillwell_engine::promql::{EvalOptions, MemoryLease, QueryError};
use tokio::sync::Semaphore;

use crate::host::Host;
use crate::pool::{Kind, Within};
use crate::prometheus::ApiError;
use crate::remote_write::each_part;
use crate::remote_write::messages::{Label, Sample, TimeSeries};
use crate::reply::{reply, reply_bytes};
use messages::{LabelMatcher, QueryResult, ReadRequest, ReadResponse, ResponseType};

/// A request is a list of matchers, some hundred bytes each. Prometheus unpacks 32 MiB, of which empty matchers would take
/// gigabytes here.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Requests read at a time, and how long one may take to arrive.
const BODIES_AT_ONCE_MAX: usize = 4;
const BODY_WAIT: Duration = Duration::from_secs(10);
/// Queries of one request, and conditions of all of them. Both are counted before the message is read.
const QUERIES_MAX: usize = 100;
const MATCHERS_MAX: usize = 2_000;
/// Conditions of one query, as of a selector.
const QUERY_MATCHERS_MAX: usize = 100;
/// A sample with its time.
const SAMPLE_BYTES: u64 = 16;

const SAMPLED: &str = "application/x-protobuf";
const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// The route.
pub fn router(host: Arc<dyn Host>) -> Router {
    let bodies = Arc::new(Semaphore::new(BODIES_AT_ONCE_MAX));
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

type Refusal = (StatusCode, String);

async fn answer(
    host: &dyn Host,
    bodies: &Semaphore,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    if request.method() != Method::POST {
        return Ok(crate::reply::not_allowed("POST"));
    }
    let request = read(bodies, request).await?;
    let streamed = streamed(&request)?;
    let offset_ms = host.wall_offset_ms();
    let external = host.external_labels();
    let mut asked = Vec::with_capacity(request.queries.len());
    for query in &request.queries {
        if query.matchers.len() > QUERY_MATCHERS_MAX {
            let why = format!("more than {QUERY_MATCHERS_MAX} matchers in one query");
            return Err((StatusCode::BAD_REQUEST, why));
        }
        let matchers = matchers(&query.matchers, &external);
        let matchers = matchers.map_err(|why| (StatusCode::BAD_REQUEST, why))?;
        let from_ms = query.start_timestamp_ms.saturating_sub(offset_ms);
        let until_ms = query.end_timestamp_ms.saturating_sub(offset_ms);
        asked.push((matchers, from_ms, until_ms));
    }
    let reader = host.reader().clone();
    let work = move |within: &Within| {
        within.evaluate(&EvalOptions::default(), |options| {
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

/// Reads the message of a request.
async fn read(bodies: &Semaphore, request: Request<Body>) -> Result<ReadRequest, Refusal> {
    let closing = |_| {
        let why = "the server is shutting down".to_owned();
        (StatusCode::SERVICE_UNAVAILABLE, why)
    };
    let _slot = bodies.acquire().await.map_err(closing)?;
    let body = to_bytes(request.into_body(), REQUEST_BYTES_MAX);
    let packed = match tokio::time::timeout(BODY_WAIT, body).await {
        Ok(Ok(packed)) => packed,
        Ok(Err(error)) => {
            let why = format!("at most {REQUEST_BYTES_MAX} bytes are read: {error}");
            return Err((StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        Err(_) => {
            let why = format!("the request took longer than {} s", BODY_WAIT.as_secs());
            return Err((StatusCode::REQUEST_TIMEOUT, why));
        }
    };
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let unpacked_bytes = snap::raw::decompress_len(&packed).map_err(|e| bad(e.to_string()))?;
    if unpacked_bytes > REQUEST_BYTES_MAX {
        let why = format!("{unpacked_bytes} bytes unpacked; at most {REQUEST_BYTES_MAX} are read");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(&packed);
    let plain = plain.map_err(|error| bad(format!("snappy: {error}")))?;
    check_counts(&plain).map_err(bad)?;
    let request = ReadRequest::decode(&plain[..]);
    request.map_err(|error| bad(format!("prometheus.ReadRequest: {error}")))
}

/// Refuses a message with more queries or conditions than are answered, before anything is made of it.
fn check_counts(message: &[u8]) -> Result<(), String> {
    const QUERY: usize = 1; // tags of prompb/remote.proto
    const MATCHER: usize = 3;
    let (mut queries, mut matchers) = (0, 0);
    let counted = each_part(message, |tag, query| {
        if tag == QUERY {
            queries += 1;
            each_part(query, |tag, _| {
                matchers += usize::from(tag == MATCHER);
                Some(())
            })?;
        }
        Some(())
    });
    match counted {
        None => Err("the request is no prometheus.ReadRequest".to_owned()),
        Some(()) if queries > QUERIES_MAX => Err(format!(
            "{queries} queries; at most {QUERIES_MAX} are answered"
        )),
        Some(()) if matchers > MATCHERS_MAX => Err(format!(
            "{matchers} matchers; at most {MATCHERS_MAX} are read"
        )),
        Some(()) => Ok(()),
    }
}

/// Whether the answer is to be in chunks: the first type that both sides know counts.
fn streamed(request: &ReadRequest) -> Result<bool, Refusal> {
    let accepted = &request.accepted_response_types;
    if accepted.is_empty() {
        return Ok(false);
    }
    let known = accepted
        .iter()
        .find_map(|kind| match ResponseType::try_from(*kind) {
            Ok(ResponseType::Samples) => Some(false),
            Ok(ResponseType::StreamedXorChunks) => Some(true),
            Err(_) => None,
        });
    known.ok_or_else(|| {
        let why = format!("none of the requested response types is known: {accepted:?}");
        (StatusCode::BAD_REQUEST, why)
    })
}

/// A matcher that asks for an external label is about what is stored without it.
fn matchers(asked: &[LabelMatcher], external: &Labels) -> Result<Vec<Matcher>, String> {
    let matcher = |one: &LabelMatcher| {
        let op = match one.kind {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            other => return Err(format!("invalid matcher type {other}")),
        };
        let ours = external.get(&one.name).unwrap_or("") == one.value;
        let value = if op == MatchOp::Equal && ours {
            ""
        } else {
            &one.value
        };
        Matcher::new(op, &one.name, value).map_err(|error| error.to_string())
    };
    asked.iter().map(matcher).collect()
}

type Asked = (Vec<Matcher>, i64, i64);

/// One answer while it is put together.
struct Reading<'a> {
    view: &'a dyn View,
    external: &'a Labels,
    offset_ms: i64,
    options: &'a EvalOptions<'a>,
    memory: MemoryLease,
}

impl Reading<'_> {
    /// Everything in one message.
    fn sampled(&self, asked: &[Asked]) -> Result<Vec<u8>, QueryError> {
        let mut response = ReadResponse::default();
        for asked in asked {
            let mut result = QueryResult::default();
            self.each_series(asked, |labels, samples| {
                let mut series = TimeSeries {
                    labels,
                    ..TimeSeries::default()
                };
                for (at, time_ms) in samples.times_ms.iter().enumerate() {
                    match samples.histograms.get(at).and_then(Option::as_ref) {
                        Some(histogram) => {
                            series
                                .histograms
                                .push(messages::histogram(histogram, *time_ms));
                        }
                        None => series.samples.push(Sample {
                            value: samples.values[at],
                            timestamp: *time_ms,
                        }),
                    }
                }
                result.timeseries.push(series);
                Ok(())
            })?;
            response.results.push(result);
        }
        let plain = response.encode_to_vec();
        self.memory.hold(plain.len() as u64)?;
        let packed = snap::raw::Encoder::new().compress_vec(&plain);
        packed.map_err(|error| QueryError::Execution(error.to_string()))
    }

    /// A frame, or several, per series.
    fn streamed(&self, asked: &[Asked]) -> Result<Vec<u8>, QueryError> {
        let mut out = Vec::new();
        for (index, asked) in asked.iter().enumerate() {
            self.each_series(asked, |labels, samples| {
                let before = out.len();
                frames::write(&mut out, index as i64, &labels, chunk::chunks(samples));
                self.memory.hold((out.len() - before) as u64)
            })?;
        }
        Ok(out)
    }

    /// The series of one query that have samples, by their labels, in the wall clock's times.
    fn each_series(
        &self,
        (matchers, from_ms, until_ms): &Asked,
        mut take: impl FnMut(Vec<Label>, &Samples) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let stop = || self.poll();
        let found = self.view.select(&SelectRequest {
            matchers,
            after_ms: from_ms.saturating_sub(1),
            until_ms: *until_ms,
            projection: Projection::All,
            last_only: false,
            memory: Some(&self.memory),
            stop: Some(&stop),
        })?;
        let mut samples = Samples::default();
        for index in sorted(&*found) {
            self.poll()?;
            found.read(index, &mut samples);
            if samples.times_ms.is_empty() {
                continue;
            }
            for time_ms in &mut samples.times_ms {
                *time_ms = time_ms.saturating_add(self.offset_ms);
            }
            let labels = self.labels(found.labels(index));
            let bytes = found.labels(index).bytes() as u64;
            self.memory
                .hold(bytes + SAMPLE_BYTES * samples.times_ms.len() as u64)?;
            take(labels, &samples)?;
        }
        Ok(())
    }

    /// With the external labels that the series does not have itself.
    fn labels(&self, own: &Labels) -> Vec<Label> {
        let mut all = own.to_builder();
        for (name, value) in self.external.iter() {
            if own.get(name).is_none() {
                all.set(name, value);
            }
        }
        let label = |(name, value): (&str, &str)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        all.build().iter().map(label).collect()
    }

    fn poll(&self) -> Result<(), QueryError> {
        match self.options.stop.and_then(|stop| stop()) {
            None => Ok(()),
            Some(_) => Err(QueryError::Timeout("the query timed out".to_owned())),
        }
    }
}

/// Indices of the series, by labels: readers merge what several servers send.
fn sorted(found: &dyn Selection) -> Vec<usize> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|a, b| found.labels(*a).cmp(found.labels(*b)));
    order
}
