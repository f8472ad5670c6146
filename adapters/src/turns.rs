//! So many queries of a kind compute at a time, as many as there are cores; the others wait in the order in which they came.
//!
//! More threads than cores compute no faster, and each of them that is suspended within a batch of series keeps the store's
//! lock for as long as all others of them take their part of a core: commits wait for it, and reads by autoscalers for those.
//! With 24 range queries at once on two cores that was 20 to 30 ms (the bench `siege`). A query gives way to those that wait
//! once it has computed for [`TURN`], wherever evaluation asks whether to stop; it never holds a lock there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// For so long a query computes before it gives way. To change places costs two wake-ups, some tens of microseconds.
const TURN: Duration = Duration::from_millis(10);
/// Who waits looks this often whether it was stopped meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Whose turn it is.
pub(crate) struct Turns {
    /// How many compute at a time.
    count: usize,
    /// Held for a few instructions.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    waiting: VecDeque<Arc<Waiter>>,
}

struct Waiter {
    thread: Thread,
    has_turn: AtomicBool,
}

/// The turn of the thread that began it. It ends with a panic, too.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    thread: ThreadId,
    created: Instant,
    /// When this turn, not the first one, began: nanoseconds after `created`.
    began_ns: AtomicU64,
    /// False where it was stopped while it waited for the next one.
    is_held: AtomicBool,
}

impl Turns {
    pub(crate) fn new(count: usize) -> Turns {
        Turns {
            count: count.max(1),
            state: Mutex::default(),
        }
    }

    /// Waits for a turn; nothing where the work was stopped meanwhile. Blocks the thread.
    pub(crate) fn begin(self: &Arc<Turns>, is_stopped: impl Fn() -> bool) -> Option<Turn> {
        self.wait(&is_stopped, |state| {
            let is_free = state.taken < self.count;
            state.taken += usize::from(is_free);
            is_free
        })
        .then(|| Turn {
            turns: Arc::clone(self),
            thread: thread::current().id(),
            created: Instant::now(),
            began_ns: AtomicU64::new(0),
            is_held: AtomicBool::new(true),
        })
    }

    /// Waits, unless `take` takes a turn at once. Whether there is a turn at the end.
    fn wait(&self, is_stopped: impl Fn() -> bool, take: impl FnOnce(&mut State) -> bool) -> bool {
        let waiter = Arc::new(Waiter {
            thread: thread::current(),
            has_turn: AtomicBool::new(false),
        });
        {
            let mut state = self.state.lock();
            if take(&mut state) {
                return true;
            }
            state.waiting.push_back(Arc::clone(&waiter));
        }
        while !waiter.has_turn.load(Ordering::Acquire) {
            if is_stopped() {
                let mut state = self.state.lock();
                let before = state.waiting.len();
                state.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
                if state.waiting.len() < before {
                    return false;
                }
                break; // it was given a turn just now
            }
            thread::park_timeout(LOOK);
        }
        true
    }

    fn end(&self) {
        let mut state = self.state.lock();
        if !give_to_next(&mut state) {
            state.taken -= 1;
        }
    }
}

/// Hands a turn that is taken to whoever has waited longest; false where nobody waits.
fn give_to_next(state: &mut State) -> bool {
    let Some(next) = state.waiting.pop_front() else {
        return false;
    };
    next.has_turn.store(true, Ordering::Release);
    next.thread.unpark();
    true
}

impl Turn {
    /// Called where evaluation asks whether to stop. Lets others compute once the turn has lasted for [`TURN`], and waits for
    /// the next one. Threads that help with the query go on.
    pub(crate) fn look(&self, is_stopped: impl Fn() -> bool) {
        if thread::current().id() != self.thread {
            return;
        }
        let now_ns = self.created.elapsed().as_nanos() as u64;
        if now_ns - self.began_ns.load(Ordering::Relaxed) >= TURN.as_nanos() as u64 {
            self.give_way(is_stopped);
        }
    }

    fn give_way(&self, is_stopped: impl Fn() -> bool) {
        if !self.is_held.load(Ordering::Relaxed) {
            return; // stopped: it ends at the next look
        }
        // Whoever has waited longest takes it, and this thread is the last of those that wait.
        let is_held = self.turns.wait(is_stopped, |state| !give_to_next(state));
        self.is_held.store(is_held, Ordering::Relaxed);
        let now_ns = self.created.elapsed().as_nanos() as u64;
        self.began_ns.store(now_ns, Ordering::Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if *self.is_held.get_mut() {
            self.turns.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn waiting(turns: &Turns) -> usize {
        turns.state.lock().waiting.len()
    }

    /// Starts a thread that waits for a turn, and returns once it does.
    fn wait_for_turn(
        turns: &Arc<Turns>,
        stopped: &Arc<AtomicBool>,
        work: impl FnOnce(Option<Turn>) + Send + 'static,
    ) -> thread::JoinHandle<()> {
        let before = waiting(turns);
        let thread = thread::spawn({
            let (turns, stopped) = (Arc::clone(turns), Arc::clone(stopped));
            move || work(turns.begin(|| stopped.load(Ordering::Relaxed)))
        });
        while waiting(turns) == before {
            thread::yield_now();
        }
        thread
    }

    #[test]
    fn turns_come_in_the_order_of_waiting_and_whoever_gives_way_is_last() {
        let turns = Arc::new(Turns::new(1));
        let goes_on = Arc::new(AtomicBool::new(false));
        let first = turns.begin(|| false).expect("it is free");
        let (said, heard) = mpsc::channel();
        let threads: Vec<_> = ["second", "third"]
            .map(|name| {
                let said = said.clone();
                wait_for_turn(&turns, &goes_on, move |turn| {
                    said.send(name).expect("the test listens");
                    drop(turn);
                })
            })
            .into();
        first.give_way(|| false);
        said.send("first").expect("the test listens");
        drop(first);
        for thread in threads {
            thread.join().expect("it does not panic");
        }
        let order: Vec<_> = heard.try_iter().collect();
        assert_eq!(order, ["second", "third", "first"]);
        assert_eq!(waiting(&turns), 0);
        assert_eq!(turns.state.lock().taken, 0);
    }

    #[test]
    fn who_is_stopped_while_waiting_leaves_the_queue_and_no_turn_is_lost() {
        let turns = Arc::new(Turns::new(1));
        let stopped = Arc::new(AtomicBool::new(false));
        let first = turns.begin(|| false).expect("it is free");
        let waiter = wait_for_turn(&turns, &stopped, |turn| assert!(turn.is_none()));
        stopped.store(true, Ordering::Relaxed);
        waiter.join().expect("it got no turn");
        assert_eq!(waiting(&turns), 0);
        // Stopped after it gave way: it ends without a turn, which the other one has.
        let other = wait_for_turn(&turns, &Arc::default(), |turn| {
            let turn = turn.expect("the first one gave way");
            while waiting(&turn.turns) > 0 {
                thread::yield_now();
            }
        });
        first.give_way(|| true);
        drop(first);
        other.join().expect("it does not panic");
        assert_eq!(turns.state.lock().taken, 0);
    }

    #[test]
    fn a_turn_that_nobody_else_wants_goes_on_and_helping_threads_never_give_it_away() {
        let turns = Arc::new(Turns::new(2));
        let turn = turns.begin(|| false).expect("it is free");
        turn.give_way(|| panic!("nobody waits"));
        thread::scope(|scope| {
            scope.spawn(|| turn.look(|| panic!("it is not this thread's turn")));
        });
        assert!(turn.is_held.load(Ordering::Relaxed));
        drop(turn);
        assert_eq!(turns.state.lock().taken, 0);
    }
}
