//! The series about a scrape (`up`, `scrape_duration_seconds` and others), written by the writer itself.
//!
//! They are on a clock of their own, so that a failed scrape, which ends the page's series, still has an `up`.

use super::Writer;
use super::outcome::ScrapeFacts;
use crate::scrape::REPORT_USUAL;
use crate::store::{ClockId, Onward, ScrapeEntry, Store, TargetId};
use crate::time::Timestamp;

impl Writer {
    /// Writes values of the series about the scrape, starting with the `from`th of [`crate::scrape::REPORT`].
    /// [`Writer::reported`] makes them visible.
    pub(super) fn report(
        &mut self,
        store: &mut Store,
        (target, at): (TargetId, Timestamp),
        from: usize,
        values: &[f64],
    ) {
        let state = &mut self.targets[target.index()];
        let clock = ClockId::report_of(target);
        let tick = store.clocks[clock.index()].next_tick();
        let labels = &state.report_labels[from..];
        for ((value, labels), id) in values.iter().zip(labels).zip(&mut state.report[from..]) {
            match *id {
                Some(id) => store.change(id, tick, value.to_bits()),
                None => {
                    let onward = Onward {
                        clock,
                        since: tick,
                        bits: value.to_bits(),
                        time_ms: at.ms(),
                    };
                    *id = store.claim(labels, onward);
                    self.reports_appeared |= id.is_some();
                }
            }
        }
    }

    /// Writes the metrics of `extra_scrape_metrics`, where the target has them.
    pub(super) fn report_extra(
        &mut self,
        store: &mut Store,
        (target, at): (TargetId, Timestamp),
        facts: ScrapeFacts,
    ) {
        let [timeout_s, sample_limit] = self.targets[target.index()].limits;
        let values = [timeout_s, sample_limit, facts.body_bytes as f64];
        self.report(store, (target, at), REPORT_USUAL, &values);
    }

    /// Advances the clock of the series about the scrape, which makes their values visible.
    pub(super) fn reported(&mut self, store: &mut Store, target: TargetId, at: Timestamp) {
        self.targets[target.index()].last_ms = Some(at.ms());
        store.clocks[ClockId::report_of(target).index()].push(ScrapeEntry {
            time_ms: at.ms(),
            good: true,
        });
    }
}
