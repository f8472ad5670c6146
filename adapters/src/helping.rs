//! Idle cores that help with a query: a query of many series is computed by as many threads as there are cores on which no
//! other query runs.
//!
//! A helping thread lives for one selector of one query. To start one takes some tens of microseconds, and evaluation asks
//! for none unless it has milliseconds of work. It gives way as the thread that started it does, whose nice value it has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use stillwell_engine::promql::Helpers;

/// Threads that help with one query at most: the thread that adds everything up keeps no more of them busy.
const HELPERS_MAX: usize = 7;

/// How many cores there are, and how many of them work on queries.
#[derive(Debug)]
pub(crate) struct Cores {
    count: usize,
    busy: AtomicUsize,
}

/// A core in use.
pub(crate) struct Core<'c>(&'c Cores);

impl Cores {
    /// As many as this process may use.
    pub(crate) fn of_the_machine() -> Cores {
        Cores::new(thread::available_parallelism().map_or(1, usize::from))
    }

    fn new(count: usize) -> Cores {
        Cores {
            count,
            busy: AtomicUsize::new(0),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// A query begins on this thread, whether a core is free or not.
    pub(crate) fn begin(&self) -> Core<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Core(self)
    }

    /// A core that no query uses.
    fn take(&self) -> Option<Core<'_>> {
        let more = |busy: usize| (busy < self.count).then_some(busy + 1);
        let taken = self
            .busy
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Core(self))
    }
}

impl Drop for Core<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Helpers for Cores {
    fn run(&self, helper: &(dyn Fn() + Sync), main: &mut dyn FnMut()) {
        let cores: Vec<Core<'_>> = std::iter::from_fn(|| self.take())
            .take(HELPERS_MAX)
            .collect();
        if cores.is_empty() {
            return main();
        }
        thread::scope(|scope| {
            for core in cores {
                let help = move || {
                    let _core = core;
                    helper();
                };
                let thread = thread::Builder::new().name("query".to_owned());
                // Where no thread can be had, the query is computed without it.
                thread.spawn_scoped(scope, help).ok();
            }
            main();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cores_without_a_query_help() {
        let cores = Cores::new(3);
        let helped = AtomicUsize::new(0);
        let run = || {
            helped.store(0, Ordering::Relaxed);
            let mut ran = false;
            let helper = || {
                helped.fetch_add(1, Ordering::Relaxed);
            };
            cores.run(&helper, &mut || ran = true);
            assert!(ran);
            helped.load(Ordering::Relaxed)
        };
        let first = cores.begin();
        assert_eq!(run(), 2);
        let second = cores.begin();
        assert_eq!(run(), 1);
        let third = cores.begin();
        assert_eq!(run(), 0, "there is no core without a query");
        drop((second, third));
        assert_eq!(run(), 2);
        drop(first);
        assert_eq!(cores.busy.load(Ordering::Relaxed), 0);
    }
}
