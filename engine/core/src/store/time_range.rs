//! Of which times the store has samples.

use super::store::Store;
use crate::ids::{ClockId, SeriesId};

impl Store {
    /// Whether a series may have samples in `start_ms..=end_ms`.
    pub(crate) fn has_samples(&self, id: SeriesId, start_ms: i64, end_ms: i64) -> bool {
        let row = self.series.row(id);
        let (first, until) = self.ticks(row.clock, start_ms, end_ms);
        let current = match row.is_present() && row.clock != ClockId::EXPLICIT {
            true => row.since < until && first < until,
            false => row.is_present() && (first..until).contains(&row.since),
        };
        let mut at = row.oldest;
        while let (false, Some(block)) = (current, at.some()) {
            let header = self.slab.header(block);
            let (first, until) = self.ticks(header.clock, start_ms, end_ms);
            let gaps = self.slab.ops(block).gaps();
            if header.first_tick < until && header.first_tick + gaps > first && first < until {
                return true;
            }
            at = header.next();
        }
        current
    }

    fn ticks(&self, clock: ClockId, start_ms: i64, end_ms: i64) -> (i64, i64) {
        if clock == ClockId::EXPLICIT {
            return (start_ms, end_ms.saturating_add(1));
        }
        let clock = &self.clocks[clock.index()];
        (
            clock.tick_after(start_ms.saturating_sub(1)),
            clock.tick_after(end_ms),
        )
    }

    /// The oldest time that any clock still knows.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        let oldest = self
            .clocks
            .iter()
            .filter_map(|clock| clock.at(clock.first_tick()));
        oldest.map(|entry| entry.time_ms).min()
    }
}
