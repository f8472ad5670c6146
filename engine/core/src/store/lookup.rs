//! What the writer asks about series beside samples: metric names, counter resets, whose they are.

use super::order::Onward;
use super::store::Store;
use crate::ids::SeriesId;
use crate::labels::{Labels, METRIC_NAME};
use crate::metadata::FamilyType;

/// Whether a metric is a counter, by its name.
pub(crate) fn is_counter(metric: &str) -> bool {
    metric.ends_with("_total") || metric.ends_with("_count")
}

impl Store {
    /// The metric name of a series.
    pub(crate) fn metric_name(&self, id: SeriesId) -> Option<&str> {
        let name = self.series.symbols.find(METRIC_NAME)?;
        Some(self.series.symbols.text(self.series.label(id, name)?))
    }

    /// Whether the page of a series says that it is a gauge.
    pub(crate) fn is_gauge(&self, id: SeriesId) -> bool {
        let target = self.series.row(id).clock.target();
        let families = target.and_then(|target| self.metadata.get(&target));
        let told = families
            .zip(self.metric_name(id))
            .and_then(|(families, metric)| families.get(metric));
        told.is_some_and(|of| of.family_type == FamilyType::Gauge)
    }

    /// The series with these labels, moved to a clock and created if needed. `None`: another live target has it, or it has a
    /// sample that is not older.
    pub(crate) fn claim(&mut self, labels: &Labels, onward: Onward) -> Option<SeriesId> {
        let Onward {
            clock, since, bits, ..
        } = onward;
        let Some(id) = self.series.find_near_last(labels) else {
            return Some(self.create(labels, clock, bits, since));
        };
        let row = *self.series.row(id);
        if row.clock == clock {
            self.change(id, since, bits);
            return Some(id);
        }
        let is_free = !row.is_present();
        (is_free && self.move_to_clock(id, onward)).then_some(id)
    }
}
