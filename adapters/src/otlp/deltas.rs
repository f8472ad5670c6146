//! Deltas added up, where `--enable-feature=otlp-deltatocumulative` is given: of each series the sum so far. A restart begins
//! at 0, which reads as a counter's reset.

use hashbrown::HashMap;
use stillwell_engine::histogram::FloatHistogram;
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::select::is_stale;

/// Series that are added up; beyond it new ones are left out. Some 50 MB.
const SERIES_MAX: usize = 100_000;
/// A series of which nothing comes for so long begins anew.
const STALE_MS: i64 = 300_000;
/// Old ones are looked for after so many samples.
const SWEEP_EVERY: u32 = 10_000;

/// The sums.
#[derive(Default)]
pub(super) struct Deltas {
    sums: HashMap<Labels, Sum>,
    newest_ms: i64,
    until_sweep: u32,
}

struct Sum {
    at_ms: i64,
    float: f64,
    histogram: Option<Box<FloatHistogram>>,
}

impl Deltas {
    /// Makes a delta the sum so far. False: it is not newer than the last, or there is no place for its series.
    pub(super) fn add_float(&mut self, labels: &Labels, at_ms: i64, value: &mut f64) -> bool {
        let Some(sum) = self.sum(labels, at_ms) else {
            return false;
        };
        if is_stale(*value) {
            self.sums.remove(labels);
            return true;
        }
        sum.float += *value;
        *value = sum.float;
        true
    }

    /// The same for a histogram. One that does not fit the sum begins a new one.
    pub(super) fn add_histogram(
        &mut self,
        labels: &Labels,
        at_ms: i64,
        value: &mut FloatHistogram,
    ) -> bool {
        let Some(sum) = self.sum(labels, at_ms) else {
            return false;
        };
        if is_stale(value.sum) {
            self.sums.remove(labels);
            return true;
        }
        if let Some(before) = &mut sum.histogram
            && before.add(value).is_ok()
        {
            value.clone_from(before);
            return true;
        }
        sum.histogram = Some(Box::new(value.clone()));
        true
    }

    fn sum(&mut self, labels: &Labels, at_ms: i64) -> Option<&mut Sum> {
        self.newest_ms = self.newest_ms.max(at_ms);
        self.until_sweep = match self.until_sweep.checked_sub(1) {
            Some(left) => left,
            None => {
                let oldest_ms = self.newest_ms - STALE_MS;
                self.sums.retain(|_, sum| sum.at_ms >= oldest_ms);
                SWEEP_EVERY
            }
        };
        if !self.sums.contains_key(labels) {
            if self.sums.len() >= SERIES_MAX {
                return None;
            }
            let new = Sum {
                at_ms: i64::MIN,
                float: 0.0,
                histogram: None,
            };
            self.sums.insert(labels.clone(), new);
        }
        let sum = self.sums.get_mut(labels)?;
        if at_ms <= sum.at_ms {
            return None;
        }
        sum.at_ms = at_ms;
        Some(sum)
    }
}
