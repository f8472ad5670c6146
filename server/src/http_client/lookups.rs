//! Look-ups of names under way, of all targets and all discovery together: each takes descriptors until its name server answers,
//! and one that never answers would have those that connections of scalers need.
//!
//! Names that were answered before find a place whatever others do: those that never were have three quarters of the places, and
//! those of them that were asked for in vain two thirds of these. Where others wait, a name that is asked for the first time has as
//! long as a name server takes that is there, and then stands with the silent ones: at our start 500 that nobody answers do not keep
//! one waiting that is answered.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stillwell_adapters::waiting::{Allowance, Waiting};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Look-ups at a time where descriptors abound.
pub const LOOKUPS_MAX: usize = 64;
/// At least: each class has places.
const LOOKUPS_MIN: usize = 4;
/// How long one may take at most, so that a packet that was lost is sent again; ...
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// ... how long where others wait; ...
const ANSWER_WAIT_OTHERS: Duration = Duration::from_secs(1);
/// ... and how long then that of a name that was never asked for, which is asked for again behind others.
const FIRST_WAIT_OTHERS: Duration = Duration::from_millis(100);
/// A name that was answered before is taken for one that is not once it was not for so many times in a row: packets are lost.
const SILENT_TIMES: u32 = 3;
/// A name that was not answered is left alone for this long, then for twice as long, until ...
const SILENCE_MIN: Duration = Duration::from_secs(1);
/// ... this is reached: a name server that was away is noticed again within it, and the time that the others take.
const SILENCE_MAX: Duration = Duration::from_secs(10);

static LOOKUPS: OnceLock<Lookups> = OnceLock::new();

/// Bounds the look-ups of this process, at its start.
pub fn bound_lookups(most: usize) {
    LOOKUPS.set(Lookups::new(most)).ok(); // a test starts several servers in one process
}

/// Looks a name up when its turn comes. `None`: no answer in time, which is at most `wait_max` from its turn on.
pub(crate) async fn look_up<T, F: Future<Output = T>>(
    silence: Silence,
    wait_max: Duration,
    work: impl Fn() -> F,
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
    /// It was answered before.
    was_answered: bool,
}

/// What is expected of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It is answered.
    Answered,
    /// Nothing: nobody asked for it yet.
    New,
    /// It is not.
    Silent,
}

impl Silence {
    /// The name was answered just now.
    pub(crate) fn ended() -> Silence {
        Silence {
            was_answered: true,
            ..Silence::default()
        }
    }

    /// Whether the name is left alone now.
    pub(crate) fn rests(&self) -> bool {
        self.until.is_some_and(|until| until > Instant::now())
    }

    /// When it is asked for again.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether it was answered, but for a few look-ups of which the packets may have been lost.
    pub(crate) fn is_short(&self) -> bool {
        self.was_answered && self.times < SILENT_TIMES
    }

    /// Whether the last look-up was answered.
    pub(crate) fn is_none(&self) -> bool {
        self.times == 0
    }

    /// One more look-up was not answered.
    pub(crate) fn longer(self) -> Silence {
        let pause = SILENCE_MIN * (1 << self.times.min(8));
        Silence {
            times: self.times.saturating_add(1),
            until: Some(Instant::now() + pause.min(SILENCE_MAX)),
            ..self
        }
    }

    fn class(&self) -> Class {
        match self.times {
            _ if self.is_short() => Class::Answered,
            0 => Class::New,
            _ => Class::Silent,
        }
    }
}

impl Class {
    /// How long a look-up may take, and at most this.
    fn allowance(self, wait_max: Duration) -> Allowance {
        Allowance {
            alone: ANSWER_WAIT.min(wait_max),
            beside_others: match self {
                Class::New => FIRST_WAIT_OTHERS,
                Class::Answered | Class::Silent => ANSWER_WAIT_OTHERS,
            },
        }
    }
}

/// Places of a class of look-ups, with how many wait for one.
struct ClassSlots {
    slots: Semaphore,
    waiting: AtomicUsize,
}

impl ClassSlots {
    fn new(most: usize) -> ClassSlots {
        ClassSlots {
            slots: Semaphore::new(most),
            waiting: AtomicUsize::new(0),
        }
    }

    async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Some(slot);
        }
        let _waiting = Waiting::begin(&self.waiting);
        self.slots.acquire().await.ok() // it is never closed
    }

    fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

struct Lookups {
    all: ClassSlots,
    /// Those of them for names that were not answered before, ...
    unanswered: ClassSlots,
    /// ... and those of these for names that were asked for in vain.
    silent: ClassSlots,
}

impl Lookups {
    fn new(most: usize) -> Lookups {
        let most = most.max(LOOKUPS_MIN);
        Lookups {
            all: ClassSlots::new(most),
            unanswered: ClassSlots::new(most * 3 / 4),
            silent: ClassSlots::new(most / 2),
        }
    }

    async fn look_up<T, F: Future<Output = T>>(
        &self,
        silence: Silence,
        wait_max: Duration,
        work: impl Fn() -> F,
    ) -> Option<T> {
        let class = silence.class();
        let looked = self.ask(class, wait_max, work()).await;
        let was_short = |wait: &Duration| class == Class::New && *wait < wait_max.min(ANSWER_WAIT);
        match looked {
            Err(wait) if was_short(&wait) => self.ask(Class::Silent, wait_max, work()).await.ok(),
            looked => looked.ok(),
        }
    }

    /// Error: no answer within that.
    async fn ask<T>(
        &self,
        class: Class,
        wait_max: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Duration> {
        // In this order for all: nobody waits for one who waits for him.
        let classes: &[&ClassSlots] = match class {
            Class::Answered => &[&self.all],
            Class::New => &[&self.unanswered, &self.all],
            Class::Silent => &[&self.silent, &self.unanswered, &self.all],
        };
        let mut slots = Vec::with_capacity(classes.len());
        for class in classes {
            slots.push(class.take().await);
        }
        let others_wait = || classes.iter().any(|class| class.is_awaited());
        let allowance = class.allowance(wait_max);
        allowance.wait(Instant::now(), others_wait, work).await
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
                let never = || async {
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
        // The rest is for names that are answered.
        assert_eq!(most.load(Ordering::Relaxed), 6);
    }

    /// So many names of this kind that nobody answers are asked for.
    async fn ask_in_vain(lookups: &Arc<Lookups>, names: usize, silence: Silence) {
        for _ in 0..names {
            let lookups = Arc::clone(lookups);
            tokio::spawn(async move {
                let mut silence = silence;
                loop {
                    let never = std::future::pending::<()>;
                    lookups.look_up(silence, ANSWER_WAIT, never).await;
                    silence = silence.longer();
                    let rests = silence.until().expect("it was not answered");
                    tokio::time::sleep_until(rests).await;
                }
            });
        }
        tokio::task::yield_now().await;
    }

    /// How long a name waits for its turn that is answered at once.
    async fn waits(lookups: &Lookups, silence: Silence) -> Duration {
        let began = Instant::now();
        let answered = lookups.look_up(silence, ANSWER_WAIT, || async { 7 });
        assert_eq!(answered.await, Some(7));
        began.elapsed()
    }

    /// One packet was lost, and the name stood behind 500 that nobody answers.
    #[tokio::test(start_paused = true)]
    async fn a_name_that_was_answered_waits_for_no_other_until_it_was_silent_three_times() {
        let lookups = Arc::new(Lookups::new(8));
        ask_in_vain(&lookups, 500, Silence::default()).await;
        ask_in_vain(&lookups, 500, Silence::default().longer()).await;
        let mut silence = Silence::ended();
        for _ in 0..SILENT_TIMES {
            assert_eq!(waits(&lookups, silence).await, Duration::ZERO);
            silence = silence.longer();
        }
        assert!(waits(&lookups, silence).await > Duration::ZERO);
    }

    /// At our start nobody knows which names are answered: one that was stood behind 500 others for half a minute.
    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_answered_has_its_turn_soon_beside_new_ones_that_are_not() {
        for (most, within_s) in [(16, 5), (LOOKUPS_MAX, 2)] {
            let lookups = Arc::new(Lookups::new(most));
            ask_in_vain(&lookups, 500, Silence::default()).await;
            let waited = waits(&lookups, Silence::default()).await;
            assert!(
                waited <= Duration::from_secs(within_s),
                "{most}: {waited:?}"
            );
            // So has one that comes while those are asked for again and again.
            tokio::time::sleep(Duration::from_secs(100)).await;
            let waited = waits(&lookups, Silence::default()).await;
            assert!(waited <= ANSWER_WAIT_OTHERS, "{most}: {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_slow_is_answered_all_the_same() {
        let slow = |ms: u64| move || tokio::time::sleep(Duration::from_millis(ms));
        let lookups = Arc::new(Lookups::new(16));
        ask_in_vain(&lookups, 500, Silence::default()).await;
        let looked = lookups.look_up(Silence::default(), ANSWER_WAIT, slow(900));
        assert_eq!(looked.await, Some(()));
        // One that is alone has its whole time.
        let lookups = Lookups::new(8);
        let looked = lookups.look_up(Silence::default(), ANSWER_WAIT, slow(9_999));
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
