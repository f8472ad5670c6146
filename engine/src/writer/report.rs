//! The series about a scrape, which the writer makes itself.
//!
//! They are on a clock of their own, so that a failed scrape, which ends the page's series, still has its `up`.

use super::Writer;
use super::target::report_clock;
use crate::labels::Labels;
use crate::store::{ClockId, Entry, SeriesId, Store, TargetId};
use crate::time::Timestamp;

/// The series about a scrape, as Prometheus writes them (scrape/scrape.go `report`).
pub(crate) const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

impl Writer {
    /// Writes values of the series about the scrape, from the `from`th of [`REPORT`] on; [`Writer::reported`] makes them
    /// visible.
    pub(super) fn report(
        &mut self,
        store: &mut Store,
        target: TargetId,
        from: usize,
        values: &[f64],
    ) {
        let state = &mut self.targets[target.index()];
        let clock = report_clock(target);
        let tick = store.clocks[clock.index()].next_tick();
        let labels = &state.report_labels[from..];
        for ((value, labels), id) in values.iter().zip(labels).zip(&mut state.report[from..]) {
            match *id {
                Some(id) => store.change(id, tick, value.to_bits()),
                None => *id = store.adopt(labels, clock, tick, value.to_bits()),
            }
        }
    }

    pub(super) fn reported(&mut self, store: &mut Store, target: TargetId, at: Timestamp) {
        self.targets[target.index()].last_ms = Some(at.ms());
        store.clocks[report_clock(target).index()].push(Entry {
            time_ms: at.ms(),
            good: true,
        });
    }
}

impl Store {
    /// The series with these labels, on this clock from `tick` on; none where another live target has it.
    fn adopt(&mut self, labels: &Labels, clock: ClockId, tick: i64, bits: u64) -> Option<SeriesId> {
        let Some(id) = self.series.seek(labels) else {
            return Some(self.create(labels, clock, bits, tick));
        };
        let row = *self.series.row(id);
        if row.clock == clock {
            self.change(id, tick, bits);
        } else if row.is_present() {
            return None;
        } else {
            self.change_clock(id, row.since, clock, tick, bits);
        }
        Some(id)
    }
}
