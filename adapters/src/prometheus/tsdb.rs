//! `/api/v1/status/tsdb`: how much is held, and what of it is most.

use std::collections::{HashMap, HashSet};

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::MemoryLease;
use stillwell_engine::{SeriesQuery, Timestamp};

use super::error::ApiError;
use super::lookup::look_up;
use super::params;
use crate::form::Form;
use crate::host::Host;
use crate::json;

/// Rows of each list where nothing else is asked for, as in Prometheus.
const ROWS: usize = 10;
const ROWS_MAX: usize = 10_000;
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
        let oldest_ms = stats.oldest_ms.unwrap_or_else(|| now.ms());
        Ok(counts.write(stats.series, oldest_ms, now, rows))
    })
    .await
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
    use stillwell_engine::labels;

    use super::*;

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
