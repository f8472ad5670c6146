//! One page for everybody who asks for it at the same time. Five hundred clients that ask for `/metrics` again and again made a
//! page each, on the threads that answer autoscalers, which then waited for seconds.
//!
//! A page is told to those who asked before its making began, so nobody is told what was so before he asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// After a page was made the next one waits so long for whoever else asks.
const REST: Duration = Duration::from_millis(20);

/// The page of own metrics in each format.
#[derive(Default)]
pub(super) struct OwnPages {
    pub(super) text: SharedPage,
    pub(super) openmetrics: SharedPage,
}

/// A page that is made for all who ask for it.
#[derive(Default)]
pub(super) struct SharedPage {
    /// How often it was asked for.
    asked: AtomicU64,
    /// Held while a page is made: the others wait for that page, or for their turn to make the next.
    newest: Mutex<Option<Made>>,
}

struct Made {
    /// So many had asked when its making began.
    asked: u64,
    at: Instant,
    page: Bytes,
}

impl SharedPage {
    /// A page that is made from now on, by `make` or for somebody else who asks.
    pub(super) async fn get<F: Future<Output = String>>(&self, make: impl FnOnce() -> F) -> Bytes {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut newest = self.newest.lock().await;
        if let Some(made) = &*newest {
            if made.asked >= number {
                return made.page.clone();
            }
            tokio::time::sleep_until(made.at + REST).await;
        }
        let asked = self.asked.load(Ordering::Relaxed);
        let page = Bytes::from(make().await);
        *newest = Some(Made {
            asked,
            at: Instant::now(),
            page: page.clone(),
        });
        page
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Time passes as the test lets it.
    #[tokio::test(start_paused = true)]
    async fn whoever_asks_at_the_same_time_is_told_the_same_page() {
        let shared = SharedPage::default();
        let made = Cell::new(0);
        let make = || async {
            made.set(made.get() + 1);
            tokio::time::sleep(Duration::from_millis(2)).await;
            format!("page {}", made.get())
        };
        let ask = || shared.get(make);
        assert_eq!(ask().await, "page 1");
        assert_eq!(ask().await, "page 2", "nobody is told an older one");
        for _ in 0..10 {
            let before = made.get();
            let all = futures_util::future::join_all((0..500).map(|_| ask())).await;
            // The first of them may begin before the others have asked.
            assert!(made.get() - before <= 2, "{}", made.get() - before);
            assert!(all.iter().all(|page| *page != format!("page {before}")));
        }
        // One who gives up while he makes it leaves his turn to the next.
        let left = tokio::time::timeout(Duration::from_millis(1), ask()).await;
        assert!(left.is_err());
        assert_eq!(ask().await, format!("page {}", made.get()));
    }
}
