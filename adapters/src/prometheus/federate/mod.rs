//! `/federate`: the newest sample of the series that are asked for, as a page that another Prometheus scrapes
//! (web/federate.go). Native histograms are on it in protobuf alone, which Prometheus asks for where it scrapes them; those with
//! custom buckets are classic ones in either form.

mod classic;
mod protobuf;
mod text;

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use stillwell_engine::histogram::{FloatHistogram, ResetHint};
use stillwell_engine::labels::{Labels, METRIC_NAME};
use stillwell_engine::promql::select::{Projection, Samples, SelectRequest, View, is_stale};
use stillwell_engine::promql::{MemoryLease, QueryError};

use super::lookup::{held, look_up, selectors};
use crate::api_error::ApiError;
use crate::form::Form;
use crate::host::Host;

pub use text::quoted;

/// In which form a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// The text format.
    Text,
    /// The same where names may hold any character.
    TextUtf8,
    /// Messages, each behind its length; names hold any character.
    Protobuf,
}

impl Encoding {
    /// What a reader takes: of several the one that it likes best, of those the first; the text format where it takes neither.
    pub(super) fn asked_for(headers: &HeaderMap) -> Encoding {
        let accepts = headers.get_all(header::ACCEPT).iter();
        let accepts = accepts.filter_map(|value| value.to_str().ok());
        let mut best: Option<(f64, Encoding)> = None;
        for range in accepts.flat_map(|value| value.split(',')) {
            let media_type = range.split(';').next().unwrap_or("").trim();
            let parameter = |name: &str| {
                let named = |part: &str| {
                    let (found, value) = part.split_once('=')?;
                    let is_it = found.trim().eq_ignore_ascii_case(name);
                    is_it.then(|| value.trim().trim_matches('"').to_owned())
                };
                range.split(';').skip(1).find_map(named)
            };
            let utf8 = parameter("escaping").as_deref() == Some("allow-utf-8");
            let encoding = match media_type {
                "application/vnd.google.protobuf"
                    if parameter("proto").as_deref() == Some(protobuf::MESSAGE)
                        && parameter("encoding").as_deref() == Some("delimited") =>
                {
                    Encoding::Protobuf
                }
                "text/plain" if utf8 => Encoding::TextUtf8,
                "text/plain" | "text/*" | "*/*" => Encoding::Text,
                _ => continue,
            };
            let quality = parameter("q").map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if quality > best.map_or(0.0, |(before, _)| before) {
                best = Some((quality, encoding));
            }
        }
        best.map_or(Encoding::Text, |(_, encoding)| encoding)
    }

    /// The type of the page.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Encoding::Text => "text/plain; version=0.0.4; charset=utf-8",
            Encoding::TextUtf8 => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            Encoding::Protobuf => protobuf::CONTENT_TYPE,
        }
    }
}

/// The newest sample of a series.
struct Newest {
    labels: Labels,
    time_ms: i64,
    value: Value,
}

enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Newest {
    /// The family's type as Prometheus writes it; that of a histogram is known, that of a float is not.
    fn family_type(&self) -> FamilyType {
        match &self.value {
            Value::Float(_) => FamilyType::Untyped,
            Value::Histogram(histogram) if histogram.hint == ResetHint::Gauge => {
                FamilyType::GaugeHistogram
            }
            Value::Histogram(_) => FamilyType::Histogram,
        }
    }

    /// Its labels beside the name, and those of this server. A series without an instance must not be given that of this server.
    fn labels<'l>(&'l self, external: &'l Labels) -> impl Iterator<Item = (&'l str, &'l str)> {
        let own = self.labels.iter();
        let own = own.filter(|(label, _)| *label != METRIC_NAME);
        let lacks = |label: &str| self.labels.get(label).is_none();
        let others = external.iter().filter(move |(label, _)| lacks(label));
        let lacks_instance = lacks("instance") && external.get("instance").is_none();
        own.chain(others)
            .chain(lacks_instance.then_some(("instance", "")))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FamilyType {
    Untyped,
    Histogram,
    GaugeHistogram,
}

/// The page.
pub(super) async fn page(
    host: &dyn Host,
    form: &Form,
    encoding: Encoding,
) -> Result<Vec<u8>, ApiError> {
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_reader_gets_the_form_that_it_likes_best() {
        let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (accept, expected) in [
            ("", Encoding::Text),
            ("*/*", Encoding::Text),
            ("text/plain;version=0.0.4", Encoding::Text),
            (
                "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Encoding::TextUtf8,
            ),
            // What a Prometheus that scrapes native histograms sends, and one that does not.
            (
                &format!(
                    "{proto};q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
                ),
                Encoding::Protobuf,
            ),
            (
                &format!(
                    "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,{proto};q=0.3"
                ),
                Encoding::Text,
            ),
            (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
                Encoding::Protobuf,
            ),
            (
                "application/vnd.google.protobuf;encoding=text",
                Encoding::Text,
            ),
            (&format!("{proto};q=0"), Encoding::Text),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::ACCEPT,
                HeaderValue::from_str(accept).expect("valid"),
            );
            assert_eq!(Encoding::asked_for(&headers), expected, "{accept}");
        }
    }
}
