//! Where queries run: on threads of their own, so many of a kind at a time, each with a deadline and a share of the
//! memory that all of them may hold.
//!
//! What an autoscaler reads never waits for what somebody asks: reads of signals, queries through `/guarded` and
//! everything else have places of their own ([`Kind`]), and the threads give way to the rest of the process where a
//! core is short. Scraping has another runtime, so no query delays it. Of the queries of a kind as many compute at a time as
//! there are cores (`Turns`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use stillwell_engine::promql::{
    EvalOptions, Features, Helpers, Query, QueryError, QueryMemory, Stop,
};
use tokio::sync::Semaphore;

use crate::helping::Cores;
use crate::query_cache::QueryCache;
use crate::turns::{Turn, Turns};
use crate::worker_threads::WorkerThreads;

/// Kinds of work, by who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An autoscaler, or a person who asks what one is told: signals that are evaluated already, mostly.
    Scaler,
    /// Somebody who asks through `/guarded`: KEDA, or anybody.
    Guarded,
    /// Dashboards, rules, people: any PromQL.
    Query,
}

/// Reads by autoscalers at once. Each takes some microseconds, or one evaluation.
const SCALER_PLACES: usize = 64;

/// How much the threads of queries give way (nice value): a scrape or a read by an autoscaler gets the core first.
const NICE: i32 = 5;

/// A text of this length without patterns is read in some 20 us.
const SHORT_BYTES_MAX: usize = 1_000;

/// How many bytes queries may hold together where nothing else is said.
const MEMORY_BYTES_DEFAULT: u64 = 256 << 20;

/// Of that, `/guarded` and reads by autoscalers have such a part each that other queries cannot take. What they need beyond
/// it they share with those.
const RESERVE_PART: u64 = 8;

/// Runs queries.
pub struct QueryPool {
    scalers: Arc<Semaphore>,
    guarded: QuerySlots,
    queries: QuerySlots,
    timeout_ms: u64,
    memory: Memory,
    cores: Arc<Cores>,
    /// `None` where nothing but reads by autoscalers runs.
    threads: Option<WorkerThreads>,
    /// Queries that were read before.
    pub cache: QueryCache,
}

/// Queries of a kind: how many at a time, and which of them compute.
struct QuerySlots {
    all: Arc<Semaphore>,
    turns: Arc<Turns>,
}

impl QuerySlots {
    fn new(count: usize, cores: &Cores) -> QuerySlots {
        QuerySlots {
            all: Arc::new(Semaphore::new(count)),
            turns: Arc::new(Turns::new(cores.count())),
        }
    }
}

impl QueryPool {
    /// At most `concurrency_max` of a kind at a time, each at most `timeout_ms`, waiting included.
    pub fn new(concurrency_max: usize, timeout_ms: u64) -> QueryPool {
        let places = concurrency_max.max(1);
        let threads = WorkerThreads::new(2 * places, || {
            // Where it is not allowed, queries compete as before.
            let _ = rustix::process::nice(NICE);
        });
        let cores = Arc::new(Cores::of_the_machine());
        QueryPool {
            scalers: Arc::new(Semaphore::new(SCALER_PLACES)),
            guarded: QuerySlots::new(places, &cores),
            queries: QuerySlots::new(places, &cores),
            timeout_ms,
            memory: Memory::new(MEMORY_BYTES_DEFAULT),
            cores,
            threads: Some(threads),
            cache: QueryCache::default(),
        }
    }

    /// For work of [`Kind::Scaler`] alone: so many at a time, each at most `timeout_ms`.
    pub fn for_scalers(places: usize, timeout_ms: u64) -> QueryPool {
        let cores = Arc::new(Cores::of_the_machine());
        QueryPool {
            scalers: Arc::new(Semaphore::new(places)),
            guarded: QuerySlots::new(0, &cores),
            queries: QuerySlots::new(0, &cores),
            timeout_ms,
            memory: Memory::new(MEMORY_BYTES_DEFAULT),
            cores,
            threads: None,
            cache: QueryCache::default(),
        }
    }

    /// With another share of memory for all queries together.
    #[must_use]
    pub fn with_memory(mut self, bytes_max: u64) -> QueryPool {
        self.memory = Memory::new(bytes_max);
        self
    }

    /// Bytes that queries under way hold together.
    pub fn memory_used(&self) -> u64 {
        let kinds = [Kind::Scaler, Kind::Guarded, Kind::Query];
        kinds.iter().map(|kind| self.memory.of(*kind).used()).sum()
    }

    /// The deadline of a query that asks for none.
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    /// The query of a text: a remembered one, or one that is read here; on a thread of queries if it is long or has patterns,
    /// which may take longer to compile than scalers wait. The first error is that of running anything at all.
    pub async fn parse(
        &self,
        kind: Kind,
        timeout_ms: u64,
        text: &str,
        features: &Features,
    ) -> Result<Result<Query, QueryError>, QueryError> {
        if let Some(query) = self.cache.known(text, features) {
            return Ok(Ok(query));
        }
        let parsed = if text.len() <= SHORT_BYTES_MAX && !text.contains('~') {
            Query::parse(text, features)
        } else {
            let (owned, wanted) = (text.to_owned(), *features);
            let parsing = move |_: &Within| Ok(Query::parse(&owned, &wanted));
            self.run(kind, timeout_ms, parsing).await?
        };
        if let Ok(query) = &parsed {
            self.cache.remember(text, features, query);
        }
        Ok(parsed)
    }

    /// Runs `work`, which asks its argument now and then whether to stop. Dropping the future stops the work.
    pub async fn run<T: Send + 'static>(
        &self,
        kind: Kind,
        timeout_ms: u64,
        work: impl FnOnce(&Within) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let timeout_ms = timeout_ms.min(self.timeout_ms);
        let mut within = Within {
            flag: StopFlag::default(),
            turn: None,
            memory: Arc::clone(self.memory.of(kind)),
            bytes_max: self.memory.bytes_max / 2,
            cores: (kind == Kind::Query).then(|| Arc::clone(&self.cores)),
        };
        let cores = Arc::clone(&self.cores);
        let flag = within.flag.clone();
        let _canceled = CancelOnDrop(flag.clone());
        let running = async {
            let (places, turns) = match kind {
                Kind::Scaler => (&self.scalers, None),
                Kind::Guarded => (&self.guarded.all, Some(Arc::clone(&self.guarded.turns))),
                Kind::Query => (&self.queries.all, Some(Arc::clone(&self.queries.turns))),
            };
            let Ok(place) = Arc::clone(places).acquire_owned().await else {
                return Err(QueryError::Canceled(
                    "the server is shutting down".to_owned(),
                ));
            };
            let work = move || {
                let _place = place; // freed when the work ends, not when its client goes
                if let Some(turns) = turns {
                    let flag = within.flag.clone();
                    let Some(turn) = turns.begin(|| flag.get().is_some()) else {
                        return Err(QueryError::Canceled(
                            "query was canceled before its evaluation began".to_owned(),
                        ));
                    };
                    within.turn = Some(turn);
                }
                let _core = cores.begin();
                work(&within)
            };
            let failed =
                |why: String| Err(QueryError::Internal(format!("the query failed: {why}")));
            match (kind, &self.threads) {
                (Kind::Scaler, _) | (_, None) => {
                    let task = tokio::task::spawn_blocking(work).await;
                    task.unwrap_or_else(|error| failed(error.to_string()))
                }
                (_, Some(threads)) => {
                    let task = threads.run(work).map_err(QueryError::Overloaded)?;
                    let panicked = |_| failed("it panicked".to_owned());
                    task.await.unwrap_or_else(panicked)
                }
            }
        };
        match tokio::time::timeout(Duration::from_millis(timeout_ms), running).await {
            Ok(result) => result,
            Err(_) => {
                flag.raise(Stop::Timeout);
                Err(QueryError::Timeout(
                    "query timed out in expression evaluation".to_owned(),
                ))
            }
        }
    }
}

/// What queries may hold, by who waits for them.
struct Memory {
    /// Of all kinds.
    bytes_max: u64,
    queries: Arc<QueryMemory>,
    guarded: Arc<QueryMemory>,
    scalers: Arc<QueryMemory>,
}

impl Memory {
    fn new(bytes_max: u64) -> Memory {
        let reserved = bytes_max / RESERVE_PART;
        let queries = Arc::new(QueryMemory::new(bytes_max - 2 * reserved));
        let reserve = || Arc::new(QueryMemory::with_reserve(reserved, Arc::clone(&queries)));
        Memory {
            bytes_max,
            guarded: reserve(),
            scalers: reserve(),
            queries,
        }
    }

    fn of(&self, kind: Kind) -> &Arc<QueryMemory> {
        match kind {
            Kind::Scaler => &self.scalers,
            Kind::Guarded => &self.guarded,
            Kind::Query => &self.queries,
        }
    }
}

/// What bounds a query that runs.
pub struct Within {
    flag: StopFlag,
    /// Of those that take turns.
    turn: Option<Turn>,
    memory: Arc<QueryMemory>,
    /// One query may hold half of what all may.
    bytes_max: u64,
    /// For work with which other threads may help.
    cores: Option<Arc<Cores>>,
}

impl Within {
    /// Evaluates by these options, and stops where it has to: for whoever the query works for, its time, its memory.
    pub fn evaluate<T>(
        &self,
        options: &EvalOptions<'_>,
        evaluate: impl FnOnce(&EvalOptions<'_>) -> T,
    ) -> T {
        let stop = || {
            if let Some(turn) = &self.turn {
                turn.look(|| self.flag.get().is_some());
            }
            self.flag.get()
        };
        let helpers = self.cores.as_deref().map(|cores| cores as &dyn Helpers);
        evaluate(&EvalOptions {
            stop: Some(&stop),
            helpers,
            memory: Some(&self.memory),
            bytes_max: options.bytes_max.min(self.bytes_max),
            ..*options
        })
    }
}

/// Tells a running query to end.
#[derive(Clone, Debug, Default)]
struct StopFlag(Arc<AtomicU8>);

const RUNNING: u8 = 0;
const TIMEOUT: u8 = 1;
const CANCELED: u8 = 2;

impl StopFlag {
    fn get(&self) -> Option<Stop> {
        match self.0.load(Ordering::Relaxed) {
            RUNNING => None,
            TIMEOUT => Some(Stop::Timeout),
            _ => Some(Stop::Canceled),
        }
    }

    fn raise(&self, why: Stop) {
        let code = if why == Stop::Timeout {
            TIMEOUT
        } else {
            CANCELED
        };
        // The first reason stands.
        let _ = self
            .0
            .compare_exchange(RUNNING, code, Ordering::Relaxed, Ordering::Relaxed);
    }
}

struct CancelOnDrop(StopFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.raise(Stop::Canceled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_all_kinds_are_the_whole() {
        for bytes_max in [0, 7, 64 << 20] {
            let memory = Memory::new(bytes_max);
            let [scalers, guarded, queries] =
                [Kind::Scaler, Kind::Guarded, Kind::Query].map(|kind| memory.of(kind).bytes_max());
            let reserved = (scalers - queries) + (guarded - queries);
            assert_eq!(queries + reserved, bytes_max);
            assert!(bytes_max < 8 || guarded > queries);
        }
    }
}
