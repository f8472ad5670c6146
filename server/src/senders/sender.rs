//! One sender: which of its replicas is taken, and when what it has sent makes a page.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use stillwell_adapters::time::rfc3339;
use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;
use tokio::sync::Notify;

use super::before::Sent;
use super::known::{FIRST_SILENCE_MS, Known, Newest, SERIES_MAX};
use super::memory::SenderMemory;
use crate::clock::Clock;
use crate::scrape::{WritesPages, WrittenPage};

/// A sender.
#[derive(Clone)]
pub(super) struct Sender(Arc<Inner>);

struct Inner {
    name: String,
    times: Times,
    /// After so long without a sample a series counts as ended.
    forget_ms: AtomicI64,
    clock: Arc<Clock>,
    known: Mutex<Known>,
    /// A batch was taken.
    news: Notify,
}

/// When a sender has a page, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Its newest sample is no older than this, or there is no page.
    pub(super) age_ms_max: i64,
    /// When this program began to listen without knowing who had sent what before. What begins right after that may have gone on
    /// for long, with series that come less often than every interval.
    pub(super) listens_since_ms: Option<i64>,
}

impl Times {
    /// How long a sender that sends since `since_ms` has to be waited for until every series has come.
    fn first_wait_ms(self, since_ms: i64) -> i64 {
        let interval_ms = self.age_ms_max / 2; // two intervals are the longest silence
        let since_start = |start_ms: i64| since_ms.saturating_sub(start_ms);
        match self.listens_since_ms.map(since_start) {
            Some(ms) if ms < FIRST_SILENCE_MS => interval_ms.max(FIRST_SILENCE_MS),
            _ => interval_ms,
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sender {:?}", self.0.name)
    }
}

impl Sender {
    pub(super) fn new(
        name: &str,
        times: Times,
        clock: Arc<Clock>,
        memory: Arc<SenderMemory>,
    ) -> Sender {
        Sender(Arc::new(Inner {
            name: name.to_owned(),
            times,
            forget_ms: AtomicI64::new(i64::MAX),
            clock,
            known: Mutex::new(Known::new(memory)),
            news: Notify::new(),
        }))
    }

    /// Adds what was known before this program started of the sender that is this target.
    pub(super) fn remember(&self, target: &Labels, sent: Sent) {
        let now_ms = self.0.clock.now().ms();
        self.0.known.lock().remember(target, sent, now_ms);
    }

    /// What a snapshot has to know beside its page: series that are silent.
    pub(super) fn silent(&self) -> Sent {
        let now_ms = self.0.clock.now().ms();
        self.0.known.lock().silent(now_ms, self.0.times.age_ms_max)
    }

    /// When it has last sent something that was new then.
    pub(super) fn newest_ms(&self) -> Option<i64> {
        self.0.known.lock().newest_ms
    }

    /// Sets after how long without a sample a series counts as ended, in milliseconds.
    pub(super) fn set_forget_ms(&self, ms: i64) {
        self.0.forget_ms.store(ms, Ordering::Relaxed);
    }

    /// Takes what a replica has sent in one batch, all of it before the next page is written. Answers how many of the series
    /// there is no place for.
    pub(super) fn take(&self, replica: &str, batch: Vec<Newest>) -> usize {
        let now_ms = self.0.clock.now().ms();
        let Some(newest_ms) = batch.iter().map(|one| one.at_ms.min(now_ms)).max() else {
            return 0;
        };
        let age_ms_max = self.0.times.age_ms_max;
        let mut known = self.0.known.lock();
        if !known.takes(replica, newest_ms, age_ms_max) {
            return 0; // another one's are taken
        }
        let silent = known
            .newest_ms
            .is_none_or(|before_ms| now_ms.saturating_sub(before_ms) > age_ms_max);
        if silent {
            known.since_ms = now_ms;
        }
        known.newest_ms = known.newest_ms.max(Some(newest_ms));
        known.came_ms = Some(now_ms);
        let refused = batch.into_iter().map(|one| !known.take(one, now_ms));
        let refused = refused.filter(|refused| *refused).count();
        self.0.news.notify_one();
        refused
    }

    /// The page as of now. Error: it has sent nothing for too long, or not all may have come.
    fn written(&self) -> Result<WrittenPage, String> {
        let Inner { name, times, .. } = &*self.0;
        let (now_ms, age_ms_max) = (self.0.clock.now().ms(), times.age_ms_max);
        let forget_ms = self.0.forget_ms.load(Ordering::Relaxed);
        let mut known = self.0.known.lock();
        let Some(newest_ms) = known.newest_ms else {
            return Err(format!("sender {name:?} has sent nothing yet"));
        };
        if now_ms.saturating_sub(newest_ms) > age_ms_max {
            let comes = |came_ms: i64| now_ms.saturating_sub(came_ms) <= age_ms_max;
            if known.came_ms.is_some_and(comes) {
                return Err(format!(
                    "what sender {name:?} sends is older than {age_ms_max} ms when it comes: its clock is behind, or it sends late"
                ));
            }
            let since = rfc3339(Timestamp::from_ms(newest_ms));
            return Err(format!("sender {name:?} has sent nothing since {since}"));
        }
        let sends_ms = now_ms.saturating_sub(known.since_ms);
        let wait_ms = times.first_wait_ms(known.since_ms);
        if sends_ms < age_ms_max / 2 || (sends_ms < wait_ms && !known.sends_signals()) {
            let since = rfc3339(Timestamp::from_ms(known.since_ms));
            return Err(format!(
                "sender {name:?} sends since {since}; after {wait_ms} ms every series has come"
            ));
        }
        if known.is_incomplete(now_ms, forget_ms) {
            return Err(format!(
                "sender {name:?} sends series for which there is no place: more than {SERIES_MAX}, or more than all senders may \
                 hold together"
            ));
        }
        known.forget(now_ms, newest_ms, forget_ms);
        let (text, not_known) = known.page(name, now_ms, age_ms_max);
        Ok(WrittenPage {
            body: text.into_bytes(),
            not_known,
        })
    }
}

impl WritesPages for Sender {
    /// Written on a thread that may block: a hundred thousand series take some tens of milliseconds.
    fn page(&self) -> Pin<Box<dyn Future<Output = Result<WrittenPage, String>> + Send + '_>> {
        let sender = self.clone();
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || sender.written()).await;
            written.map_err(|_| "writing its page failed".to_owned())?
        })
    }

    fn news(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.news.notified())
    }
}

#[cfg(test)]
mod tests;
