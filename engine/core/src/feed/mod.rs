//! Feeds: the samples of the store from a cursor on, for whoever sends them elsewhere.
//!
//! A feed remembers for every clock the next scrape, and for every series with explicit timestamps the newest sample, that
//! was taken. It copies nothing when samples are committed: they lie in history, and a reader that falls behind costs no
//! memory. It takes them in *windows*. [`Feed::open`] notes where each clock ends, [`Feed::read`] yields the samples up to
//! there series by series, and [`Feed::close`] moves the cursor, once all of them are dealt with. Without it the next
//! window begins where this one did. So a series' samples come in order, and each at least once.
//!
//! The store is locked for [`READ_BATCH_SERIES`](crate::limits::READ_BATCH_SERIES) series at a time, as by any reader.
//! Budget: 1 us for a series of which something is new, 5 ns for one of which nothing is. Bench: `remote_write`.

mod cursor;
mod passed_over;
mod window;

use std::sync::Arc;

use parking_lot::RwLock;

use crate::labels::Labels;
use crate::promql::select::Samples;
use crate::reader::Reader;
use crate::store::{Exemplar, Store};
use crate::time::Timestamp;

use cursor::Cursor;
use passed_over::PassedOver;
use window::Window;

/// The samples of the store in windows. One reader owns it.
pub struct Feed {
    store: Arc<RwLock<Store>>,
    cursor: Cursor,
    window: Option<Window>,
    /// The window before took all there was, so what a series shows before the cursor is nothing new.
    is_level: bool,
    passed_over: PassedOver,
}

/// What the reader of a feed wants of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Its samples, in later windows as well.
    Wanted,
    /// Nothing, ever: later windows pass over it, which costs 2 ns.
    Never,
}

/// How far a window reaches.
#[derive(Clone, Copy, Debug)]
pub struct WindowOptions {
    /// The time.
    pub now: Timestamp,
    /// Scrapes of one target, and samples of one series with explicit timestamps.
    pub samples_max: usize,
    /// Only whole intervals of this length, in milliseconds, where it is given: up to the one in which the newest scrape
    /// of a target lies, or a whole one before now.
    pub interval_ms: Option<i64>,
}

/// One series of a window.
#[derive(Clone, Copy, Debug)]
pub struct FedSeries<'a> {
    /// A number that stays the series' own while it exists.
    pub number: u32,
    /// Its labels, the metric name among them.
    pub labels: &'a Labels,
    /// Its samples, ascending in time, with stale markers.
    pub samples: &'a Samples,
}

/// What has not been taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// When the oldest of it was scraped, in milliseconds; `None` where there is nothing. Explicit timestamps do not count.
    pub oldest_ms: Option<i64>,
    /// The newest scrape of all, taken or not.
    pub newest_ms: Option<i64>,
    /// Scrapes of targets.
    pub scrapes: u64,
}

impl Feed {
    /// One that begins with what is committed from now on.
    pub fn from_now(reader: &Reader) -> Feed {
        let store = Arc::clone(reader.shared_store());
        let cursor = Cursor::end_of(&store.read());
        Feed::at(store, cursor)
    }

    /// One that goes on where the cursor of [`Feed::cursor_bytes`] stood, also in a store that was restored from a snapshot.
    /// Error: the bytes are no cursor.
    pub fn restored(reader: &Reader, bytes: &[u8]) -> Result<Feed, &'static str> {
        let store = Arc::clone(reader.shared_store());
        let cursor = Cursor::read(&store.read(), bytes)?;
        Ok(Feed::at(store, cursor))
    }

    fn at(store: Arc<RwLock<Store>>, cursor: Cursor) -> Feed {
        Feed {
            store,
            cursor,
            window: None,
            is_level: false,
            passed_over: PassedOver::default(),
        }
    }

    /// Every series is shown again, also those in which there was no interest.
    pub fn show_all_again(&mut self) {
        self.passed_over = PassedOver::default();
    }

    /// Samples of the open window that were passed over so far, as far as that can be told without reading them.
    pub fn samples_passed_over(&self) -> u64 {
        self.window.as_ref().map_or(0, Window::samples_passed_over)
    }

    /// The cursor as bytes: times, not numbers of scrapes, so that it fits a snapshot of any moment.
    pub fn cursor_bytes(&self) -> Vec<u8> {
        self.cursor.bytes(&self.store)
    }

    /// Begins a window; one that is open is given up. False: there is nothing new.
    pub fn open(&mut self, options: &WindowOptions) -> bool {
        self.window = None;
        self.cursor.forget_ended(&self.store);
        let store = self.store.read();
        let window = Window::new(&store, &self.cursor, options, self.is_level);
        drop(store);
        let has_more = window.has_scrapes() || self.cursor.has_explicit(&self.store);
        self.window = has_more.then_some(window);
        has_more
    }

    /// Whether the open window leaves something for the next.
    pub fn is_cut(&self) -> bool {
        self.window.as_ref().is_some_and(Window::is_cut)
    }

    /// Calls `visit` for some series of the window that have samples in it; it answers whether it wants more of them. False:
    /// these were the last.
    pub fn read(&mut self, visit: &mut dyn FnMut(FedSeries<'_>) -> Interest) -> bool {
        match &mut self.window {
            Some(window) => window.read(&self.store, &self.cursor, &mut self.passed_over, visit),
            None => false,
        }
    }

    /// Begins the open window anew.
    pub fn rewind(&mut self) {
        if let Some(window) = &mut self.window {
            window.rewind();
        }
    }

    /// The exemplars that were not taken, oldest first, at most so many; and how many were lost before. They count as taken
    /// when the window is closed.
    pub fn exemplars(&mut self, count_max: usize) -> (Vec<(Labels, Exemplar)>, u64) {
        let Some(window) = &mut self.window else {
            return (Vec::new(), 0);
        };
        let store = self.store.read();
        let (found, next) = store.exemplars.since(self.cursor.exemplars, count_max);
        let lost = next - self.cursor.exemplars - found.len() as u64;
        window.exemplars = Some(next);
        drop(store);
        let copy = found
            .iter()
            .map(|at| (at.series.clone(), at.exemplar.clone()));
        (copy.collect(), lost)
    }

    /// Everything of the window is dealt with: the next begins after it. Answers how many samples of it the memory limit had
    /// taken before they were read, at most: what a series did not have yet counts as well.
    pub fn close(&mut self) -> u64 {
        let Some(window) = self.window.take() else {
            return 0;
        };
        self.is_level = !window.is_cut();
        let lost = window.lost();
        window.advance(&mut self.cursor);
        lost
    }

    /// What has not been taken.
    pub fn pending(&self) -> Pending {
        self.cursor.pending(&self.store.read())
    }
}
