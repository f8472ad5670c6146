//! What is logged of many objects is logged once in some time.

use std::time::Duration;

use tokio::time::Instant;

/// That time.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// When something was logged last.
#[derive(Default)]
pub(super) struct Said(Option<Instant>);

impl Said {
    /// Whether it is to be logged now.
    pub(super) fn again(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|at| now.duration_since(at) >= SAY_AGAIN);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }

    /// Whether it was ever logged.
    #[cfg(test)]
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute() {
        let (mut said, now) = (Said::default(), Instant::now());
        let at = |s| now + Duration::from_secs(s);
        let times: Vec<bool> = [0, 1, 59, 60, 61, 120].map(|s| said.again(at(s))).to_vec();
        assert_eq!(times, [true, false, false, true, false, true]);
    }
}
