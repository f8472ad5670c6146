//! One point of a histogram: buckets ascend and accumulate, `+Inf` is among them and equals the count, and sum and
//! count come together (specification, "Histogram" and "GaugeHistogram").

use super::family;
use super::line::Sample;

/// What was read of the current point.
#[derive(Default)]
pub(super) struct Point {
    /// Bound and value of the newest bucket.
    last: Option<(f64, f64)>,
    has_negative_bound: bool,
    count: Option<f64>,
    sum: Option<f64>,
}

impl Point {
    /// Adds a sample of the point.
    pub(super) fn add(&mut self, suffix: &str, sample: &Sample<'_>) -> Result<(), String> {
        match suffix {
            "_bucket" => {
                let bound = family::bound(sample)?;
                if let Some((last_bound, last_value)) = self.last {
                    if bound <= last_bound {
                        return Err(format!(
                            "buckets have to ascend: le={bound} follows le={last_bound}"
                        ));
                    }
                    if sample.value < last_value {
                        return Err(format!(
                            "buckets have to accumulate: {} follows {last_value}",
                            sample.value
                        ));
                    }
                }
                self.has_negative_bound |= bound < 0.0;
                self.last = Some((bound, sample.value));
            }
            "_count" | "_gcount" => self.count = Some(sample.value),
            "_sum" | "_gsum" => self.sum = Some(sample.value),
            _ => {}
        }
        Ok(())
    }

    /// The point is complete.
    pub(super) fn finish(&self, family: &str, is_gauge: bool) -> Result<(), String> {
        let (count_name, sum_name) = match is_gauge {
            true => ("_gcount", "_gsum"),
            false => ("_count", "_sum"),
        };
        let Some((_, infinite)) = self.last.filter(|(bound, _)| *bound == f64::INFINITY) else {
            return Err(format!("{family} has no bucket le=\"+Inf\""));
        };
        match (self.count, self.sum) {
            (Some(count), _) if count != infinite => {
                return Err(format!(
                    "{family}{count_name} is {count}, its bucket +Inf {infinite}"
                ));
            }
            (None, Some(_)) => {
                return Err(format!("{family} has {sum_name} without {count_name}"));
            }
            (Some(_), None) => {
                return Err(format!("{family} has {count_name} without {sum_name}"));
            }
            _ => {}
        }
        match self.sum {
            Some(_) if self.has_negative_bound && !is_gauge => Err(format!(
                "{family} has buckets below 0, so its sum does not count and {sum_name} has to be left out"
            )),
            Some(sum) if sum < 0.0 && !self.has_negative_bound => Err(format!(
                "{family}{sum_name} is {sum} without a bucket below 0"
            )),
            _ => Ok(()),
        }
    }
}
