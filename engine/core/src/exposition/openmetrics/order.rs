//! The samples of one family in their order: those of a metric stand together, those of a point too, and the timestamps
//! of a metric do not go back (specification, "Text format", "MetricPoint").

use hashbrown::HashSet;

use super::family::Type;
use super::histogram::Point;
use super::line::Sample;

/// Labels that identify a metric: sorted, without empty ones.
type Key = Vec<(String, String)>;

/// The order of one family's samples.
#[derive(Default)]
pub(super) struct Order {
    /// Metrics that have been left.
    left: HashSet<Key>,
    current: Option<Current>,
}

/// The metric that is being read.
struct Current {
    key: Key,
    time_s: Option<f64>,
    /// Names and labels of the samples at `time_s`.
    samples: HashSet<(String, Key)>,
    point: Point,
}

impl Order {
    /// Adds the next sample.
    pub(super) fn add(
        &mut self,
        of: Type,
        family: &str,
        suffix: &str,
        sample: &Sample<'_>,
    ) -> Result<(), String> {
        let whole = key(sample, None);
        let metric = match of {
            // All labels are the value: whether they are one metric or several cannot be told.
            Type::Info => Key::new(),
            _ => key(sample, of.inner_label(family)),
        };
        if self.current.as_ref().is_some_and(|now| now.key != metric) {
            self.leave(of, family)?;
        }
        if self.current.is_none() && self.left.contains(&metric) {
            return Err(format!(
                "the samples of one metric of {family} have to stand together"
            ));
        }
        if let Some(now) = &self.current
            && now.time_s != sample.time_s
        {
            check_times(of, now.time_s, sample.time_s)?;
            finish_point(of, family, &now.point)?;
            self.current = None;
        }
        let now = self.current.get_or_insert_with(|| Current {
            key: metric,
            time_s: sample.time_s,
            samples: HashSet::new(),
            point: Point::default(),
        });
        let is_new = now.samples.insert((sample.name.to_owned(), whole));
        if is_new {
            now.point.add(suffix, sample)?;
        } else if sample.time_s.is_none() {
            return Err(format!(
                "{} is there twice with the same labels",
                sample.name
            ));
        }
        // A second sample at one time is the same time cut to fewer digits.
        Ok(())
    }

    /// The family is complete.
    pub(super) fn finish(&mut self, of: Type, family: &str) -> Result<(), String> {
        self.leave(of, family)
    }

    fn leave(&mut self, of: Type, family: &str) -> Result<(), String> {
        if let Some(now) = self.current.take() {
            finish_point(of, family, &now.point)?;
            self.left.insert(now.key);
        }
        Ok(())
    }
}

fn finish_point(of: Type, family: &str, point: &Point) -> Result<(), String> {
    match of.is_histogram() {
        true => point.finish(family, of == Type::GaugeHistogram),
        false => Ok(()),
    }
}

fn check_times(of: Type, before: Option<f64>, now: Option<f64>) -> Result<(), String> {
    match (before, now) {
        (Some(before), Some(now)) if now < before && of != Type::Info => Err(format!(
            "the timestamps of a metric go back, from {before} to {now}"
        )),
        (Some(_), Some(_)) => Ok(()),
        _ => Err("a metric has samples with a timestamp and samples without".to_owned()),
    }
}

fn key(sample: &Sample<'_>, without: Option<&str>) -> Key {
    let kept = sample
        .labels
        .iter()
        .filter(|(name, value)| Some(*name) != without && !value.is_empty());
    let mut key: Key = kept
        .map(|(name, value)| ((*name).to_owned(), value.clone().into_owned()))
        .collect();
    key.sort_unstable();
    key
}
