//! What looking at one source costs, so that expensive ones take turns.

use std::time::Duration;

use tokio::time::Instant;

use super::throttle::HEAVY;

/// A query that costs more than this is not cheap: such take turns.
pub(super) const CHEAP: Duration = Duration::from_micros(200);
/// A query that is not cheap is left alone for so many times what it cost.
const REST_TIMES: u32 = 10;

/// What looking at one source costs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// 0 where nobody has looked at it yet: it may cost anything.
    pub(super) last: Duration,
    /// Not before.
    pub(super) due: Option<Instant>,
}

impl Cost {
    /// Of a source that was looked at just now, whose number may be told for as long as `may_be_told` says, which is asked where
    /// the source rests.
    pub(super) fn of(took: Duration, may_be_told: impl FnOnce() -> Duration) -> Cost {
        Cost {
            last: took.max(Duration::from_nanos(1)),
            due: (took > CHEAP).then(|| Instant::now() + (took * REST_TIMES).min(may_be_told())),
        }
    }

    pub(super) fn is_known(&self) -> bool {
        !self.last.is_zero()
    }

    pub(super) fn is_cheap(&self) -> bool {
        self.is_known() && self.last <= CHEAP
    }

    /// Whether nobody needs a turn for it.
    pub(super) fn is_light(&self) -> bool {
        self.is_known() && self.last <= HEAVY
    }

    /// Whether it was looked at so lately that it is left alone.
    pub(super) fn rests(&self) -> bool {
        self.due.is_some_and(|due| due > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_costs_much_rests_but_no_longer_than_its_number_may_be_told() {
        let (ms, hold) = (Duration::from_millis, Duration::from_secs(45));
        for (took, rests) in [(0, 0), (20, 200), (5_000, 45_000)] {
            let cost = Cost::of(ms(took), || hold);
            let rest = cost.due.map(|due| due - Instant::now());
            assert_eq!(rest.unwrap_or_default(), ms(rests), "{took}");
        }
    }
}
