//! Looks at what is asked for whenever a scrape has ended, and tells the streams what changed. On a thread of its own: it
//! may evaluate queries, and neither scraping nor the other APIs shall wait for that.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use stillwell_engine::Timestamp;
use stillwell_engine::signal::SignalId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::cost::Cost;
use super::resolve::SourceKey;
use super::triggers::{Inner, Triggers};
use crate::scrape::Scraper;

/// Time alone ends a hold or a latch: everything is looked at this often.
const ALL_MS: i64 = 250;
/// Pools at zero are looked at, and what is forgotten is forgotten, this often.
const SLOW_MS: i64 = 1_000;
/// What queries that are not cheap may take of one round.
const ROUND: Duration = Duration::from_millis(20);

/// Starts the thread; it ends with `quit`.
pub(in crate::serve) fn start(
    triggers: &Triggers,
    scraper: Scraper,
    mut quit: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let inner = Arc::clone(&triggers.0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    std::thread::Builder::new()
        .name("keda".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = run(&inner, &scraper) => {}
                    _ = quit.wait_for(|quit| *quit) => {}
                }
            });
        })
}

async fn run(inner: &Inner, scraper: &Scraper) {
    let (mut all, mut slow) = (Timestamp::MIN, Timestamp::MIN);
    loop {
        let scraped = scraper.shared().scraped.notified();
        tokio::pin!(scraped);
        scraped.as_mut().enable(); // before looking, so that no scrape is missed
        let now = inner.clock.now();
        if now.since_ms(slow) >= SLOW_MS {
            slow = now;
            inner.expire(now);
            inner.scale_from_zero.lock().look(&inner.reader, now);
        }
        let whole = now.since_ms(all) >= ALL_MS;
        if whole {
            all = now;
        }
        inner.round(whole);
        // Waking up at every scrape to find that nobody asks would be a tenth of what scraping costs.
        let asked = inner.is_asked();
        let pause_ms = if asked { ALL_MS } else { SLOW_MS };
        tokio::select! {
            () = scraped, if asked => {}
            () = inner.poked.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(pause_ms as u64)) => {}
        }
    }
}

impl Inner {
    /// Whether anything is asked for at all; whoever asks first pokes.
    fn is_asked(&self) -> bool {
        !self.state.lock().sources.is_empty()
    }

    /// Looks at the sources for which a page has come, or at all; those that cost much come last, and not all at once.
    fn round(&self, whole: bool) {
        let mut work = self.changed(whole);
        work.sort_by_key(|(_, _, cost)| (!cost.is_cheap(), cost.due));
        let began = Instant::now();
        for (key, id, cost) in work {
            if !cost.is_cheap() && began.elapsed() > ROUND {
                self.forget_seen(&key); // its turn comes in the next round
                continue;
            }
            let now = self.clock.now();
            let evaluate = || self.reader.signal(id, now, &[]);
            let is_named = matches!(key, SourceKey::Named(_));
            let looked = if is_named || cost.is_light() {
                let looked = Instant::now();
                Some((evaluate(), looked.elapsed()))
            } else {
                self.throttle.take(Duration::ZERO, evaluate)
            };
            let Some((reading, took)) = looked else {
                self.forget_seen(&key);
                continue;
            };
            self.hand_out(&key, Some(id), (reading.as_ref(), took), now, None);
        }
    }

    /// The sources to look at.
    fn changed(&self, whole: bool) -> Vec<(SourceKey, SignalId, Cost)> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let found: Vec<(SourceKey, SignalId)> = state
            .sources
            .iter()
            .filter_map(|(key, slot)| Some((key.clone(), self.signal_of(key, slot)?)))
            .collect();
        let pages = self.reader.pages(found.iter().map(|(_, id)| *id));
        let mut work = Vec::new();
        for ((key, id), pages) in found.into_iter().zip(pages) {
            let Some(slot) = state.sources.get_mut(&key) else {
                continue;
            };
            let seen = Some((id, pages));
            if (slot.seen == seen && !whole) || slot.cost.due.is_some_and(|due| due > now) {
                continue;
            }
            slot.seen = seen;
            work.push((key, id, slot.cost));
        }
        work
    }

    fn forget_seen(&self, key: &SourceKey) {
        if let Some(slot) = self.state.lock().sources.get_mut(key) {
            slot.seen = None;
        }
    }
}
