//! `POST /api/v1/read`: samples of the selected series, as remote read asks for them: all in one message, or as frames of
//! compressed chunks (storage/remote/read_handler.go).
//!
//! An answer is put together within the time and the memory that queries have, and sent whole.

mod buffer;
mod chunk;
mod frames;
pub mod messages;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use axum::routing::any;
use prost::Message;
use stillwell_engine::labels::{Labels, MatchOp, Matcher};
use stillwell_engine::promql::select::{Projection, Samples, SelectRequest, Selection, View};
use stillwell_engine::promql::{EvalOptions, MemoryLease, QueryError, Stop};

use crate::host::Host;
use crate::pool::{Kind, Within};
use crate::prometheus::ApiError;
use crate::remote_write::each_part;
use crate::remote_write::messages::Label;
use crate::reply::{reply, reply_bytes};
use crate::written::BodySlots;
use buffer::Buffer;
use messages::{LabelMatcher, ReadRequest, ResponseType};

/// A request is a list of matchers, some hundred bytes each. Prometheus unpacks 32 MiB, of which empty matchers would take
/// gigabytes here.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Those of all requests together.
const REQUESTS_BYTES_MAX: usize = 4 * REQUEST_BYTES_MAX;
/// Queries of one request, and conditions of all of them. Both are counted before the message is read.
const QUERIES_MAX: usize = 100;
const MATCHERS_MAX: usize = 2_000;
/// Conditions of one query, as of a selector.
const QUERY_MATCHERS_MAX: usize = 100;
/// A sample with its time, and a place for a histogram.
const SAMPLE_BYTES: usize = 24;
/// A series' place in the order of all, twice while they are sorted, and what stands beside its labels.
const ORDER_BYTES: usize = 32;
/// What stands beside a text of a label in memory, of which each has two.
const TEXT_BYTES: usize = 16;
/// Tags of `prometheus.ReadResponse` and of a `prometheus.QueryResult` (prompb/remote.proto).
const RESULTS: u32 = 1;
const SERIES: u32 = 1;

const SAMPLED: &str = "application/x-protobuf";
const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

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

type Refusal = (StatusCode, String);

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
    let mut queries = request.queries.iter();
    if queries.any(|query| query.matchers.len() > QUERY_MATCHERS_MAX) {
        let why = format!("more than {QUERY_MATCHERS_MAX} matchers in one query");
        return Err((StatusCode::BAD_REQUEST, why));
    }
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

/// Reads the message of a request.
fn read(packed: &[u8]) -> Result<ReadRequest, Refusal> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let unpacked_bytes = snap::raw::decompress_len(packed).map_err(|e| bad(e.to_string()))?;
    if unpacked_bytes > REQUEST_BYTES_MAX {
        let why = format!("{unpacked_bytes} bytes unpacked; at most {REQUEST_BYTES_MAX} are read");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(packed);
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
fn matchers(
    asked: &[LabelMatcher],
    external: &Labels,
    options: &EvalOptions<'_>,
) -> Result<Vec<Matcher>, QueryError> {
    let bad = |message: String| QueryError::BadData {
        message,
        position: None,
    };
    let matcher = |one: &LabelMatcher| {
        match options.stop.and_then(|stop| stop()) {
            Some(Stop::Timeout) => return Err(QueryError::Timeout("query timed out".to_owned())),
            Some(Stop::Canceled) => {
                return Err(QueryError::Canceled("query was canceled".to_owned()));
            }
            None => {}
        }
        let op = match one.kind {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            other => return Err(bad(format!("invalid matcher type {other}"))),
        };
        let ours = external.get(&one.name).unwrap_or("") == one.value;
        let value = if op == MatchOp::Equal && ours {
            ""
        } else {
            &one.value
        };
        Matcher::new(op, &one.name, value).map_err(|error| bad(error.to_string()))
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
        let buffer = || Buffer::new(&self.memory);
        let (mut response, mut result, mut series) = (buffer(), buffer(), buffer());
        for asked in asked {
            result.clear();
            self.each_series(asked, |labels, samples| {
                series.clear();
                series.put_series(labels, samples)?;
                result.put_encoded(SERIES, series.as_slice())
            })?;
            response.put_encoded(RESULTS, result.as_slice())?;
        }
        drop(result);
        let plain = response.as_slice();
        self.memory
            .hold(snap::raw::max_compress_len(plain.len()) as u64)?;
        let packed = snap::raw::Encoder::new().compress_vec(plain);
        let mut packed = packed.map_err(|error| QueryError::Execution(error.to_string()))?;
        packed.shrink_to_fit(); // it had room for what cannot be compressed
        Ok(packed)
    }

    /// A frame, or several, per series.
    fn streamed(&self, asked: &[Asked]) -> Result<Vec<u8>, QueryError> {
        let mut out = Buffer::new(&self.memory);
        for (index, asked) in asked.iter().enumerate() {
            self.each_series(asked, |labels, samples| {
                let chunks = chunk::chunks(samples);
                out.written(|out| frames::write(out, index as i64, labels, chunks))
            })?;
        }
        Ok(out.into_bytes())
    }

    /// The series of one query that have samples, by their labels, in the wall clock's times.
    fn each_series(
        &self,
        (matchers, from_ms, until_ms): &Asked,
        mut take: impl FnMut(&[Label], &Samples) -> Result<(), QueryError>,
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
        let order_bytes = (ORDER_BYTES * found.len()) as u64;
        self.memory.hold(order_bytes)?;
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
            let bytes = held_bytes(&labels, &samples);
            self.memory.hold(bytes)?;
            take(&labels, &samples)?;
            self.memory.release(bytes);
        }
        self.memory.release(order_bytes);
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

/// What one series takes until it is written.
fn held_bytes(labels: &[Label], samples: &Samples) -> u64 {
    let texts = labels
        .iter()
        .map(|label| size_of::<Label>() + label.name.len() + label.value.len() + 2 * TEXT_BYTES);
    (texts.sum::<usize>() + SAMPLE_BYTES * samples.times_ms.len()) as u64
}

/// Indices of the series, by labels: readers merge what several servers send.
fn sorted(found: &dyn Selection) -> Vec<usize> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|a, b| found.labels(*a).cmp(found.labels(*b)));
    order
}
