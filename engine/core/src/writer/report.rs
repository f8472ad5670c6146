//! The series about a scrape, which the writer makes itself.
//!
//! They are on a clock of their own, so that a failed scrape, which ends the page's series, still has its `up`.

use super::Writer;
use super::target::report_clock;
use crate::store::{Entry, Store, TargetId};
use crate::time::Timestamp;

impl Writer {
    /// Writes values of the series about the scrape, from the `from`th of [`crate::scrape::REPORT`] on; [`Writer::reported`] makes them
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
