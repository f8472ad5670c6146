//! The process' clock, and the only place that reads the machine's: start plus monotonic time, slewed to the wall.
//!
//! Ages are differences of this clock, so a step of the wall clock ages nothing. A difference up to a second is made up
//! slowly. A larger one is a step: it stays, and times are translated where they enter or leave the process
//! ([`Clock::wall_offset_ms`]).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stillwell_engine::Timestamp;
use tokio::time::Instant;

/// How far one correction moves the clock; called once a second that is half a percent.
const SLEW_MS_MAX: i64 = 5;
/// A difference past this is a step of the wall clock.
const STEP_MS: i64 = 1_000;

/// Milliseconds since the epoch that never jump and never go back.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    start_ms: i64,
    slewed_ms: AtomicI64,
    /// The latest time shown: while the clock is slewed back it stands still rather than go back.
    shown_ms: AtomicI64,
    /// The step that `slew` returned last.
    told_ms: AtomicI64,
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
            told_ms: AtomicI64::new(0),
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

    /// What the wall clock shows now.
    pub fn wall_now(&self) -> Timestamp {
        self.now().plus_ms(self.wall_offset_ms())
    }

    /// What must be added to a time of this clock for the wall clock's: 0 unless the wall clock has stepped.
    pub fn wall_offset_ms(&self) -> i64 {
        let behind_ms = self.behind_ms();
        match is_step(behind_ms) {
            true => behind_ms,
            false => 0,
        }
    }

    /// Moves a little towards the wall clock, unless that has stepped. Call it about once a second. Returns a step that
    /// was not returned before.
    pub fn slew(&self) -> Option<i64> {
        let behind_ms = self.behind_ms();
        if !is_step(behind_ms) {
            let by_ms = behind_ms.clamp(-SLEW_MS_MAX, SLEW_MS_MAX);
            self.slewed_ms.fetch_add(by_ms, Ordering::Relaxed);
            self.told_ms.store(0, Ordering::Relaxed);
            return None;
        }
        let told_ms = self.told_ms.load(Ordering::Relaxed);
        if !is_step(behind_ms - told_ms) {
            return None;
        }
        self.told_ms.store(behind_ms, Ordering::Relaxed);
        Some(behind_ms)
    }

    fn behind_ms(&self) -> i64 {
        wall_ms() - self.now().ms()
    }
}

fn is_step(difference_ms: i64) -> bool {
    difference_ms.abs() > STEP_MS
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
    async fn a_small_difference_to_the_wall_is_made_up_slowly() {
        let clock = Clock::start();
        tokio::time::advance(Duration::from_millis(900)).await; // this clock only: the wall stays where it was
        let before = clock.now();
        assert_eq!((clock.slew(), clock.wall_offset_ms()), (None, 0));
        assert_eq!(clock.now(), before, "it waits");
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(clock.now().since_ms(before), 100 - SLEW_MS_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_wall_is_told_once_and_times_are_translated() {
        let clock = Clock::start();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let before = clock.now();
        let step_ms = clock.slew().expect("an hour is a step");
        assert!((-3_600_100..-3_599_000).contains(&step_ms), "{step_ms}");
        assert_eq!(clock.slew(), None, "it was told");
        assert_eq!(clock.now(), before);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(clock.now().since_ms(before), 100, "ages go on");
        let wall = clock.wall_now().since_ms(before);
        assert!((-3_600_100..-3_599_000).contains(&wall), "{wall}");
    }
}
