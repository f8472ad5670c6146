//! Looks at files, which may never end: a hard mount whose server has gone answers nobody, and nothing ends the thread that asks.
//!
//! So few of them are under way at a time that whatever else needs a thread that may block has one, and never two at the same files,
//! also where a reload has dropped who asked first. One that takes long is told of, with the file that it is at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tokio::time::Duration;

/// Looks at a time. A runtime in which files are looked at has more threads that may block.
pub(crate) const LOOKS_MAX: usize = 6;
/// One that takes longer is told of.
const LONG: Duration = Duration::from_secs(10);

/// The looks of this process.
pub(super) static LOOKS: Looks = Looks::new(LOOKS_MAX);

/// Looks that share some threads.
pub(super) struct Looks {
    turns: Semaphore,
    max: usize,
    /// By patterns: who looks at them holds the lock.
    files: Mutex<BTreeMap<Vec<PathBuf>, Weak<tokio::sync::Mutex<()>>>>,
}

/// What a look is at; `None` before it has begun.
#[derive(Clone, Default)]
pub(super) struct LooksAt(Arc<Mutex<Option<PathBuf>>>);

impl LooksAt {
    /// It goes on with this one.
    pub(super) fn set(&self, path: &Path) {
        *self.0.lock() = Some(path.to_owned());
    }
}

impl Looks {
    const fn new(max: usize) -> Looks {
        Looks {
            turns: Semaphore::const_new(max),
            max,
            files: Mutex::new(BTreeMap::new()),
        }
    }

    /// Does what looks at the files of these patterns, once nobody else looks at them. `tell` is told why where it takes long; whether
    /// it did is answered with what comes of it.
    pub(super) async fn look<T: Send + 'static>(
        &'static self,
        patterns: &[PathBuf],
        work: impl FnOnce(&LooksAt) -> T + Send + 'static,
        tell: impl FnOnce(String),
    ) -> (Result<T, JoinError>, bool) {
        let at = LooksAt::default();
        let looking = async {
            let files = self.files_of(patterns).lock_owned().await;
            let turn = self.turns.acquire().await;
            let at = at.clone();
            // Both are held until it ends, whoever waits for that.
            let work = move || {
                let _held = (files, turn);
                work(&at)
            };
            tokio::task::spawn_blocking(work).await
        };
        let mut looking = std::pin::pin!(looking);
        match tokio::time::timeout(LONG, &mut looking).await {
            Ok(looked) => (looked, false),
            Err(_) => {
                tell(self.why(&at, patterns));
                (looking.await, true)
            }
        }
    }

    /// Why a look takes long.
    fn why(&self, at: &LooksAt, patterns: &[PathBuf]) -> String {
        let seconds = LONG.as_secs();
        match &*at.0.lock() {
            Some(path) => format!(
                "{}: no answer for {seconds} s, as from a mount whose server has gone",
                path.display()
            ),
            None => {
                let patterns = patterns.iter().map(|one| one.display().to_string());
                format!(
                    "{}: not looked at for {seconds} s: earlier looks at the same files, or {} at others, have no answer",
                    patterns.collect::<Vec<_>>().join(", "),
                    self.max
                )
            }
        }
    }

    fn files_of(&self, patterns: &[PathBuf]) -> Arc<tokio::sync::Mutex<()>> {
        let mut files = self.files.lock();
        files.retain(|_, lock| lock.strong_count() > 0);
        let known = files.get(patterns).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let lock = Arc::default();
            files.insert(patterns.to_vec(), Arc::downgrade(&lock));
            lock
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A look at a file that answers when the sender goes.
    async fn hang(looks: &'static Looks, path: &str) -> (mpsc::Sender<()>, String) {
        let (answer, answered) = mpsc::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let (say, said) = tokio::sync::oneshot::channel();
        let path = PathBuf::from(path);
        let work = {
            let path = path.clone();
            move |at: &LooksAt| {
                at.set(&path);
                begin.send(()).ok();
                answered.recv().ok();
            }
        };
        tokio::spawn(async move {
            let tell = |why| drop(say.send(why));
            looks.look(&[path], work, tell).await
        });
        begun.await.expect("it has begun");
        tokio::time::advance(LONG).await;
        (answer, said.await.expect("it takes long"))
    }

    /// Two sections on mounts whose servers had gone took all threads that may block: no other file was read any more, of credentials
    /// neither, and nobody said so.
    #[test]
    fn looks_without_an_answer_are_told_of_and_leave_threads_to_others() {
        static LOOKS: Looks = Looks::new(2);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .max_blocking_threads(3)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (first, why) = hang(&LOOKS, "/one").await;
            assert_eq!(
                why,
                "/one: no answer for 10 s, as from a mount whose server has gone"
            );
            let (second, _) = hang(&LOOKS, "/two").await;
            let (say, said) = tokio::sync::oneshot::channel();
            let order: Arc<Mutex<Vec<&str>>> = Arc::default();
            let own = Arc::clone(&order);
            let third = tokio::spawn(LOOKS.look(
                &[],
                move |_| own.lock().push("third"),
                |why| drop(say.send(why)),
            ));
            tokio::task::yield_now().await; // it would take the last thread
            let own = Arc::clone(&order);
            let credentials = move || own.lock().push("credentials");
            let credentials = tokio::task::spawn_blocking(credentials).await;
            assert!(credentials.is_ok());
            assert_eq!(*order.lock(), ["credentials"]);
            tokio::time::advance(LONG).await;
            let why = said.await.expect("it waits for long");
            assert!(why.contains("2 at others"), "{why}");
            drop(first);
            let (looked, took_long) = third.await.expect("it ends");
            assert!(looked.is_ok() && took_long);
            assert_eq!(*order.lock(), ["credentials", "third"]);
            drop(second);
        });
    }

    /// Each reload of a section whose files did not answer took one more thread.
    #[tokio::test(start_paused = true)]
    async fn nobody_looks_at_files_at_which_another_look_has_no_answer() {
        static LOOKS: Looks = Looks::new(3);
        let (answer, _) = hang(&LOOKS, "/one").await;
        let one = [PathBuf::from("/one")];
        let again = LOOKS.look(
            &one,
            |_| (),
            |why| assert!(why.starts_with("/one: not looked at"), "{why}"),
        );
        let mut again = std::pin::pin!(again);
        tokio::select! {
            biased;
            _ = &mut again => panic!("two looks at the same files"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(LOOKS.turns.available_permits(), 2);
        let (other, _) = LOOKS.look(&[PathBuf::from("/two")], |_| "seen", drop).await;
        assert_eq!(other.ok(), Some("seen"));
        drop(answer);
        assert!(again.await.0.is_ok());
    }
}
