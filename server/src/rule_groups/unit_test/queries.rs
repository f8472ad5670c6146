//! Whether a query yields what a test expects.

use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::script::{MemoryView, SeriesItem, read_metric, read_series};
use stillwell_engine::promql::{EvalOptions, Query, Value};

use super::file::{Expected, QueryTest};
use crate::config::units::show_duration_ms;

impl QueryTest {
    /// What it yields instead, where it is something else.
    pub(super) fn check(
        &self,
        store: &MemoryView,
        start_ms: i64,
        options: &EvalOptions<'_>,
        fuzzy: bool,
    ) -> Option<String> {
        let time = show_duration_ms(self.at_ms);
        let told = |why: String| Some(format!("expr: {:?}, time: {time}, {why}", self.expr));
        let at = Timestamp::from_ms(start_ms.saturating_add(self.at_ms as i64));
        let mut got = match answer(&self.expr, store, at, options) {
            Ok(got) => got,
            Err(why) => return told(format!("err: {why}")),
        };
        let mut wanted = Vec::new();
        for sample in &self.expected {
            match sample.read() {
                Ok(read) => wanted.push(read),
                Err(why) => return told(format!("err: labels {:?}: {why}", sample.labels)),
            }
        }
        let by_labels = |a: &Sample, b: &Sample| a.0.cmp(&b.0);
        got.sort_by(by_labels);
        wanted.sort_by(by_labels);
        let same = |a: &Sample, b: &Sample| {
            a.0 == b.0 && a.2 == b.2 && (a.2.is_some() || equal(a.1, b.1, fuzzy))
        };
        let all = got.len() == wanted.len() && got.iter().zip(&wanted).all(|(a, b)| same(a, b));
        let show = |samples: &[Sample]| {
            let shown = samples.iter().map(|(labels, value, histogram)| {
                let value = histogram.clone().unwrap_or_else(|| value.to_string());
                format!("{labels} {value}")
            });
            shown.collect::<Vec<_>>().join(", ")
        };
        match all {
            true => None,
            false => told(format!(
                "\n        exp: [{}]\n        got: [{}]",
                show(&wanted),
                show(&got)
            )),
        }
    }
}

impl Expected {
    fn read(&self) -> Result<Sample, String> {
        let labels = read_metric(&self.labels)?;
        if self.histogram.is_empty() {
            return Ok((labels, self.value, None));
        }
        let (_, items) = read_series(&format!("{{}} {}", self.histogram))?;
        match items.as_slice() {
            [SeriesItem::Histogram(histogram)] => Ok((labels, 0.0, Some(histogram.to_string()))),
            _ => Err(format!("{:?} is not one histogram", self.histogram)),
        }
    }
}

/// Labels, value and, where it is one, a histogram as text.
type Sample = (Labels, f64, Option<String>);

fn equal(a: f64, b: f64, fuzzy: bool) -> bool {
    a == b || (fuzzy && (a.next_down() == b || a.next_up() == b))
}

fn answer(
    expr: &str,
    store: &MemoryView,
    at: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Vec<Sample>, String> {
    let query = Query::parse(expr, &options.features).map_err(|error| error.to_string())?;
    let answer = query.instant(store, at, options);
    match answer.map_err(|error| error.to_string())?.value {
        Value::Vector(elements) => Ok(elements
            .into_iter()
            .map(|one| {
                (
                    one.labels,
                    one.value,
                    one.histogram.map(|one| one.to_string()),
                )
            })
            .collect()),
        Value::Scalar(_, value) => Ok(vec![(Labels::empty(), value, None)]),
        Value::Matrix(_) | Value::String(..) => {
            Err("rule result is not a vector or scalar".to_owned())
        }
    }
}
