//! `/api/v1/series`, `/labels`, `/label/{name}/values`: what series there are.

use stillwell_engine::labels::{Labels, Matcher};
use stillwell_engine::promql::{EvalOptions, MemoryLease, QueryError, parse_metric_selector};
use stillwell_engine::{SeriesQuery, Timestamp};

use super::answer::annotations;
use super::escaped_name::unescaped;
use super::params;
use crate::api_error::ApiError;
use crate::form::Form;
use crate::host::Host;
use crate::json;
use crate::pool::{Kind, Within};

/// Selectors of one request: each may hold a compiled pattern (some 10 kB) and select every series.
const SELECTORS_MAX: usize = 500;

/// What an element of an answer takes beside its texts, with its value and its time, written.
const ELEMENT_BYTES: usize = 160;
/// The answer where there is nothing.
const NOTHING: &str = "{\"status\":\"success\",\"data\":[]}";

/// What all three read from their parameters.
struct Range {
    sets: Vec<Vec<Matcher>>,
    start: Timestamp,
    end: Timestamp,
    limit: Option<usize>,
}

impl Range {
    async fn read(host: &dyn Host, form: &Form) -> Result<Range, ApiError> {
        let wall_offset_ms = host.wall_offset_ms();
        let limit = params::limit(form)?;
        let start = params::time(form, "start", Timestamp::MIN)?.minus_ms(wall_offset_ms);
        let end = params::time(form, "end", Timestamp::MAX)?.minus_ms(wall_offset_ms);
        // Of a range that ends before it starts there is nothing, which Prometheus does not call an error here.
        let sets = selectors(host, form).await?;
        Ok(Range {
            sets: sets.map_err(|error| ApiError::parameter("match[]", error))?,
            start,
            end,
            limit,
        })
    }

    fn is_empty(&self) -> bool {
        self.end < self.start
    }

    fn query(&self) -> SeriesQuery<'_> {
        SeriesQuery {
            selectors: &self.sets,
            start: self.start,
            end: self.end,
            // One more than is told, to know whether something was left out; 0 asks for all.
            limit: self.limit.map_or(0, |limit| limit.saturating_add(1)),
        }
    }
}

pub(super) async fn series(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let range = Range::read(host, form).await?;
    if range.sets.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    if range.is_empty() {
        return Ok(NOTHING.to_owned());
    }
    let (limit, reader) = (range.limit, host.reader().clone());
    look_up(host, move |within| {
        let found = reader.series(range.query(), within)?;
        let _held = held(within, found.iter().map(Labels::bytes))?;
        let write = |out: &mut String, labels: &Labels| json::object(out, labels.iter());
        Ok(list(found, limit, write))
    })
    .await
}

pub(super) async fn label_names(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let range = Range::read(host, form).await?;
    if range.is_empty() {
        return Ok(NOTHING.to_owned());
    }
    let (limit, reader) = (range.limit, host.reader().clone());
    look_up(host, move |within| {
        let found = reader.label_names(range.query(), within)?;
        let _held = held(within, found.iter().map(|name| name.len()))?;
        Ok(list(found, limit, |out, name| json::string(out, name)))
    })
    .await
}

pub(super) async fn label_values(
    host: &dyn Host,
    name: &str,
    form: &Form,
) -> Result<String, ApiError> {
    let name = unescaped(name);
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    let range = Range::read(host, form).await?;
    if range.is_empty() {
        return Ok(NOTHING.to_owned());
    }
    let (limit, reader, name) = (range.limit, host.reader().clone(), name.into_owned());
    look_up(host, move |within| {
        let found = reader.label_values(&name, range.query(), within)?;
        let _held = held(within, found.iter().map(|value| value.len()))?;
        Ok(list(found, limit, |out, value| json::string(out, value)))
    })
    .await
}

/// The selectors of a form's `match[]`, read on a thread of queries: there may be many of them, with patterns that take long
/// to compile. The first error is that of running anything at all.
pub(super) async fn selectors(
    host: &dyn Host,
    form: &Form,
) -> Result<Result<Vec<Vec<Matcher>>, QueryError>, ApiError> {
    let texts: Vec<String> = form.all("match[]").map(str::to_owned).collect();
    let count = texts.len();
    if count > SELECTORS_MAX {
        return Err(ApiError::bad_data(format!(
            "too many match[] parameters: {count}, at most {SELECTORS_MAX} are read; join names by __name__=~\"a|b\""
        )));
    }
    parse_selectors(host, texts).await
}

/// The same of these texts.
pub(super) async fn parse_selectors(
    host: &dyn Host,
    texts: Vec<String>,
) -> Result<Result<Vec<Vec<Matcher>>, QueryError>, ApiError> {
    if texts.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    look_up(host, move |within| {
        let mut sets = Vec::new();
        for text in &texts {
            if within.stop.is_some_and(|stop| stop().is_some()) {
                return Err(QueryError::Canceled("nobody waits for it".to_owned()));
            }
            match parse_metric_selector(text) {
                Ok(matchers) => sets.push(matchers),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(sets))
    })
    .await
}

/// Looks something up within the bounds of queries: their places, time and memory.
pub(super) async fn look_up<T: Send + 'static>(
    host: &dyn Host,
    look_up: impl FnOnce(&EvalOptions<'_>) -> Result<T, QueryError> + Send + 'static,
) -> Result<T, ApiError> {
    let timeout_ms = host.query_settings().timeout_ms;
    let work = move |within: &Within| within.evaluate(&EvalOptions::default(), look_up);
    Ok(host.queries().run(Kind::Query, timeout_ms, work).await?)
}

/// What an answer of elements with texts of so many bytes holds while it is written: the elements, and twice their texts, for the
/// buffer grows by doubling.
pub(super) fn held(
    within: &EvalOptions<'_>,
    texts: impl Iterator<Item = usize>,
) -> Result<MemoryLease, QueryError> {
    let memory = MemoryLease::new(within.memory.cloned(), u64::MAX);
    let bytes: usize = texts.map(|text| ELEMENT_BYTES + 3 * text).sum();
    memory.hold(bytes as u64)?;
    Ok(memory)
}

/// A successful answer whose data is a list, cut to `limit`.
fn list<T>(
    mut items: Vec<T>,
    limit: Option<usize>,
    mut write: impl FnMut(&mut String, &T),
) -> String {
    let mut notes = stillwell_engine::promql::Annotations::default();
    if let Some(limit) = limit
        && items.len() > limit
    {
        items.truncate(limit);
        notes
            .warnings
            .push("results truncated due to limit".to_owned());
    }
    let mut out = String::from("{\"status\":\"success\",\"data\":[");
    json::joined(&mut out, &items, |out, item| write(out, item));
    out.push(']');
    annotations(&mut out, &notes);
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stillwell_engine::promql::QueryMemory;

    use super::*;

    /// 200 slow readers of `/federate` took 414 MB, most of it for answers that were being written.
    #[test]
    fn an_answer_counts_while_it_is_written() {
        let memory = Arc::new(QueryMemory::new(8 << 20));
        let within = EvalOptions {
            memory: Some(&memory),
            ..EvalOptions::default()
        };
        let series = || std::iter::repeat_n(145, 10_000);
        let writing = held(&within, series()).expect("there is room");
        assert!(memory.used() > 2 * 145 * 10_000);
        let refused = held(&within, series());
        assert!(matches!(refused, Err(QueryError::Overloaded(_))));
        drop(writing);
        assert!(held(&within, series()).is_ok());
        assert_eq!(memory.used(), 0);
    }
}
