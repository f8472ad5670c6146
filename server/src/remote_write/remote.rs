//! The task of one receiver: a round once every `batch_send_deadline`, until it is told to end.

use std::sync::Arc;
use std::time::Duration;

use stillwell_adapters::remote_write::outgoing;
use stillwell_engine::Reader;
use stillwell_engine::feed::{Feed, WindowOptions};
use stillwell_engine::labels::Labels;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use super::cursors::CursorFile;
use super::delivery::Receiver;
use super::families::Families;
use super::round::{Again, Round};
use super::shards::Shards;

/// Scrapes of one target in a round, so that one that makes up for an outage holds little.
const WINDOW_SAMPLES_MAX: usize = 512;
/// Types and help texts are looked at again after this.
const FAMILIES_AGAIN: Duration = Duration::from_secs(60);
/// At the end, what is left is sent for at most so long.
const DRAIN: Duration = Duration::from_secs(5);
/// Writing the cursor takes at most such a part of the time.
const CURSOR_REST_TIMES: u32 = 20;
/// ... and happens at most this often.
const CURSOR_REST_MIN: Duration = Duration::from_secs(1);
/// A round that takes so many deadlines needs more shards; one that takes such a part of one is quick.
const QUICK_PART: u32 = 10;
/// After so many quick rounds in a row half of the shards will do.
const QUICK_ROUNDS: u32 = 30;

/// A receiver and where its feed stands.
pub(super) struct Remote {
    pub(super) receiver: Arc<Receiver>,
    pub(super) feed: Feed,
    pub(super) external: Labels,
    pub(super) reader: Reader,
    pub(super) file: Option<CursorFile>,
    /// Turns true when sending begins.
    pub(super) open: watch::Receiver<bool>,
    /// Changes when signals say something new, for a receiver that gets it.
    pub(super) signals_stored: Option<watch::Receiver<()>>,
}

struct Running {
    remote: Remote,
    round: Round,
    shards: Shards,
    families_at: Option<Instant>,
    metadata_at: Option<Instant>,
    quick_rounds: u32,
    cursor_due: Instant,
    cursor_failed: bool,
}

impl Remote {
    /// Sends until `quit` turns true. Answers the feed, for another configuration of the same receiver.
    pub(super) async fn run(mut self, mut quit: watch::Receiver<bool>) -> Feed {
        // The feed may come from a configuration whose relabelling was another.
        self.feed.show_all_again();
        let queue = &self.receiver.config.queue;
        let deadline = Duration::from_millis(queue.deadline_ms);
        let shards = usize::try_from(queue.shards_min).unwrap_or(1);
        let mut running = Running {
            round: Round::new(&self.receiver, self.external.clone()),
            shards: Shards::start(&self.receiver, shards),
            remote: self,
            families_at: None,
            metadata_at: None,
            quick_rounds: 0,
            cursor_due: Instant::now(),
            cursor_failed: false,
        };
        let mut signals_stored = running.remote.signals_stored.take();
        let mut open = running.remote.open.clone();
        tokio::select! {
            _ = open.wait_for(|open| *open) => {}
            _ = quit.wait_for(|quit| *quit) => {}
        }
        let mut next = Instant::now() + deadline;
        let mut is_last = false;
        let all_sent = loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = changed(&mut signals_stored) => {}
                _ = quit.wait_for(|quit| *quit) => is_last = true,
            }
            next = Instant::now() + deadline;
            // A round that is given up half-way would be sent twice: it is only given up at the end.
            let mut ending = quit.clone();
            let patience = async {
                ending.wait_for(|quit| *quit).await.ok();
                tokio::time::sleep(DRAIN).await;
            };
            tokio::select! {
                () = running.catch_up(deadline) => {}
                () = patience => break false,
            }
            if is_last {
                break true;
            }
        };
        if !all_sent {
            let remote = &running.remote.receiver.config.name;
            warn!(
                remote,
                "samples are left that were not sent; with --storage.path they are sent after a restart"
            );
        }
        running.write_cursor().await;
        running.remote.feed
    }
}

/// Ends when what signals say has changed; never for a receiver that does not get it.
async fn changed(signals_stored: &mut Option<watch::Receiver<()>>) {
    let changed = match signals_stored {
        Some(stored) => stored.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending().await // whoever stored them has ended
    }
}

impl Running {
    /// Makes rounds until nothing is left that is old enough to be sent.
    async fn catch_up(&mut self, deadline: Duration) {
        loop {
            let began = Instant::now();
            let now = self.remote.receiver.clock.now();
            self.remote.receiver.look(&self.remote.feed);
            let options = WindowOptions {
                now,
                samples_max: WINDOW_SAMPLES_MAX,
                interval_ms: self.remote.receiver.config.interval_ms.map(|ms| ms as i64),
            };
            if !self.remote.feed.open(&options) {
                return;
            }
            self.send_window().await;
            let is_cut = self.remote.feed.is_cut();
            let lost = self.remote.feed.close();
            self.remote.receiver.counts.too_old.add(outgoing::Counts {
                samples: lost,
                ..outgoing::Counts::default()
            });
            self.remote.receiver.look(&self.remote.feed);
            if self.cursor_due <= Instant::now() {
                self.write_cursor().await;
            }
            self.resize(began.elapsed(), deadline);
            // With intervals the rest is not whole yet, unless there is much of it.
            let pending = self.remote.feed.pending();
            let behind = pending
                .oldest_ms
                .map_or(0, |oldest_ms| now.ms() - oldest_ms);
            let has_more = match options.interval_ms {
                Some(interval_ms) => is_cut && behind > 3 * interval_ms,
                None => is_cut,
            };
            if !has_more {
                return;
            }
        }
    }

    /// Sends the open window, again where that is needed.
    async fn send_window(&mut self) {
        loop {
            self.look_at_families();
            let with_metadata = self.metadata_due();
            let sent = self
                .round
                .send(&mut self.remote.feed, &mut self.shards, with_metadata)
                .await;
            match sent {
                Ok(()) => return,
                Err(again) => {
                    if let Again::Ended = again {
                        let remote = &self.remote.receiver.config.name;
                        warn!(remote, "a shard has ended; what it had is sent again");
                    }
                    // What is under way is of no use any more, and order is kept only where none is.
                    self.shards = Shards::start(&self.remote.receiver, self.shards.len());
                    self.remote.feed.rewind();
                }
            }
        }
    }

    fn look_at_families(&mut self) {
        let config = &self.remote.receiver.config;
        let wanted = config.metadata.send || config.extremes != Default::default();
        let is_old = self
            .families_at
            .is_none_or(|at| at.elapsed() >= FAMILIES_AGAIN);
        if wanted && is_old {
            self.families_at = Some(Instant::now());
            self.round.set_families(Families::read(&self.remote.reader));
        }
    }

    fn metadata_due(&mut self) -> bool {
        let metadata = &self.remote.receiver.config.metadata;
        let interval = Duration::from_millis(metadata.interval_ms);
        let is_due = self.metadata_at.is_none_or(|at| at.elapsed() >= interval);
        if metadata.send && is_due {
            self.metadata_at = Some(Instant::now());
            return true;
        }
        false
    }

    /// More shards where a round takes longer than the time until the next, fewer where they idle.
    fn resize(&mut self, took: Duration, deadline: Duration) {
        let queue = &self.remote.receiver.config.queue;
        let (min, max) = (queue.shards_min as usize, queue.shards_max as usize);
        let count = self.shards.len();
        self.quick_rounds = match took < deadline / QUICK_PART {
            true => self.quick_rounds + 1,
            false => 0,
        };
        let wanted = match took {
            took if took > deadline => (count * 2).min(max),
            _ if self.quick_rounds >= QUICK_ROUNDS => (count / 2).max(min),
            _ => count,
        };
        if wanted != count {
            self.quick_rounds = 0;
            self.shards = Shards::start(&self.remote.receiver, wanted);
        }
    }

    /// Writes where the feed stands. What goes wrong is logged once.
    async fn write_cursor(&mut self) {
        let Some(file) = self.remote.file.clone() else {
            return;
        };
        let began = Instant::now();
        let cursor = self.remote.feed.cursor_bytes();
        let path = format!("{file:?}");
        let written = tokio::task::spawn_blocking(move || file.write(&cursor)).await;
        let rest = (began.elapsed() * CURSOR_REST_TIMES).max(CURSOR_REST_MIN);
        self.cursor_due = Instant::now() + rest;
        match written {
            Ok(Ok(())) => self.cursor_failed = false,
            Ok(Err(error)) if !std::mem::replace(&mut self.cursor_failed, true) => {
                warn!(path, %error, "where sending stands cannot be written; after a restart samples may be sent twice");
            }
            Ok(Err(_)) | Err(_) => {} // logged already, or a panic that was
        }
    }
}
