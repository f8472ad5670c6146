//! The process' clock, and the only place that reads the machine's: start plus monotonic time, slewed to the wall.
//!
//! Ages are differences of this clock, so a step of the wall clock ages nothing; the difference is made up slowly.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stillwell_engine::Timestamp;
use tokio::time::Instant;

/// How far one correction moves the clock; called once a second that is half a percent.
const SLEW_MS_MAX: i64 = 5;
/// A difference past this is a step of the wall clock, worth a word.
const STEP_MS: i64 = 1_000;

/// Milliseconds since the epoch that never jump and never go back.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    start_ms: i64,
    slewed_ms: AtomicI64,
    /// The latest time shown: while the clock is slewed back it stands still rather than go back.
    shown_ms: AtomicI64,
}

/// Nanoseconds since the first call: for measuring, not for showing.
pub fn monotonic_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

impl Clock {
    /// A clock that shows the wall's time now.
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
            start_ms: wall_ms(),
            slewed_ms: AtomicI64::new(0),
            shown_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        let slewed_ms = self.slewed_ms.load(Ordering::Relaxed);
        let elapsed_ms = self.start.elapsed().as_millis() as i64;
        let now_ms = self.start_ms + elapsed_ms + slewed_ms;
        Timestamp::from_ms(
            self.shown_ms
                .fetch_max(now_ms, Ordering::Relaxed)
                .max(now_ms),
        )
    }

    /// The moment at which this clock will show `at_ms`.
    pub fn moment(&self, at_ms: i64) -> Instant {
        let after_ms = at_ms - self.start_ms - self.slewed_ms.load(Ordering::Relaxed);
        self.start + Duration::from_millis(u64::try_from(after_ms).unwrap_or(0))
    }

    /// Moves a little towards the wall clock. Call it about once a second. Returns by how much the wall had stepped,
    /// where it is so far off that this must have happened.
    pub fn slew(&self) -> Option<i64> {
        let behind_ms = wall_ms() - self.now().ms();
        self.slewed_ms.fetch_add(
            behind_ms.clamp(-SLEW_MS_MAX, SLEW_MS_MAX),
            Ordering::Relaxed,
        );
        (behind_ms.abs() > STEP_MS).then_some(behind_ms)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
fn wall_ms() -> i64 {
    // Before 1970 only a broken machine stands; it counts from there.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn moments_are_the_inverse_of_now() {
        let clock = Clock::start();
        let at = clock.now().plus_ms(250);
        tokio::time::sleep_until(clock.moment(at.ms())).await;
        assert_eq!(clock.now(), at);
    }

    #[tokio::test(start_paused = true)]
    async fn a_difference_to_the_wall_is_made_up_slowly_and_a_step_is_told() {
        let clock = Clock::start();
        tokio::time::advance(Duration::from_secs(3600)).await; // this clock only: the wall stays where it was
        let before = clock.now();
        let step_ms = clock.slew().expect("an hour is a step");
        assert!((-3_600_100..-3_599_000).contains(&step_ms), "{step_ms}");
        assert_eq!(clock.now(), before, "it waits");
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(clock.now().since_ms(before), 100 - SLEW_MS_MAX);
    }
}
