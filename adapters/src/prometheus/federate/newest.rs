//! The newest sample of a series, as it stands on a page.

use std::sync::Arc;

use stillwell_engine::histogram::{FloatHistogram, ResetHint};
use stillwell_engine::labels::{Labels, METRIC_NAME};

/// The newest sample of a series.
pub(super) struct Newest {
    pub(super) labels: Labels,
    pub(super) time_ms: i64,
    pub(super) value: Value,
}

pub(super) enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Newest {
    /// The family's type as Prometheus writes it; that of a histogram is known, that of a float is not.
    pub(super) fn family_type(&self) -> FamilyType {
        match &self.value {
            Value::Float(_) => FamilyType::Untyped,
            Value::Histogram(histogram) if histogram.hint == ResetHint::Gauge => {
                FamilyType::GaugeHistogram
            }
            Value::Histogram(_) => FamilyType::Histogram,
        }
    }

    /// Its labels beside the name, and those of this server. A series without an instance must not be given that of this server.
    pub(super) fn labels<'l>(
        &'l self,
        external: &'l Labels,
    ) -> impl Iterator<Item = (&'l str, &'l str)> {
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
pub(super) enum FamilyType {
    Untyped,
    Histogram,
    GaugeHistogram,
}
