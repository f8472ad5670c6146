//! Look-ups of names under way, of all targets and all discovery together: each takes descriptors until its name server answers,
//! and one that never answers would have those that connections of scalers need.
//!
//! A name whose look-ups were not answered lately shares half of the places with its like, so that names that are answered find
//! one; where others wait, who has waited for an answer for a second gives way.

use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stillwell_adapters::waiting::Waiting;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// Look-ups at a time where descriptors abound.
pub const LOOKUPS_MAX: usize = 64;
/// How long one may take at most, so that a packet that was lost is sent again; ...
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// ... and how long where others wait.
const ANSWER_WAIT_OTHERS: Duration = Duration::from_secs(1);
/// A name that was not answered is left alone for this long, then for twice as long, until ...
const SILENCE_MIN: Duration = Duration::from_secs(1);
/// ... this is reached: a name server that was away is noticed again within it.
const SILENCE_MAX: Duration = Duration::from_secs(10);

static LOOKUPS: OnceLock<Lookups> = OnceLock::new();

/// Bounds the look-ups of this process, at its start.
pub fn bound_lookups(most: usize) {
    LOOKUPS.set(Lookups::new(most)).ok(); // a test starts several servers in one process
}

/// Looks a name up when its turn comes. `None`: no answer in time, which is at most `wait_max` from its turn on.
pub(crate) async fn look_up<T>(
    silence: Silence,
    wait_max: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let lookups = LOOKUPS.get_or_init(|| Lookups::new(LOOKUPS_MAX));
    lookups.look_up(silence, wait_max, work).await
}

/// For how long a name has not been answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Silence {
    /// Look-ups in a row.
    times: u32,
    until: Option<Instant>,
}

impl Silence {
    /// Whether the name is left alone now.
    pub(crate) fn rests(&self) -> bool {
        self.until.is_some_and(|until| until > Instant::now())
    }

    /// When it is asked for again.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// One more look-up was not answered.
    pub(crate) fn longer(self) -> Silence {
        let pause = SILENCE_MIN * (1 << self.times.min(8));
        Silence {
            times: self.times.saturating_add(1),
            until: Some(Instant::now() + pause.min(SILENCE_MAX)),
        }
    }
}

/// Places of look-ups, with how many wait for one.
struct Places {
    places: Semaphore,
    waiting: AtomicUsize,
}

impl Places {
    fn new(most: usize) -> Places {
        Places {
            places: Semaphore::new(most),
            waiting: AtomicUsize::new(0),
        }
    }

    async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(place) = self.places.try_acquire() {
            return Some(place);
        }
        let _waiting = Waiting::begin(&self.waiting);
        self.places.acquire().await.ok() // it is never closed
    }

    fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

struct Lookups {
    all: Places,
    /// Those of them that names which were not answered lately may have.
    silent: Places,
}

impl Lookups {
    fn new(most: usize) -> Lookups {
        Lookups {
            all: Places::new(most.max(2)),
            silent: Places::new((most / 2).max(1)),
        }
    }

    async fn look_up<T>(
        &self,
        silence: Silence,
        wait_max: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let is_silent = silence.times > 0;
        let _of_silent = match is_silent {
            true => Some(self.silent.take().await?),
            false => None,
        };
        let _place = self.all.take().await?;
        let began = Instant::now();
        let mut work = pin!(work);
        loop {
            let is_awaited = self.all.is_awaited() || is_silent && self.silent.is_awaited();
            let wait = match is_awaited {
                true => ANSWER_WAIT_OTHERS.min(wait_max),
                false => ANSWER_WAIT.min(wait_max),
            };
            let until = (began + wait).min(Instant::now() + ANSWER_WAIT_OTHERS);
            match timeout_at(until, work.as_mut()).await {
                Ok(done) => return Some(done),
                Err(_) if began.elapsed() >= wait => return None,
                Err(_) => {} // others may wait by now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    /// 500 targets and 200 lists by names that nobody answered took all of 1,024 descriptors, and reads by HPAs were reset.
    #[tokio::test(start_paused = true)]
    async fn names_that_nobody_answers_are_looked_up_a_few_at_a_time() {
        let (lookups, running) = (Arc::new(Lookups::new(8)), Arc::new(AtomicUsize::new(0)));
        let most = Arc::new(AtomicUsize::new(0));
        let mut silent = JoinSet::new();
        for name in 0..700 {
            let silence = match name % 2 {
                0 => Silence::default(),
                _ => Silence::default().longer(),
            };
            let (lookups, running, most) = (lookups.clone(), running.clone(), most.clone());
            silent.spawn(async move {
                let never = async {
                    let _running = Waiting::begin(&running);
                    most.fetch_max(running.load(Ordering::Relaxed), Ordering::Relaxed);
                    std::future::pending::<()>().await;
                };
                lookups.look_up(silence, ANSWER_WAIT, never).await
            });
        }
        while let Some(looked) = silent.join_next().await {
            assert_eq!(looked.expect("no panic"), None);
        }
        assert_eq!(most.load(Ordering::Relaxed), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_answered_waits_for_no_silent_one() {
        let lookups = Arc::new(Lookups::new(8));
        for _ in 0..700 {
            let lookups = Arc::clone(&lookups);
            tokio::spawn(async move {
                let silence = Silence::default().longer();
                let never = std::future::pending::<()>();
                lookups.look_up(silence, ANSWER_WAIT, never).await
            });
        }
        tokio::task::yield_now().await;
        let began = Instant::now();
        let answered = lookups.look_up(Silence::default(), ANSWER_WAIT, async { 7 });
        assert_eq!(answered.await, Some(7));
        assert_eq!(began.elapsed(), Duration::ZERO);
        // One that comes alone has its whole time.
        let lookups = Lookups::new(8);
        let slow = tokio::time::sleep(ANSWER_WAIT - Duration::from_millis(1));
        let looked = lookups.look_up(Silence::default(), ANSWER_WAIT, slow);
        assert_eq!(looked.await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_was_not_answered_rests_longer_each_time() {
        let mut silence = Silence::default();
        assert!(!silence.rests());
        for seconds in [1, 2, 4, 8, 10, 10] {
            silence = silence.longer();
            tokio::time::advance(Duration::from_millis(1_000 * seconds - 1)).await;
            assert!(silence.rests(), "{seconds}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(!silence.rests(), "{seconds}");
        }
    }
}
