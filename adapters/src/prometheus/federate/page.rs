//! Which series a page has.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use stillwell_engine::promql::select::{Projection, Samples, SelectRequest, View, is_stale};
use stillwell_engine::promql::{MemoryLease, QueryError};

use super::super::lookup::{held, look_up, selectors};
use super::encoding::Encoding;
use super::newest::{Newest, Value};
use super::{protobuf, text};
use crate::api_error::ApiError;
use crate::form::Form;
use crate::host::Host;
use crate::reply::reply_encoded;

/// The answer to a request for a page.
pub(in super::super) async fn answer(host: &dyn Host, request: Request<Body>) -> Response<Body> {
    let headers = request.headers().clone();
    let form = Form::parse(request.uri().query());
    let encoding = Encoding::asked_for(&headers);
    match page(host, &form, encoding).await {
        Ok(page) => reply_encoded(StatusCode::OK, encoding.content_type(), page, &headers),
        Err(error) => error.into_response(),
    }
}

async fn page(host: &dyn Host, form: &Form, encoding: Encoding) -> Result<Vec<u8>, ApiError> {
    let sets = selectors(host, form).await?;
    let sets = sets.map_err(|error| ApiError::bad_data(error.to_string()))?;
    let lookback_ms = host.query_settings().lookback_ms;
    let (reader, external, now) = (host.reader().clone(), host.external_labels(), host.now());
    let offset_ms = host.wall_offset_ms();
    look_up(host, move |within| {
        let view = reader.plain();
        let memory = MemoryLease::new(within.memory.cloned(), within.bytes_max);
        let stop = || match within.stop.and_then(|stop| stop()) {
            Some(_) => Err(QueryError::Canceled("nobody waits for it".to_owned())),
            None => Ok(()),
        };
        let after_ms = now.minus_ms(lookback_ms).ms();
        let mut found: Vec<Newest> = Vec::new();
        for matchers in &sets {
            let selection = view.select(&SelectRequest {
                matchers,
                after_ms,
                until_ms: now.ms(),
                projection: Projection::All,
                last_only: true,
                memory: Some(&memory),
                stop: Some(&stop),
            })?;
            let mut scratch = Samples::default();
            for index in 0..selection.len() {
                let last = selection.last(index, &mut scratch);
                let Some(last) = last.filter(|one| !is_stale(one.value)) else {
                    continue;
                };
                let value = match last.histogram {
                    None => Value::Float(last.value),
                    Some(histogram) => Value::Histogram(histogram),
                };
                let labels = selection.labels(index).clone();
                // A page cannot hold one without a name, nor text native histograms.
                let has_form = match &value {
                    Value::Histogram(native) if !native.is_custom() => {
                        encoding == Encoding::Protobuf
                    }
                    _ => true,
                };
                if has_form && labels.metric_name().is_some() {
                    found.push(Newest {
                        labels,
                        time_ms: last.time_ms + offset_ms,
                        value,
                    });
                }
            }
        }
        stop()?;
        let _held = held(within, found.iter().map(|one| one.labels.bytes()))?;
        found.sort_by(|a, b| {
            (a.labels.metric_name(), &a.labels).cmp(&(b.labels.metric_name(), &b.labels))
        });
        found.dedup_by(|a, b| a.labels == b.labels);
        Ok(match encoding {
            Encoding::Text => text::write(&found, &external, false).into_bytes(),
            Encoding::TextUtf8 => text::write(&found, &external, true).into_bytes(),
            Encoding::Protobuf => protobuf::write(&found, &external),
        })
    })
    .await
}
