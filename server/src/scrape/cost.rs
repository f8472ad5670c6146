//! What scraping costs a gateway: the time that it takes to answer, as a share of the time between two scrapes.
//!
//! A gateway encodes its page in the process that routes requests (some 1.6 ms of CPU for 500 series, 25 ms for 18,000),
//! so an interval that is cheap for us may not be for it. Scrapes of one target never fill more than half of its time, or
//! the share that its job allows (`scrape_share_max`): a page that takes longer is asked for less often than configured.

/// From this share on whoever runs the gateway should know.
const WARN_SHARE: f64 = 0.05;
/// Below this share a warning is over.
const CLEAR_SHARE: f64 = 0.03;
/// The weight of the newest answer in the mean.
const WEIGHT: f64 = 0.1;
/// Answers before anything is said: the first ones open connections.
const ANSWERS_MIN: u32 = 10;

/// From this size on whoever runs the gateway should know: encoding it takes some 45 ms of its CPU.
const LARGE_PAGE_BYTES: usize = 5_000_000;
/// Below this size a warning is over.
const CLEAR_PAGE_BYTES: usize = 4_000_000;

/// What one target's answers take.
#[derive(Debug, Default)]
pub(super) struct Cost {
    /// A page was large and has been warned of.
    large: bool,
    answer_ms: f64,
    answers: u32,
    warned: bool,
    /// Until then it has as much time as the last answer took.
    busy_until_ms: i64,
    /// Until then its job lets it rest.
    stretched_until_ms: i64,
}

/// Why a gateway is not asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Scrapes would fill more than half of its time.
    Busy,
    /// Its job asks it less often than at every tick.
    Stretched,
}

impl Cost {
    /// Why a scrape that is due now has to wait.
    pub(super) fn rest(&self, due_ms: i64) -> Option<Rest> {
        if due_ms < self.busy_until_ms {
            return Some(Rest::Busy);
        }
        (due_ms < self.stretched_until_ms).then_some(Rest::Stretched)
    }

    /// A scrape that was due at `due_ms` is the last one for so long, if it went well.
    pub(super) fn rest_for(&mut self, due_ms: i64, interval_ms: u64) {
        let until_ms = due_ms.saturating_add_unsigned(interval_ms);
        self.stretched_until_ms = self.stretched_until_ms.max(until_ms);
    }

    /// The gateway answered within `answer_ms`, at `now_ms`, and may be kept busy for `share_max` of its time, at most
    /// half. The share, where it is to be warned of now.
    pub(super) fn answered(
        &mut self,
        answer_ms: f64,
        now_ms: i64,
        interval_ms: u64,
        share_max: f64,
    ) -> Option<f64> {
        self.busy_until_ms = now_ms.saturating_add(answer_ms as i64);
        let rest_ms = answer_ms * (1.0 - share_max) / share_max;
        self.stretched_until_ms = now_ms.saturating_add(rest_ms as i64);
        self.answers = self.answers.saturating_add(1);
        let weight = if self.answers == 1 { 1.0 } else { WEIGHT };
        self.answer_ms += (answer_ms - self.answer_ms) * weight;
        let between_ms = (interval_ms as f64).max(self.answer_ms / share_max);
        let share = self.answer_ms / between_ms;
        self.warned &= share >= CLEAR_SHARE;
        let is_news = share >= WARN_SHARE && !self.warned && self.answers >= ANSWERS_MIN;
        self.warned |= is_news;
        is_news.then_some(share)
    }

    /// A page has so many bytes, inflated. Its megabytes, where it is to be warned of now.
    pub(super) fn sized(&mut self, body_bytes: usize) -> Option<usize> {
        self.large &= body_bytes >= CLEAR_PAGE_BYTES;
        let is_news = body_bytes > LARGE_PAGE_BYTES && !self.large;
        self.large |= is_news;
        is_news.then_some(body_bytes / 1_000_000)
    }

    /// How long an answer takes, on average, in milliseconds.
    pub(super) fn answer_ms(&self) -> f64 {
        self.answer_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_costly_page_is_warned_of_once_until_it_is_cheap_again() {
        let mut cost = Cost::default();
        let mut warnings = |answer_ms: f64, times: i64| {
            let warned = (0..times).filter_map(|_| cost.answered(answer_ms, 0, 100, 0.5));
            warned.collect::<Vec<f64>>()
        };
        assert!(warnings(1.0, 100).is_empty());
        let dear = warnings(25.0, 100);
        assert!(
            dear.len() == 1 && dear[0] >= 0.05 && dear[0] < 0.25,
            "{dear:?}"
        );
        assert!(warnings(1.0, 100).is_empty());
        assert_eq!(warnings(25.0, 100).len(), 1);
    }

    #[test]
    fn a_large_page_is_warned_of_once_until_it_is_small_again() {
        let mut cost = Cost::default();
        let told = [1, 6, 6, 4, 6, 3, 6].map(|megabytes| cost.sized(megabytes * 1_000_000));
        assert_eq!(told, [None, Some(6), None, None, None, None, Some(6)]);
    }

    #[test]
    fn scrapes_never_fill_more_than_their_share() {
        let mut cost = Cost::default();
        cost.answered(20.0, 1_000, 100, 0.05);
        let rests = [1_019, 1_020, 1_379, 1_380].map(|due_ms| cost.rest(due_ms));
        let (busy, stretched) = (Some(Rest::Busy), Some(Rest::Stretched));
        assert_eq!(rests, [busy, stretched, stretched, None], "20 ms of 400");
        cost.rest_for(980, 200);
        assert_eq!(
            cost.rest(1_379),
            stretched,
            "an idle gateway's share counts too"
        );
        cost.rest_for(980, 1_000);
        assert_eq!([cost.rest(1_979), cost.rest(1_980)], [stretched, None]);
    }

    #[test]
    fn scrapes_never_fill_more_than_half_of_the_time() {
        let mut cost = Cost::default();
        cost.answered(580.0, 10_000, 100, 0.5);
        assert_eq!(
            [cost.rest(10_500), cost.rest(10_580)],
            [Some(Rest::Busy), None]
        );
        assert!(cost.answer_ms() > 579.0);
    }
}
