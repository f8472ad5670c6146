//! Queries that `/guarded` refused: KEDA shows its user only the code of the answer, so the reason stands on `/signals`.

use std::collections::HashMap;

use parking_lot::Mutex;
use stillwell_adapters::host::GuardedRefusal;
use stillwell_engine::Timestamp;

/// Queries at once; the one refused longest ago makes room.
const REFUSALS_MAX: usize = 200;
/// Of a query as much as people need to recognise it, and of a reason.
const TEXT_BYTES_MAX: usize = 2_000;
/// A refusal is shown for this long after it last happened.
const SHOWN_MS: i64 = 3_600_000;

/// The refusals, by query.
#[derive(Default)]
pub(super) struct GuardedRefusals(Mutex<HashMap<String, GuardedRefusal>>);

impl GuardedRefusals {
    /// A query was refused.
    pub(super) fn add(&self, query: &str, why: &str, now: Timestamp) {
        let query = shortened(query);
        let mut refusals = self.0.lock();
        if let Some(known) = refusals.get_mut(query) {
            known.count += 1;
            known.last = now;
            known.reason = shortened(why).to_owned();
            return;
        }
        if refusals.len() >= REFUSALS_MAX
            && let Some(oldest) = refusals
                .values()
                .min_by_key(|one| one.last)
                .map(|one| one.query.clone())
        {
            refusals.remove(&oldest);
        }
        let refusal = GuardedRefusal {
            query: query.to_owned(),
            reason: shortened(why).to_owned(),
            count: 1,
            last: now,
        };
        refusals.insert(query.to_owned(), refusal);
    }

    /// A query was answered.
    pub(super) fn remove(&self, query: &str) {
        let mut refusals = self.0.lock();
        if !refusals.is_empty() {
            refusals.remove(shortened(query));
        }
    }

    /// Those of the last hour, by query.
    pub(super) fn list(&self, now: Timestamp) -> Vec<GuardedRefusal> {
        let mut refusals = self.0.lock();
        refusals.retain(|_, one| now.since_ms(one.last) < SHOWN_MS);
        let mut list: Vec<GuardedRefusal> = refusals.values().cloned().collect();
        list.sort_by(|a, b| a.query.cmp(&b.query));
        list
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_bounded_and_forgotten() {
        let (refusals, at) = (GuardedRefusals::default(), Timestamp::from_ms);
        refusals.add("sum(", "unexpected end", at(0));
        refusals.add("sum(", "unexpected end", at(1_000));
        let list = refusals.list(at(2_000));
        assert_eq!((list.len(), list[0].count, list[0].last), (1, 2, at(1_000)));
        for query in 0..2 * REFUSALS_MAX as i64 {
            let long = format!("{query} {}", "x".repeat(3 * TEXT_BYTES_MAX));
            refusals.add(&long, &long, at(3_000 + query));
        }
        let list = refusals.list(at(4_000));
        assert_eq!(list.len(), REFUSALS_MAX);
        assert!(list.iter().all(|one| one.query.len() <= TEXT_BYTES_MAX));
        refusals.remove(&list[0].query);
        assert_eq!(refusals.list(at(4_000)).len(), REFUSALS_MAX - 1);
        assert_eq!(refusals.list(at(4_000 + SHOWN_MS)), []);
    }
}
