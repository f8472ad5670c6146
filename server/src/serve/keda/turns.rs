//! Queries of triggers that cost much are evaluated one at a time, with a rest after each: whatever strangers ask, they take a
//! fifth of a core.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A query that costs more costs much. One of a few hundred series takes less, in a debug build as well.
pub(super) const HEAVY: Duration = Duration::from_millis(5);
/// After one of those nobody's turn comes for so many times what it cost.
const REST_TIMES: u32 = 4;

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Turns {
    /// When the next turn may begin. Held while a query is evaluated, on threads that may block.
    next: Mutex<Option<Instant>>,
}

impl Turns {
    /// Takes a turn, where it comes within `wait`; with what it cost.
    pub(super) fn take<T>(
        &self,
        wait: Duration,
        evaluate: impl FnOnce() -> T,
    ) -> Option<(T, Duration)> {
        let until = Instant::now() + wait;
        let mut next = self.next.try_lock_for(wait)?;
        if let Some(from) = *next {
            if from > until {
                return None;
            }
            rest(from.saturating_duration_since(Instant::now()));
        }
        let began = Instant::now();
        let result = evaluate();
        let took = began.elapsed();
        *next = (took > HEAVY).then(|| Instant::now() + took * REST_TIMES);
        Some((result, took))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the thread may block, and nobody else's query is to begin before"
)]
fn rest(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_costs_much_makes_others_wait_and_who_costs_little_does_not() {
        let turns = Turns::default();
        let no_wait = Duration::ZERO;
        for _ in 0..3 {
            assert!(turns.take(no_wait, || ()).is_some());
        }
        let pause = Duration::from_secs(60);
        let heavy = || rest(HEAVY * 2);
        assert!(
            turns
                .take(no_wait, heavy)
                .is_some_and(|(_, took)| took > HEAVY)
        );
        *turns.next.lock() = Some(Instant::now() + pause);
        assert!(turns.take(no_wait, || ()).is_none());
        assert!(
            turns.take(pause / 2, || ()).is_none(),
            "it does not wait in vain"
        );
    }
}
