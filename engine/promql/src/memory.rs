//! How much memory queries may hold: one by one, and all together.
//!
//! A query counts what it holds as it grows: samples, the copies that a [`crate::select::View`] makes for it, label texts
//! that it builds. What is counted is taken from the shared [`QueryMemory`] in steps, so that a small query touches it
//! once. The newest query that does not fit any more is refused; those that run go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::QueryError;

/// What all queries of a process, or those of one kind, may hold together.
#[derive(Debug)]
pub struct QueryMemory {
    bytes_max: u64,
    used: AtomicU64,
    /// Where the bytes come from that do not fit, ...
    beside: Option<Arc<QueryMemory>>,
    /// ... and how many of them are held.
    borrowed: AtomicU64,
}

impl QueryMemory {
    /// At most so many bytes.
    pub fn new(bytes_max: u64) -> QueryMemory {
        QueryMemory {
            bytes_max,
            used: AtomicU64::new(0),
            beside: None,
            borrowed: AtomicU64::new(0),
        }
    }

    /// At most so many bytes that nobody else takes, and what is left of `beside`.
    pub fn with_reserve(bytes_max: u64, beside: Arc<QueryMemory>) -> QueryMemory {
        QueryMemory {
            beside: Some(beside),
            ..QueryMemory::new(bytes_max)
        }
    }

    /// What queries hold now, in bytes, rounded up to the steps in which they take it; without what is taken from beside.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// What they may hold, in bytes, with all of what is beside.
    pub fn bytes_max(&self) -> u64 {
        let beside = self.beside.as_ref().map_or(0, |beside| beside.bytes_max());
        self.bytes_max + beside
    }

    fn take(&self, bytes: u64) -> bool {
        let add = |used: u64| {
            let sum = used.checked_add(bytes)?;
            (sum <= self.bytes_max).then_some(sum)
        };
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        if taken.is_ok() {
            return true;
        }
        let borrowed = self
            .beside
            .as_ref()
            .is_some_and(|beside| beside.take(bytes));
        if borrowed {
            self.borrowed.fetch_add(bytes, Ordering::Relaxed);
        }
        borrowed
    }

    /// What was borrowed goes first.
    fn give_back(&self, bytes: u64) {
        let mut returned = 0;
        if let Some(beside) = &self.beside {
            let less = |borrowed: u64| {
                returned = borrowed.min(bytes);
                Some(borrowed - returned)
            };
            self.borrowed
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                .ok(); // it always has a next value
            beside.give_back(returned);
        }
        self.used.fetch_sub(bytes - returned, Ordering::Relaxed);
    }
}

/// Bytes that a query takes from the shared memory at a time.
const STEP_BYTES: u64 = 1 << 20;

/// What one query holds, on whatever threads it runs.
#[derive(Debug)]
pub struct MemoryLease {
    memory: Option<Arc<QueryMemory>>,
    bytes_max: u64,
    held: AtomicU64,
    taken: AtomicU64,
}

impl MemoryLease {
    /// For a query that may hold `bytes_max` bytes, taken from `memory` where there is one.
    pub fn new(memory: Option<Arc<QueryMemory>>, bytes_max: u64) -> MemoryLease {
        MemoryLease {
            memory,
            bytes_max,
            held: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        }
    }

    /// The query holds so many bytes more. Error: it, or all queries together, would hold too much.
    #[inline]
    pub fn hold(&self, bytes: u64) -> Result<(), QueryError> {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let held = before.saturating_add(bytes);
        if held > self.taken.load(Ordering::Relaxed) {
            return self.take_more(held);
        }
        Ok(())
    }

    /// What it holds now, in bytes.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Gives back what [`MemoryLease::hold`] counted.
    #[inline]
    pub fn release(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cold]
    fn take_more(&self, held: u64) -> Result<(), QueryError> {
        if held > self.bytes_max {
            return Err(QueryError::Execution(format!(
                "the query would hold more than {} MB in memory: select fewer series, a shorter range or a longer step",
                self.bytes_max >> 20
            )));
        }
        // Two threads that come here at once take a step more than they need.
        let taken = self.taken.load(Ordering::Relaxed);
        let more = held.saturating_sub(taken).max(STEP_BYTES);
        let fits = self.memory.as_ref().is_none_or(|memory| memory.take(more));
        if !fits {
            let bytes_max = self.memory.as_ref().map_or(0, |memory| memory.bytes_max());
            return Err(QueryError::Overloaded(format!(
                "queries hold all of the {} MB that they may hold together: ask again later, or for less",
                bytes_max >> 20
            )));
        }
        self.taken.fetch_add(more, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            memory.give_back(self.taken.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_refused_past_its_own_share_and_past_what_all_may_hold() {
        let memory = Arc::new(QueryMemory::new(3 << 20));
        let lease = |bytes_max| MemoryLease::new(Some(Arc::clone(&memory)), bytes_max);
        let first = lease(2 << 20);
        assert!(first.hold(2 << 20).is_ok());
        assert!(matches!(first.hold(1), Err(QueryError::Execution(_))));
        let second = lease(2 << 20);
        assert!(second.hold(10).is_ok());
        second.release(10);
        assert!(
            second.hold(1 << 20).is_ok(),
            "what was given back counts once"
        );
        assert!(matches!(second.hold(1), Err(QueryError::Overloaded(_))));
        assert_eq!(memory.used(), 3 << 20);
        drop(first);
        assert!(lease(2 << 20).hold(1).is_ok());
        drop(second);
        assert_eq!(memory.used(), 0);
    }

    /// 200 dashboards held all memory, and what KEDA asks through `/guarded` was refused.
    #[test]
    fn a_reserve_is_taken_by_nobody_else_and_what_is_beside_by_all() {
        let shared = Arc::new(QueryMemory::new(4 << 20));
        let reserve = QueryMemory::with_reserve(2 << 20, Arc::clone(&shared));
        let reserve = Arc::new(reserve);
        let lease =
            |memory: &Arc<QueryMemory>| MemoryLease::new(Some(Arc::clone(memory)), 10 << 20);
        let strangers = lease(&shared);
        assert!(strangers.hold(4 << 20).is_ok());
        let ours = lease(&reserve);
        assert!(ours.hold(2 << 20).is_ok());
        assert!(matches!(ours.hold(1), Err(QueryError::Overloaded(_))));
        ours.release(1);
        drop(strangers);
        assert!(ours.hold(3 << 20).is_ok(), "what is beside is free");
        assert_eq!((reserve.used(), shared.used()), (2 << 20, 3 << 20));
        assert!(lease(&shared).hold(2 << 20).is_err());
        let other = lease(&reserve);
        assert!(other.hold(1 << 20).is_ok());
        drop(ours);
        assert_eq!((reserve.used(), shared.used()), (1 << 20, 0));
        drop(other);
        assert_eq!((reserve.used(), shared.used()), (0, 0));
    }
}
