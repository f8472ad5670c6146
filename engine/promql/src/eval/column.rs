//! The values of one series over all steps.

use std::sync::Arc;

use crate::select::STALE_NAN_BITS;
use stillwell_model::histogram::FloatHistogram;
use stillwell_model::labels::Labels;

/// Marks a step without a float. Staleness markers never leave the storage side of the evaluator and arithmetic
/// yields quiet NaNs only, so these bits are free to mean "nothing here" and a column of floats is one plain vector.
pub const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether the value means that there is none: [`ABSENT`] by its bits.
#[inline]
pub fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One value at one step.
#[derive(Clone, Debug)]
pub(crate) enum Point {
    None,
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// One place per step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// `ABSENT` where there is no float.
    pub(crate) floats: Vec<f64>,
    /// Empty, or as long as `floats`; where an entry is, the float is absent.
    pub(crate) histograms: Vec<Option<Arc<FloatHistogram>>>,
}

impl Column {
    pub(crate) fn absent(steps: usize) -> Column {
        Column {
            floats: vec![ABSENT; steps],
            histograms: Vec::new(),
        }
    }

    /// Makes it an empty column of this many steps, keeping the memory.
    pub(crate) fn reset(&mut self, steps: usize) {
        self.floats.clear();
        self.floats.resize(steps, ABSENT);
        self.histograms.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.floats.len()
    }

    pub(crate) fn is_present(&self, step: usize) -> bool {
        !is_absent(self.floats[step]) || self.histogram(step).is_some()
    }

    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        self.histograms.get(step)?.as_ref()
    }

    pub(crate) fn get(&self, step: usize) -> Point {
        if let Some(histogram) = self.histogram(step) {
            return Point::Histogram(histogram.clone());
        }
        match self.floats[step] {
            value if is_absent(value) => Point::None,
            value => Point::Float(value),
        }
    }

    pub(crate) fn set(&mut self, step: usize, point: Point) {
        match point {
            Point::None => {
                self.floats[step] = ABSENT;
                if let Some(place) = self.histograms.get_mut(step) {
                    *place = None;
                }
            }
            Point::Float(value) => {
                self.floats[step] = value;
                if let Some(place) = self.histograms.get_mut(step) {
                    *place = None;
                }
            }
            Point::Histogram(histogram) => self.set_histogram(step, histogram),
        }
    }

    pub(crate) fn set_histogram(&mut self, step: usize, histogram: Arc<FloatHistogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.floats.len(), None);
        }
        self.floats[step] = ABSENT;
        self.histograms[step] = Some(histogram);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floats.iter().all(|value| is_absent(*value))
            && self.histograms.iter().all(Option::is_none)
    }

    /// The first step with a point; behind the last where there is none.
    pub(crate) fn first_step(&self) -> usize {
        (0..self.len())
            .find(|step| self.is_present(*step))
            .unwrap_or(self.len())
    }

    pub(crate) fn points(&self) -> u64 {
        let floats = self
            .floats
            .iter()
            .filter(|value| !is_absent(**value))
            .count();
        (floats + self.histograms.iter().flatten().count()) as u64
    }

    /// Adds the points of `other`; false where both have one at a step.
    pub(crate) fn merge(&mut self, other: &Column) -> bool {
        for step in 0..self.len() {
            match (self.is_present(step), other.get(step)) {
                (_, Point::None) => {}
                (true, _) => return false,
                (false, point) => self.set(step, point),
            }
        }
        true
    }
}

/// One series of a vector over all steps.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// The metric name goes at the end of the query (delayed name removal).
    pub(crate) drop_name: bool,
    pub(crate) column: Column,
}
