//! Answers of the API server, kept as long as API servers keep them. Whoever asks the same meanwhile waits for the same
//! answer; failures are not kept, so that the first caller after an outage gets through.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use stillwell_engine::Timestamp;
use tokio::sync::watch;

/// Reviews under way. An API server that hangs must not collect callers without bound.
const RUNNING_MAX: usize = 256;
/// Beside them those about whoever was known before: strangers' tokens do not use up what callers renew theirs with.
const RENEWALS_MAX: usize = 256;

/// Answers by question.
pub(super) struct Cache<K, V> {
    state: Arc<Mutex<State<K, V>>>,
    room: Room<K, V>,
}

/// How much is kept.
pub(super) struct Room<K, V> {
    /// So many answers, ...
    pub(super) answers_max: usize,
    /// ... and so many bytes of them, ...
    pub(super) bytes_max: usize,
    /// ... of which one takes so many.
    pub(super) bytes: fn(&K, &V) -> usize,
}

impl<K, V> Clone for Room<K, V> {
    fn clone(&self) -> Room<K, V> {
        *self
    }
}

impl<K, V> Copy for Room<K, V> {}

struct State<K, V> {
    known: HashMap<K, (V, Timestamp)>,
    /// Of the known ones.
    bytes: usize,
    running: HashMap<K, watch::Receiver<Option<Result<V, String>>>>,
}

impl<K, V> Cache<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Keeps no more than there is room for.
    pub(super) fn new(room: Room<K, V>) -> Cache<K, V> {
        Cache {
            state: Arc::new(Mutex::new(State {
                known: HashMap::new(),
                bytes: 0,
                running: HashMap::new(),
            })),
            room,
        }
    }

    /// The answer, known or asked for. Asking gives it with the time in ms that it may be told for.
    pub(super) async fn get<F>(
        &self,
        key: K,
        now: Timestamp,
        ask: impl FnOnce(K) -> F,
    ) -> Result<V, String>
    where
        F: Future<Output = Result<(V, i64), String>> + Send + 'static,
    {
        let mut coming = {
            let mut state = self.state.lock();
            if let Some((value, until)) = state.known.get(&key)
                && now < *until
            {
                return Ok(value.clone());
            }
            let running_max = match state.known.contains_key(&key) {
                true => RUNNING_MAX + RENEWALS_MAX,
                false => RUNNING_MAX,
            };
            match state.running.get(&key) {
                Some(coming) => coming.clone(),
                None if state.running.len() >= running_max => {
                    return Err(format!(
                        "{running_max} questions to the API server are unanswered already"
                    ));
                }
                None => {
                    let (tell, coming) = watch::channel(None);
                    state.running.insert(key.clone(), coming.clone());
                    let asking = ask(key.clone());
                    let (shared, room) = (Arc::clone(&self.state), self.room);
                    // A task of its own: the first caller may go away, the others still wait.
                    tokio::spawn(async move {
                        let mut ends = Ends {
                            state: shared,
                            key: Some(key),
                        };
                        let answer = asking.await;
                        if let Ok((value, ttl_ms)) = &answer {
                            ends.keep(value.clone(), now.plus_ms(*ttl_ms), now, room);
                        }
                        drop(ends);
                        tell.send_replace(Some(answer.map(|(value, _)| value)));
                    });
                    coming
                }
            }
        };
        let answer = coming.wait_for(Option::is_some).await;
        match answer {
            Ok(answer) => answer.clone().unwrap_or_else(|| Err(String::new())),
            Err(_) => Err("the question to the API server was given up".to_owned()),
        }
    }
}

/// How long answers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Who holds a token, or that nobody does.
    pub token_ms: i64,
    /// That somebody may do something.
    pub allowed_ms: i64,
    /// That somebody may not.
    pub denied_ms: i64,
}

impl Default for Lifetimes {
    /// As API servers have them for their extensions.
    fn default() -> Lifetimes {
        Lifetimes {
            token_ms: 10_000,
            allowed_ms: 10_000,
            denied_ms: 10_000,
        }
    }
}

/// Takes a question off the running ones, however its asking ends.
struct Ends<K: Eq + Hash, V> {
    state: Arc<Mutex<State<K, V>>>,
    key: Option<K>,
}

impl<K: Clone + Eq + Hash, V> Ends<K, V> {
    fn keep(&mut self, value: V, until: Timestamp, now: Timestamp, room: Room<K, V>) {
        let Some(key) = self.key.clone() else { return };
        let state = &mut *self.state.lock();
        let (known, held) = (&mut state.known, &mut state.bytes);
        let bytes = (room.bytes)(&key, &value);
        if bytes > room.bytes_max {
            return;
        }
        if let Some((old, _)) = known.remove(&key) {
            *held -= (room.bytes)(&key, &old);
        }
        let is_full = |answers: usize, held: usize| {
            answers >= room.answers_max || held + bytes > room.bytes_max
        };
        if is_full(known.len(), *held) {
            known.retain(|key, (value, until)| {
                let keep = now < *until;
                if !keep {
                    *held -= (room.bytes)(key, value);
                }
                keep
            });
        }
        if is_full(known.len(), *held) {
            known.clear(); // rare, and costs only questions
            *held = 0;
        }
        known.insert(key, (value, until));
        *held += bytes;
    }
}

impl<K: Eq + Hash, V> Drop for Ends<K, V> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.state.lock().running.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn room<K, V>(answers_max: usize) -> Room<K, V> {
        Room {
            answers_max,
            bytes_max: 100,
            bytes: |_, _| 1,
        }
    }

    /// 1,024 tokens of users with three groups of a megabyte each were 3 GB.
    #[tokio::test]
    async fn answers_are_bounded_in_bytes() {
        let cache: Cache<usize, usize> = Cache::new(Room {
            bytes: |_, bytes| *bytes,
            ..room(10)
        });
        for (key, bytes, held) in [
            (1, 40, 40),
            (2, 50, 90),
            (1, 30, 80),  // replaced
            (3, 101, 80), // never kept
            (4, 30, 30),  // no room beside the others
        ] {
            let ask = |_| async move { Ok((bytes, 0)) };
            let now = at(i64::from(key == 4) - 1);
            assert_eq!(cache.get(key, now, ask).await, Ok(bytes));
            assert_eq!(cache.state.lock().bytes, held, "{key}");
        }
    }

    #[tokio::test]
    async fn an_answer_lives_its_time_and_a_failure_not_at_all() {
        let cache: Cache<u32, u32> = Cache::new(room(2));
        let asked = Arc::new(AtomicUsize::new(0));
        let ask = |answer: Result<u32, String>| {
            let asked = Arc::clone(&asked);
            move |_: u32| {
                asked.fetch_add(1, Ordering::Relaxed);
                async move { answer.map(|value| (value, 10)) }
            }
        };
        let failed = Err("down".to_owned());
        for (ms, answer, expected, questions) in [
            (0, failed.clone(), failed.clone(), 1),
            (0, Ok(7), Ok(7), 2),
            (9, Ok(8), Ok(7), 2),
            (10, Ok(8), Ok(8), 3),
            (30, failed.clone(), failed.clone(), 4),
        ] {
            let got = cache.get(1, at(ms), ask(answer)).await;
            assert_eq!(got, expected, "at {ms}");
            assert_eq!(asked.load(Ordering::Relaxed), questions, "at {ms}");
        }
        for key in 0..100 {
            let got = cache.get(key, at(40), ask(Ok(key))).await;
            assert_eq!(got, Ok(key));
        }
        assert!(cache.state.lock().known.len() <= 2);
        assert!(cache.state.lock().running.is_empty());
    }

    /// Invented tokens and an API server that answers slowly kept a known caller from renewing its own.
    #[tokio::test]
    async fn who_was_known_has_a_place_when_strangers_hold_all() {
        let cache: Arc<Cache<usize, u32>> = Arc::new(Cache::new(room(10)));
        let ask = |_| async { Ok((7, 10)) };
        assert_eq!(cache.get(0, at(0), ask).await, Ok(7));
        let strangers: Vec<_> = (1..=RUNNING_MAX)
            .map(|key| {
                let cache = Arc::clone(&cache);
                tokio::spawn(async move {
                    let never = |_| std::future::pending::<Result<(u32, i64), String>>();
                    cache.get(key, at(20), never).await
                })
            })
            .collect();
        while cache.state.lock().running.len() < RUNNING_MAX {
            tokio::task::yield_now().await;
        }
        let refused = cache.get(RUNNING_MAX + 1, at(20), ask).await;
        assert!(refused.is_err_and(|why| why.contains("unanswered")));
        assert_eq!(cache.get(0, at(20), ask).await, Ok(7));
        strangers.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn one_question_is_asked_once_however_many_wait_and_however_many_leave() {
        let cache: Arc<Cache<u32, u32>> = Arc::new(Cache::new(room(10)));
        let asked = Arc::new(AtomicUsize::new(0));
        let (open, gate) = watch::channel(false);
        let call = || {
            let (cache, asked, mut gate) = (Arc::clone(&cache), Arc::clone(&asked), gate.clone());
            tokio::spawn(async move {
                let ask = move |_| {
                    asked.fetch_add(1, Ordering::Relaxed);
                    async move {
                        gate.wait_for(|open| *open).await.ok();
                        Ok((7, 10))
                    }
                };
                cache.get(1, at(0), ask).await
            })
        };
        let first = call();
        while asked.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..10).map(|_| call()).collect();
        first.abort();
        open.send_replace(true);
        for other in others {
            assert_eq!(other.await.expect("no panic"), Ok(7));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
