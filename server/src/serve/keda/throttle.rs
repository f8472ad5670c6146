//! Queries of triggers that cost much are evaluated one at a time, with a rest after each: whatever strangers ask, they take a
//! fifth of a core.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::clock::monotonic_ns;

/// A query that costs more costs much. One of a few hundred series takes less, in a debug build as well.
pub(super) const HEAVY: Duration = Duration::from_millis(5);
/// After one of those nobody's turn comes for so many times what it cost.
const REST_TIMES: u64 = 4;

/// Lets one query be evaluated at a time.
#[derive(Default)]
pub(super) struct Throttle {
    /// Held for a look, not while a query is evaluated.
    state: Mutex<State>,
    /// Somebody's turn is over. Only threads that may block wait for it.
    over: Condvar,
}

#[derive(Default)]
struct State {
    is_taken: bool,
    /// When the next turn may begin.
    next_ns: u64,
}

/// An evaluation under way, which ends with a panic, too.
struct Evaluation<'t> {
    throttle: &'t Throttle,
    began_ns: u64,
}

impl Throttle {
    /// Evaluates a query, where its turn comes within `wait`; with what it cost.
    pub(super) fn take<T>(
        &self,
        wait: Duration,
        evaluate: impl FnOnce() -> T,
    ) -> Option<(T, Duration)> {
        let evaluation = self.begin(wait)?;
        let result = evaluate();
        let took_ns = monotonic_ns() - evaluation.began_ns;
        Some((result, Duration::from_nanos(took_ns)))
    }

    fn begin(&self, wait: Duration) -> Option<Evaluation<'_>> {
        let until_ns = monotonic_ns().saturating_add(wait.as_nanos() as u64);
        let mut state = self.state.lock();
        loop {
            let now_ns = monotonic_ns();
            if !state.is_taken && state.next_ns <= now_ns {
                state.is_taken = true;
                return Some(Evaluation {
                    throttle: self,
                    began_ns: now_ns,
                });
            }
            if state.next_ns > until_ns || now_ns >= until_ns {
                return None; // nobody waits in vain
            }
            let wake_ns = match state.is_taken {
                true => until_ns,
                false => state.next_ns,
            };
            let pause = Duration::from_nanos(wake_ns - now_ns);
            self.over.wait_for(&mut state, pause);
        }
    }
}

impl Drop for Evaluation<'_> {
    fn drop(&mut self) {
        let mut state = self.throttle.state.lock();
        state.is_taken = false;
        state.next_ns = next_ns(self.began_ns, monotonic_ns());
        drop(state);
        self.throttle.over.notify_all(); // some have no time left
    }
}

/// When the turn may begin that follows on one of these times.
fn next_ns(began_ns: u64, ended_ns: u64) -> u64 {
    let took_ns = ended_ns - began_ns;
    match Duration::from_nanos(took_ns) > HEAVY {
        true => ended_ns + REST_TIMES * took_ns,
        false => ended_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_query_is_evaluated_at_a_time_and_who_costs_much_makes_others_wait() {
        let throttle = Throttle::default();
        let no_wait = Duration::ZERO;
        let nested = throttle.take(no_wait, || throttle.take(no_wait, || ()).is_some());
        assert!(nested.is_some_and(|(nested, _)| !nested));
        // Whatever that took on this machine.
        throttle.state.lock().next_ns = 0;
        let panics = || -> () { panic!("a fault of ours") };
        let caught = std::panic::AssertUnwindSafe(|| throttle.take(no_wait, panics));
        assert!(std::panic::catch_unwind(caught).is_err());
        throttle.state.lock().next_ns = 0;
        assert!(throttle.take(no_wait, || ()).is_some());
        let rest = Duration::from_secs(3_600);
        throttle.state.lock().next_ns = monotonic_ns() + rest.as_nanos() as u64;
        assert!(throttle.take(no_wait, || ()).is_none());
        assert!(throttle.take(rest / 2, || ()).is_none(), "not in vain");
        let ms = 1_000_000;
        assert_eq!(next_ns(100 * ms, 104 * ms), 104 * ms);
        assert_eq!(next_ns(100 * ms, 110 * ms), 150 * ms);
    }
}
