//! Threads for work that takes long. One is made at the start and stays, so that work is done where no other can be made: under
//! a limit of processes, or of memory, a read would end its connection without an answer.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

/// Threads beyond the first end when there was nothing to do for so long.
const IDLE: Duration = Duration::from_secs(10);

/// As much as threads of a runtime have.
const STACK_BYTES: usize = 2 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// So many at most. Dropping it ends them once they have done what was given to them.
pub(crate) struct WorkerThreads(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to do, or the end has come.
    given: Condvar,
    threads_max: usize,
    begins: fn(),
    stack_bytes: usize,
}

#[derive(Default)]
struct State {
    /// As many as callers let be under way.
    jobs: VecDeque<Job>,
    threads: usize,
    /// Those that wait for something to do.
    idle: usize,
    has_ended: bool,
}

impl WorkerThreads {
    /// Each thread begins with `begins`.
    pub(crate) fn new(threads_max: usize, begins: fn()) -> WorkerThreads {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            given: Condvar::new(),
            threads_max,
            begins,
            stack_bytes: STACK_BYTES,
        });
        let mut state = shared.state.lock();
        shared.add_thread(&mut state).ok(); // it is tried again with the first work
        drop(state);
        WorkerThreads(shared)
    }

    /// Has `work` done. What is received fails where it panicked. Error: there is no thread, and none can be made.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, String> {
        let (tell, told) = oneshot::channel();
        let job = move || {
            tell.send(work()).ok(); // whoever waited may be gone
        };
        let mut state = self.0.state.lock();
        let is_short = state.idle <= state.jobs.len() && state.threads < self.0.threads_max;
        if is_short
            && let Err(why) = self.0.add_thread(&mut state)
            && state.threads == 0
        {
            return Err(why);
        }
        state.jobs.push_back(Box::new(job));
        drop(state);
        self.0.given.notify_one();
        Ok(told)
    }
}

impl Shared {
    /// Error: why there is no thread more.
    fn add_thread(self: &Arc<Shared>, state: &mut State) -> Result<(), String> {
        let shared = Arc::clone(self);
        let stays = state.threads == 0;
        let thread = std::thread::Builder::new().name("query".to_owned());
        let thread = thread.stack_size(self.stack_bytes);
        let made = thread.spawn(move || shared.work(stays));
        made.map_err(|error| format!("a thread cannot be made: {error}"))?;
        state.threads += 1;
        Ok(())
    }

    /// Does what is given until the end, or until nothing has been given for long.
    fn work(&self, stays: bool) {
        (self.begins)();
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The hook has said so, and whoever waits sees that nothing comes.
                catch_unwind(AssertUnwindSafe(job)).ok();
                state = self.state.lock();
                continue;
            }
            if state.has_ended {
                break;
            }
            state.idle += 1;
            let is_over = match stays {
                true => {
                    self.given.wait(&mut state);
                    false
                }
                false => self.given.wait_for(&mut state, IDLE).timed_out(),
            };
            state.idle -= 1;
            if is_over && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

impl Drop for WorkerThreads {
    fn drop(&mut self) {
        self.0.state.lock().has_ended = true;
        self.0.given.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_by_so_many_threads_and_by_one_where_no_other_can_be_made() {
        let threads = WorkerThreads::new(2, || {});
        assert_eq!(threads.0.state.lock().threads, 1, "before there is work");
        let (block, blocked) = std::sync::mpsc::channel::<()>();
        let waiting = threads.run(move || blocked.recv()).expect("a thread");
        let others: Vec<_> = (0..20)
            .map(|at| threads.run(move || at).expect("a thread"))
            .collect();
        for (at, other) in others.into_iter().enumerate() {
            assert_eq!(other.await, Ok(at), "by another thread");
        }
        assert_eq!(threads.0.state.lock().threads, 2);
        drop(block);
        assert!(waiting.await.expect("it is done").is_err());
        let failed = threads.run(|| panic!("as it has to")).expect("a thread");
        assert!(failed.await.is_err());
        assert_eq!(threads.run(|| 7).expect("a thread").await, Ok(7));
    }

    /// A read panicked where no thread could be made, and its connection ended without an answer.
    #[test]
    fn without_any_thread_the_reason_is_said() {
        let none = WorkerThreads(Arc::new(Shared {
            state: Mutex::default(),
            given: Condvar::new(),
            threads_max: 2,
            begins: || {},
            stack_bytes: usize::MAX >> 1, // more than there is room for
        }));
        let why = none.run(|| 7).expect_err("no thread has so large a stack");
        assert!(why.starts_with("a thread cannot be made: "), "{why}");
    }
}
