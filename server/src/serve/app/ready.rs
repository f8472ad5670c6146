//! Whether others should send requests here.

use std::sync::atomic::Ordering;

use super::App;
use crate::scrape::SETTLING_MS_MAX;

/// The notification while it ends.
const ENDING: &str = "Stillwell is shutting down.";

impl App {
    /// Whether numbers can be expected (S9d): each target of the start is known, or enough time has passed. Once ready
    /// the process stays so until it ends; a target that a reload adds makes nobody wait.
    pub fn ready(&self) -> bool {
        if self.draining.load(Ordering::Relaxed) {
            return false;
        }
        if self.ready.load(Ordering::Relaxed) {
            return true;
        }
        let now = self.clock.now();
        let waited_ms = now.since_ms(self.started);
        let settled = || {
            self.discovery.settled() && self.scraper.states().iter().all(|state| state.settled(now))
        };
        let ready = waited_ms >= SETTLING_MS_MAX as i64 || settled();
        self.ready.fetch_or(ready, Ordering::Relaxed);
        ready
    }

    /// Is not ready from now on: the process is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.notifications.add(ENDING, self.clock.wall_now());
    }
}
