//! Bytes of pages under way, of all targets together: what is being read, what was read and waits to be parsed, and what it
//! inflates to. Drawn from the memory limit of the process.
//!
//! A page takes from the part that is for its size: small pages never compete with large ones, and a target whose last page
//! was good has a part for pages like that one. Who finds its part full takes from the part of large pages, and is refused where
//! that is full, too; who was refused names a read that does not get on, which then ends ([`Progress`]).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Bytes of a page that count against nothing: 1,000 targets that stall hold 128 MiB so, and an ordinary page is smaller.
const UNCOUNTED_BYTES: u64 = 128 << 10;
/// A page of more is large.
const SMALL_BYTES_MAX: u64 = 1 << 20;
/// Of the memory limit: an eighth, but not more: 256 MiB are many large pages at a time.
const PART: u64 = 8;
const BYTES_MAX: u64 = 256 << 20;
/// Not less, whatever the limit: small pages of some targets.
const BYTES_MIN: u64 = 8 << 20;
/// A read that has got less than so many bytes in this time does not get on, ...
const WINDOW: Duration = Duration::from_secs(1);
/// ... which a network of half a megabit per second does.
const WINDOW_BYTES: usize = 64 << 10;

/// What pages under way may hold, of what the process may.
pub fn page_share(bytes_max: u64) -> u64 {
    (bytes_max / PART).min(BYTES_MAX)
}

/// The parts, and what is held of each.
pub struct PageMemory {
    parts: [Part; 3],
    refused: AtomicU64,
}

struct Part {
    name: &'static str,
    bytes_max: u64,
    used: AtomicU64,
}

const SMALL: usize = 0;
const KNOWN: usize = 1;
const LARGE: usize = 2;

impl PageMemory {
    /// Of so many bytes: a quarter for small pages, a quarter for those like the last one, half for the others.
    pub(super) fn new(bytes_max: u64) -> Arc<PageMemory> {
        let bytes_max = bytes_max.max(BYTES_MIN);
        let part = |name, share| Part {
            name,
            bytes_max: bytes_max / share,
            used: AtomicU64::new(0),
        };
        Arc::new(PageMemory {
            parts: [part("small", 4), part("known", 4), part("large", 2)],
            refused: AtomicU64::new(0),
        })
    }

    /// What may be held, but for one page that is larger than its part and alone in it.
    pub fn bytes_max(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes_max).sum()
    }

    /// The bytes held, by part.
    pub fn held(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let parts = self.parts.iter();
        parts.map(|part| (part.name, part.used.load(Ordering::Relaxed)))
    }

    /// Pages that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// For one page of a target whose last good one took `known_bytes`; 0 where there was none.
    pub(super) fn lease(self: &Arc<Self>, known_bytes: u64) -> Lease {
        Lease {
            memory: Arc::clone(self),
            known_bytes,
            bytes: 0,
            part: SMALL,
        }
    }

    fn refuse(&self, bytes: u64) -> TooManyPages {
        self.refused.fetch_add(1, Ordering::Relaxed);
        TooManyPages {
            bytes,
            bytes_max: self.bytes_max(),
        }
    }
}

impl Part {
    /// Takes `bytes` for whoever holds `own` of it already. A page that is alone may be larger than the part.
    fn take(&self, bytes: u64, own: u64, alone: bool) -> bool {
        let add = |used: u64| {
            let sum = used.saturating_add(bytes);
            (sum <= self.bytes_max || alone && used == own).then_some(sum)
        };
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        taken.is_ok()
    }
}

/// Too much is under way for one page more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPages {
    /// What the page would hold.
    pub bytes: u64,
    /// What all may hold.
    pub bytes_max: u64,
}

impl fmt::Display for TooManyPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "too many large pages under way: this one needs {:.1} MB, and the pages that are being read may hold {} MB together; \
             raise --storage.memory.max, scrape less often, or let the targets show fewer series",
            self.bytes as f64 / 1e6,
            self.bytes_max / 1_000_000
        )
    }
}

/// What one page holds, until it is dropped.
pub struct Lease {
    memory: Arc<PageMemory>,
    known_bytes: u64,
    /// As the page says them, counted or not.
    bytes: u64,
    /// From where they are.
    part: usize,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} bytes)", self.bytes)
    }
}

impl Lease {
    /// The page's buffers are about to have so many bytes in all. Error: there is no room for it.
    pub(super) fn cover(&mut self, bytes: u64) -> Result<(), TooManyPages> {
        if bytes <= self.bytes || bytes <= UNCOUNTED_BYTES {
            self.hold(bytes.max(self.bytes));
            return Ok(());
        }
        let part = [self.part_of(bytes), LARGE].into_iter().find(|&part| {
            let own = if part == self.part { self.counted() } else { 0 };
            self.memory.parts[part].take(bytes - own, own, part != SMALL)
        });
        let Some(part) = part else {
            return Err(self.memory.refuse(bytes));
        };
        if part != self.part {
            self.give_back(self.counted());
        }
        (self.part, self.bytes) = (part, bytes);
        Ok(())
    }

    /// They have so many now, whether or not there was room for it: then others are refused.
    pub(super) fn hold(&mut self, bytes: u64) {
        if bytes.max(self.bytes) <= UNCOUNTED_BYTES {
            self.bytes = bytes;
            return;
        }
        self.give_back(self.counted());
        if bytes > self.bytes {
            self.part = self.part_of(bytes);
        }
        self.bytes = bytes;
        let used = &self.memory.parts[self.part].used;
        used.fetch_add(self.counted(), Ordering::Relaxed);
    }

    fn part_of(&self, bytes: u64) -> usize {
        match bytes {
            0..=SMALL_BYTES_MAX => SMALL,
            _ if bytes <= self.known_bytes => KNOWN,
            _ => LARGE,
        }
    }

    fn counted(&self) -> u64 {
        match self.bytes > UNCOUNTED_BYTES {
            true => self.bytes,
            false => 0,
        }
    }

    fn give_back(&self, bytes: u64) {
        let used = &self.memory.parts[self.part].used;
        used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.counted() {
            0 => {}
            counted => self.give_back(counted),
        }
    }
}

/// Watches whether a page that is being read gets on.
pub(super) struct Progress {
    since: Instant,
    bytes: usize,
    refused: u64,
}

impl Progress {
    pub(super) fn new(lease: &Lease) -> Progress {
        Progress {
            since: Instant::now(),
            bytes: 0,
            refused: lease.memory.refused(),
        }
    }

    /// Whether the page, of which so many bytes are there, has to give way: it holds memory, has not got on for a while, and
    /// others were refused meanwhile.
    pub(super) fn gives_way(&mut self, bytes: usize, lease: &Lease) -> bool {
        if self.since.elapsed() < WINDOW {
            return false;
        }
        let is_idle = bytes < self.bytes + WINDOW_BYTES;
        let refused = lease.memory.refused();
        if is_idle && refused != self.refused && lease.counted() > 0 {
            return true;
        }
        *self = Progress {
            since: Instant::now(),
            bytes,
            refused,
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn held(memory: &PageMemory) -> Vec<u64> {
        memory.held().map(|(_, bytes)| bytes).collect()
    }

    /// 20 targets that sent 54 of 60 MB each held 1.1 GB under a limit of 256 MB.
    #[test]
    fn large_pages_share_a_budget_that_small_and_known_ones_do_not_need() {
        let memory = PageMemory::new(32 * MB);
        let mut strangers: Vec<Lease> = (0..20).map(|_| memory.lease(0)).collect();
        let mut refused = 0;
        for bytes in 1..=54 {
            for lease in &mut strangers {
                refused += usize::from(lease.cover(bytes * MB).is_err());
            }
        }
        assert!(refused > 0);
        assert!(held(&memory)[LARGE] <= 16 * MB, "{:?}", held(&memory));
        // Uncounted, small, and like the last one.
        for (bytes, known_bytes) in [(100_000, 0), (MB, 0), (5 * MB, 5 * MB)] {
            assert_eq!(memory.lease(known_bytes).cover(bytes), Ok(()), "{bytes}");
        }
        let error = memory.lease(0).cover(16 * MB).expect_err("no room");
        assert!(error.to_string().starts_with("too many large pages"));
        drop(strangers);
        assert_eq!(held(&memory), [0, 0, 0]);
    }

    #[test]
    fn a_page_that_is_alone_may_be_larger_than_the_budget() {
        let memory = PageMemory::new(32 * MB);
        let mut alone = memory.lease(0);
        for bytes in [MB, 10 * MB, 30 * MB, 60 * MB] {
            assert_eq!(alone.cover(bytes), Ok(()));
        }
        assert!(memory.lease(0).cover(2 * MB).is_err());
        alone.hold(3 * MB);
        assert_eq!(held(&memory), [0, 0, 3 * MB]);
        let mut second = memory.lease(0);
        assert_eq!(second.cover(2 * MB), Ok(()));
        second.hold(40 * MB);
        assert!(alone.cover(4 * MB).is_err(), "what is there counts");
        drop((alone, second));
        assert_eq!(held(&memory), [0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_does_not_get_on_gives_way_to_who_was_refused() {
        let memory = PageMemory::new(32 * MB);
        let mut lease = memory.lease(0);
        assert_eq!(lease.cover(40 * MB), Ok(()));
        let mut progress = Progress::new(&lease);
        for (bytes, others, gives_way) in [
            (MB, false, false), // nobody needs its memory
            (MB, false, false),
            (2 * MB, true, false), // it gets on
            (2 * MB + 60_000, true, true),
        ] {
            if others {
                memory.lease(0).cover(2 * MB).expect_err("no room");
            }
            assert!(!progress.gives_way(bytes as usize, &lease));
            tokio::time::advance(WINDOW).await;
            assert_eq!(progress.gives_way(bytes as usize, &lease), gives_way);
        }
    }
}
