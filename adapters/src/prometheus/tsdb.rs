//! `/api/v1/status/tsdb`: how much is held, and what of it is most.

use std::collections::{HashMap, HashSet};

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, MemoryLease, QueryError};
use stillwell_engine::{Reader, SeriesQuery, Timestamp};

use super::lookup::look_up;
use super::params;
use crate::api_error::ApiError;
use crate::form::Form;
use crate::host::Host;
use crate::json;

/// Rows of each list where nothing else is asked for, as in Prometheus.
const ROWS: usize = 10;
const ROWS_MAX: usize = 10_000;
/// To which times of samples are told; how far ahead of us they may be; and how old.
const STEP_MS: i64 = 1_000;
const AHEAD_MS: i64 = 600_000;
const BACK_MS_MAX: i64 = 4_000_000_000;
/// Bytes of a label pair in the tables beside its texts, at most.
const PAIR_BYTES: usize = 200;

/// Counts by label over the series that have samples now.
#[derive(Default)]
struct Counts {
    series_by_metric: HashMap<String, u64>,
    values_by_label: HashMap<String, HashSet<String>>,
    bytes_by_label: HashMap<String, u64>,
    series_by_pair: HashMap<String, u64>,
}

pub(super) async fn tsdb(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    if form.get("limit") == "0" {
        return Err(ApiError::parameter(
            "limit",
            "limit must be a positive number",
        ));
    }
    let rows = params::limit(form)?.unwrap_or(ROWS).min(ROWS_MAX);
    let (reader, now) = (host.reader().clone(), host.now());
    let takes_samples = host.takes_writes() || host.otlp().is_some();
    look_up(host, move |within| {
        let stats = reader.stats();
        let mut counts = Counts::default();
        let memory = MemoryLease::new(within.memory.cloned(), within.bytes_max);
        reader.for_each_series(SeriesQuery::ALL, within, |labels| {
            let pairs = counts.series_by_pair.len();
            counts.add(&labels);
            // Three tables hold the texts of a pair that was not seen before.
            let new = counts.series_by_pair.len() - pairs;
            memory.hold((new * PAIR_BYTES + new.min(1) * 3 * labels.bytes()) as u64)
        })?;
        let (mut oldest_ms, mut newest) = (stats.oldest_ms, now);
        if takes_samples {
            // Clocks of scrapes say nothing of samples that were sent.
            let sent = sent_range(&reader, within, now)?;
            oldest_ms = oldest_ms
                .into_iter()
                .chain(sent.map(|(oldest, _)| oldest))
                .min();
            newest = match (stats.oldest_ms, sent) {
                (None, Some((_, newest_ms))) => Timestamp::from_ms(newest_ms),
                _ => now,
            };
        }
        let oldest_ms = oldest_ms.unwrap_or_else(|| now.ms());
        Ok(counts.write(stats.series, oldest_ms, newest, rows))
    })
    .await
}

/// Between which times there are samples of any series, to a second, both in milliseconds; `None` where there are none.
/// Cost: some twenty looks for one series that has samples before, or after, a time.
fn sent_range(
    reader: &Reader,
    within: &EvalOptions<'_>,
    now: Timestamp,
) -> Result<Option<(i64, i64)>, QueryError> {
    let any = |start: i64, end: i64| {
        let query = SeriesQuery {
            start: Timestamp::from_ms(start),
            end: Timestamp::from_ms(end),
            limit: 1,
            ..SeriesQuery::ALL
        };
        Ok::<bool, QueryError>(!reader.series(query, within)?.is_empty())
    };
    let (first, last) = (Timestamp::MIN.ms(), Timestamp::MAX.ms());
    if !any(first, last)? {
        return Ok(None);
    }
    let (mut back_ms, end_ms) = (STEP_MS, now.ms().saturating_add(AHEAD_MS));
    while back_ms < BACK_MS_MAX && any(first, end_ms - back_ms)? {
        back_ms *= 2;
    }
    // Nothing is as old as `none`, and something is as old as `some`; then the same of what is new.
    let oldest_ms = narrowed(end_ms - back_ms, end_ms, |middle| any(first, middle))?;
    let newest_ms = narrowed(end_ms, oldest_ms - STEP_MS, |middle| any(middle, last))?;
    Ok(Some((
        oldest_ms.min(now.ms()),
        newest_ms.max(oldest_ms).min(now.ms()),
    )))
}

/// The time between `none`, where nothing is, and `some`, at which something begins to be there, to a step.
fn narrowed(
    mut none: i64,
    mut some: i64,
    is_there: impl Fn(i64) -> Result<bool, QueryError>,
) -> Result<i64, QueryError> {
    while none.abs_diff(some) > STEP_MS.unsigned_abs() {
        let middle = none.min(some) + (none - some).abs() / 2;
        match is_there(middle)? {
            true => some = middle,
            false => none = middle,
        }
    }
    Ok(some)
}

impl Counts {
    fn add(&mut self, labels: &Labels) {
        for (name, value) in labels.iter() {
            if name == stillwell_engine::labels::METRIC_NAME {
                *self.series_by_metric.entry(value.to_owned()).or_default() += 1;
            }
            let values = self.values_by_label.entry(name.to_owned()).or_default();
            if values.insert(value.to_owned()) {
                *self.bytes_by_label.entry(name.to_owned()).or_default() += value.len() as u64;
            }
            *self
                .series_by_pair
                .entry(format!("{name}={value}"))
                .or_default() += 1;
        }
    }

    fn write(&self, series: usize, oldest_ms: i64, now: Timestamp, rows: usize) -> String {
        let values = self.values_by_label.iter();
        let values = values.map(|(name, values)| (name.clone(), values.len() as u64));
        let values: HashMap<String, u64> = values.collect();
        let mut out = format!(
            "{{\"status\":\"success\",\"data\":{{\"headStats\":{{\"numSeries\":{series},\"numLabelPairs\":{},\
             \"chunkCount\":{series},\"minTime\":{oldest_ms},\"maxTime\":{}}}",
            self.series_by_pair.len(),
            now.ms()
        );
        for (list, counts) in [
            ("seriesCountByMetricName", &self.series_by_metric),
            ("labelValueCountByLabelName", &values),
            ("memoryInBytesByLabelName", &self.bytes_by_label),
            ("seriesCountByLabelValuePair", &self.series_by_pair),
        ] {
            let mut most: Vec<(&String, &u64)> = counts.iter().collect();
            most.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            most.truncate(rows);
            out.push_str(&format!(",\"{list}\":["));
            json::joined(&mut out, most, |out, (name, count)| {
                out.push_str("{\"name\":");
                json::string(out, name);
                out.push_str(&format!(",\"value\":{count}}}"));
            });
            out.push(']');
        }
        out.push_str("}}");
        out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use stillwell_engine::{AppendedSeries, Engine, Limits, labels};

    use super::*;

    #[test]
    fn samples_that_were_sent_have_a_first_and_a_last_time() {
        let (mut writer, reader) = Engine::new(Limits::default());
        let (now, within) = (Timestamp::from_ms(9_000_000), EvalOptions::default());
        assert_eq!(sent_range(&reader, &within, now), Ok(None));
        let series = |name: &str, times: [i64; 2]| AppendedSeries {
            labels: labels! {"__name__" => name},
            floats: times.map(|ms| (Timestamp::from_ms(ms), 1.0)).to_vec(),
            histograms: Vec::new(),
        };
        let batch = vec![
            series("a", [8_400_000, 8_500_000]),
            series("b", [8_300_000, 8_350_000]),
        ];
        writer.append(batch, now).expect("they are taken");
        let range = sent_range(&reader, &within, now).expect("nothing stops it");
        let (oldest, newest) = range.expect("there are some");
        assert!((8_300_000..=8_301_000).contains(&oldest), "{oldest}");
        assert!((8_499_000..=8_500_000).contains(&newest), "{newest}");
    }

    #[test]
    fn the_most_come_first() {
        let mut counts = Counts::default();
        for labels in [
            labels! {"__name__" => "a", "x" => "long value"},
            labels! {"__name__" => "a", "x" => "v"},
            labels! {"__name__" => "b", "x" => "v"},
        ] {
            counts.add(&labels);
        }
        let text = counts.write(3, 5, Timestamp::from_ms(9), 1);
        let told: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            told["data"],
            json!({
                "headStats": {"numSeries": 3, "numLabelPairs": 4, "chunkCount": 3, "minTime": 5, "maxTime": 9},
                "seriesCountByMetricName": [{"name": "a", "value": 2}],
                "labelValueCountByLabelName": [{"name": "__name__", "value": 2}],
                "memoryInBytesByLabelName": [{"name": "x", "value": 11}],
                "seriesCountByLabelValuePair": [{"name": "__name__=a", "value": 2}],
            })
        );
    }
}
