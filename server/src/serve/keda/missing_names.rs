//! How often names of signals that are not there may cost time, and lines of the log: anybody who reaches the port may send them.

use parking_lot::Mutex;
use stillwell_engine::Timestamp;

/// Names that are not there are compared with those that are so often a second at most: with 5,000 each takes milliseconds.
pub(super) const COMPARED_PER_SECOND_MAX: u32 = 10;
/// The log says so often that a trigger names no signal.
const WARNED_EVERY_MS: i64 = 10_000;

/// When names that are not there were last compared and warned of.
#[derive(Default)]
pub(super) struct MissingNames {
    /// The second that is counted, and how often names were compared in it.
    compared: Mutex<Option<(Timestamp, u32)>>,
    warned: Mutex<Option<Timestamp>>,
}

impl MissingNames {
    /// Whether a name may be compared with those of thousands of signals, on a thread that answers autoscalers. Counts as if it
    /// was.
    pub(super) fn may_compare(&self, now: Timestamp) -> bool {
        let compared = &mut *self.compared.lock();
        let (since, count) = compared
            .filter(|(since, _)| now.since_ms(*since) < 1_000)
            .unwrap_or((now, 0));
        let may = count < COMPARED_PER_SECOND_MAX;
        if may {
            *compared = Some((since, count + 1));
        }
        may
    }

    /// Whether the log may say it. Counts as if it was said.
    pub(super) fn may_warn(&self, now: Timestamp) -> bool {
        let warned = &mut *self.warned.lock();
        let is_due = |at: &mut Timestamp| now.since_ms(*at) >= WARNED_EVERY_MS;
        let may = warned.as_mut().is_none_or(is_due);
        if may {
            *warned = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each call computed distances to 5,000 names on a thread that answers autoscalers.
    #[test]
    fn names_that_are_not_there_are_compared_with_others_some_times_a_second() {
        let names = MissingNames::default();
        let may = |ms| names.may_compare(Timestamp::from_ms(ms));
        for second in [0, 1_000, 5_000] {
            let compared = (0..1_000).filter(|ms| may(second + ms)).count();
            assert_eq!(compared, COMPARED_PER_SECOND_MAX as usize);
        }
    }
}
