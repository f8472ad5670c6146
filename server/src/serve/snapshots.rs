//! The files of snapshots below `--storage.path`: read at the start, written every 30 s, or as often as is asked for, and at the end.
//!
//! What came since the last time is appended to the newest file, so that history is written once. After half a retention
//! another one is begun, and those of which all is older than the retention are removed (`files`): what a file holds is never
//! written again. At the first time of a process, and where the memory limit has dropped half of what the files hold, a
//! new one with everything replaces them all. A file is begun beside the others, made durable and renamed.
//!
//! So whoever kills this process at any moment leaves whole parts, and at most one that is torn, which the next start leaves
//! out. What is lost then is what came after the newest part, at most that long and the time that one takes. A file that
//! cannot be used is refused with the reason, and the server starts with what those before it hold, or empty; a disk that is
//! full or read-only is a warning and nothing else. Cost: benches `disk_written` and `snapshot`.

mod files;
mod load;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stillwell_engine::Timestamp;
use stillwell_engine::snapshot::{Snapshot, Written};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

use super::keda::Triggers;
use crate::scrape::Shared;
use crate::senders::Senders;
use files::{Next, Older, Sizes};

/// Between the end of one snapshot and the beginning of the next, where nothing else is asked for.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// Snapshots take at most this part of a core: one that takes longer is taken less often.
const REST_TIMES: u32 = 3;
/// Between two holds of the engine's locks. A thread that has slept begins with a whole time slice of the scheduler: where
/// other processes want the cores, it is interrupted while it holds nothing, and not while commits wait for it.
pub const BETWEEN_HOLDS: Duration = Duration::from_micros(50);
/// Bytes that are given to the disk at a time.
const WRITE_BYTES: usize = 256 << 10;
/// The name of the newest file. Those before it have a number behind it.
const NAME: &str = "snapshot";
/// The name of KEDA's latches in it.
pub(super) const LATCHES: &str = "keda latches";
/// The name of what is kept of senders beside their pages.
pub(super) const SENDERS: &str = "senders";
/// The name of the file by which processes keep off one another's snapshots.
const LOCK: &str = "lock";
/// A snapshot that takes longer is told of: a disk that hangs says nothing itself.
const SLOW: Duration = Duration::from_secs(10);
/// The ending of a file that is being written.
const UNFINISHED: &str = "unfinished";

/// The files, and what was done to them.
pub struct Snapshots {
    folder: PathBuf,
    interval: Duration,
    retention_ms: i64,
    done: Mutex<Done>,
    /// The file to which this process may append. Locked while a snapshot is written.
    appendable: Mutex<Option<Appendable>>,
    /// Locked in the file system while this process runs.
    held: Mutex<Option<File>>,
}

/// The newest file, which this process has written.
struct Appendable {
    file: File,
    /// What is in it and in those before it.
    written: Written,
    /// When its first part was written, and the bytes of that.
    begun: (Timestamp, u64),
    bytes: u64,
    parts: u32,
    /// When its newest part was taken.
    taken: Timestamp,
    /// The files before it, the oldest first.
    older: Vec<Older>,
}

/// What was done so far, for `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// When the newest snapshot in the files was taken.
    pub taken: Option<Timestamp>,
    /// Bytes of all files.
    pub bytes: u64,
    /// How long it took to write.
    pub took: Duration,
    /// Bytes that were written so far.
    pub bytes_written: u64,
    /// Snapshots that could not be written.
    pub failures: u64,
    /// Why the newest could not; empty where it could.
    error: String,
}

/// Bytes of ours in a snapshot; none where it has none.
pub(super) fn named<'a>(all: &'a [(String, Vec<u8>)], name: &str) -> &'a [u8] {
    let found = all.iter().find(|(one, _)| one == name);
    found.map(|(_, bytes)| &**bytes).unwrap_or_default()
}

impl Snapshots {
    /// In this folder, which is made where it is missing; of an engine that keeps history for so long.
    pub fn new(folder: PathBuf, interval: Duration, retention_ms: i64) -> Snapshots {
        Snapshots {
            folder,
            interval,
            retention_ms,
            done: Mutex::default(),
            appendable: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        self.done.lock().clone()
    }

    /// Writes snapshots until `quit` turns true.
    pub async fn run(
        self: Arc<Self>,
        shared: Arc<Shared>,
        (keda, senders): (Triggers, Senders),
        mut quit: watch::Receiver<bool>,
    ) {
        let mut rest = self.interval;
        loop {
            tokio::select! {
                _ = quit.wait_for(|quit| *quit) => return,
                () = tokio::time::sleep(rest) => {}
            }
            let (snapshots, shared) = (Arc::clone(&self), Arc::clone(&shared));
            let (keda, senders) = (keda.clone(), senders.clone());
            let writing = tokio::task::spawn_blocking(move || {
                snapshots.write(&shared, &keda, &senders);
                snapshots.done().took
            });
            let took = end_of(writing, &self.folder).await;
            rest = self.interval.max(took * REST_TIMES);
        }
    }

    /// Writes a snapshot of now. What goes wrong is logged once.
    pub fn write(&self, shared: &Shared, keda: &Triggers, senders: &Senders) {
        let began = Instant::now();
        let mut appendable = self.appendable.lock();
        // Where something goes wrong, what the files hold is not known, and the next one is written anew.
        let before = appendable.take();
        let written = self
            .hold_folder()
            .and_then(|()| self.write_next(before, shared, (keda, senders)));
        let mut done = self.done.lock();
        let path = self.folder.display();
        match written {
            Ok((file, new_bytes)) => {
                if !done.error.is_empty() {
                    info!(%path, "snapshots are written again");
                }
                done.error.clear();
                (done.taken, done.bytes) = (Some(file.taken), file.total_bytes());
                done.bytes_written += new_bytes;
                *appendable = Some(file);
            }
            Err(error) => {
                let error = error.to_string();
                if error != done.error {
                    warn!(%path, error, "the snapshot cannot be written; a restart would lose what came since the last one");
                }
                done.error = error;
                done.failures += 1;
            }
        }
        done.took = began.elapsed();
    }

    /// Makes the folder this process' own while it runs. Error: it is another's, whose snapshots ours would replace.
    fn hold_folder(&self) -> io::Result<()> {
        let mut held = self.held.lock();
        if held.is_none() {
            let file = File::create(self.folder.join(LOCK))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::other(
                        "another process writes its snapshots here; give each a --storage.path of its own",
                    ));
                }
                // Some file systems have no locks; then nobody is kept off.
                Err(TryLockError::Error(error)) => {
                    warn!(path = %self.folder.display(), %error, "the file system has no locks: let no other process write here");
                }
            }
            *held = Some(file);
        }
        Ok(())
    }

    /// Writes what came since `before`, or everything. Answers the file and how many bytes were written.
    fn write_next(
        &self,
        before: Option<Appendable>,
        shared: &Shared,
        (keda, senders): (&Triggers, &Senders),
    ) -> io::Result<(Appendable, u64)> {
        let named = [(LATCHES, keda.latches()), (SENDERS, senders.written())];
        let next = before
            .as_ref()
            .map_or(Next::Replace, |file| self.next(file, shared));
        let writer = shared.writer.lock();
        // The time is read under the lock: no page of a later time is in the snapshot.
        let now = shared.clock.now();
        let written = match (before, next) {
            (Some(mut before), Next::Append) => {
                let written = std::mem::take(&mut before.written);
                let part = writer.snapshot_since(written, now, &named);
                drop(writer);
                append(before, part, now)
            }
            (Some(mut before), Next::Begin) => {
                let written = std::mem::take(&mut before.written);
                let part = writer.snapshot_in_new_file(written, now, &named);
                drop(writer);
                self.begin(part, now, Some(before))
            }
            _ => {
                let snapshot = writer.snapshot(now, &named);
                drop(writer);
                self.begin(snapshot, now, None)
            }
        };
        written.map(|(mut file, new_bytes)| {
            self.remove_outlived(&mut file, now);
            (file, new_bytes)
        })
    }

    /// What is done with the next part: the newest file has to be the one that this process has written.
    fn next(&self, file: &Appendable, shared: &Shared) -> Next {
        let (Ok(open), Ok(named)) = (file.file.metadata(), fs::metadata(self.folder.join(NAME)))
        else {
            return Next::Replace;
        };
        let is_same = (open.dev(), open.ino()) == (named.dev(), named.ino());
        if !is_same || open.len() != file.bytes {
            return Next::Replace;
        }
        let (begun, first_bytes) = file.begun;
        let bytes = shared.reader.stats().bytes;
        let sizes = Sizes {
            bytes: file.bytes,
            first_bytes,
            parts: file.parts,
            age_ms: shared.clock.now().since_ms(begun),
            all_bytes: file.total_bytes(),
            history_bytes: (bytes.history + bytes.histograms) as u64,
        };
        sizes.next(self.retention_ms)
    }

    /// Begins a file: one that goes on from `before`, which is kept under another name, or one that replaces all. Answers it
    /// and how many bytes were written.
    fn begin(
        &self,
        mut snapshot: Snapshot,
        now: Timestamp,
        before: Option<Appendable>,
    ) -> io::Result<(Appendable, u64)> {
        let name = format!("{NAME}.{}.{UNFINISHED}", std::process::id());
        let unfinished = self.folder.join(name);
        let write = || {
            let mut file = File::create(&unfinished)?;
            let bytes = put(&mut file, &mut snapshot)?;
            file.sync_all()?;
            let older = match before {
                Some(before) => self.keep(before)?,
                None => Vec::new(),
            };
            fs::rename(&unfinished, self.folder.join(NAME))?;
            // Names are durable once their folder is.
            File::open(&self.folder)?.sync_all()?;
            Ok((file, bytes, older))
        };
        match write() {
            Ok((file, bytes, older)) => {
                if older.is_empty() {
                    self.remove_older(); // nothing goes on from them
                }
                let appendable = Appendable {
                    file,
                    written: snapshot.written(),
                    begun: (now, bytes),
                    bytes,
                    parts: 1,
                    taken: now,
                    older,
                };
                Ok((appendable, bytes))
            }
            Err(error) => {
                fs::remove_file(&unfinished).ok(); // it may not even have been made
                Err(error)
            }
        }
    }
}

/// Waits for a snapshot that is being written, and says once where that takes long. Returns how long it took.
async fn end_of(mut writing: JoinHandle<Duration>, folder: &Path) -> Duration {
    let in_time = tokio::time::timeout(SLOW, &mut writing).await;
    let ended = match in_time {
        Ok(ended) => ended,
        Err(_) => {
            let path = folder.display();
            warn!(%path, "the disk has not taken a snapshot for {} s", SLOW.as_secs());
            writing.await
        }
    };
    ended.unwrap_or_default() // a panic has been logged
}

/// Appends a part to a file. Answers it and how many bytes were written.
fn append(before: Appendable, mut part: Snapshot, now: Timestamp) -> io::Result<(Appendable, u64)> {
    let mut file = before.file;
    let bytes = put(&mut file, &mut part)?;
    file.sync_data()?;
    let appendable = Appendable {
        file,
        written: part.written(),
        bytes: before.bytes + bytes,
        parts: before.parts.saturating_add(1),
        taken: now,
        ..before
    };
    Ok((appendable, bytes))
}

/// Writes a part piece by piece. Answers its bytes.
#[expect(
    clippy::disallowed_methods,
    reason = "it waits for nothing: a sleep is what gives the thread a new time slice"
)]
fn put(file: &mut File, part: &mut Snapshot) -> io::Result<u64> {
    let mut buffer = Vec::new();
    let mut bytes = 0;
    loop {
        let more = part.next(&mut buffer);
        if buffer.len() >= WRITE_BYTES || !more {
            file.write_all(&buffer)?;
            bytes += buffer.len() as u64;
            buffer.clear();
        }
        if !more {
            return Ok(bytes);
        }
        std::thread::sleep(BETWEEN_HOLDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first snapshot that was written in time was the last: what it was waited for with was asked again, and panicked.
    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_snapshot_is_waited_for_however_long_it_takes() {
        for takes in [Duration::ZERO, SLOW / 2, SLOW * 3] {
            let writing = tokio::spawn(async move {
                tokio::time::sleep(takes).await;
                takes
            });
            assert_eq!(end_of(writing, Path::new("a folder")).await, takes);
        }
        let failed = tokio::spawn(async { panic!("a snapshot that fails") });
        assert_eq!(end_of(failed, Path::new("a folder")).await, Duration::ZERO);
    }

    /// Two processes on one path replaced each other's files every second, and neither said so.
    #[test]
    fn a_folder_belongs_to_one_process_at_a_time() {
        let folder = std::env::temp_dir().join(format!("stillwell-held-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let [one, other] = [(); 2].map(|()| Snapshots::new(folder.clone(), INTERVAL, 1));
        one.hold_folder().expect("nobody has it");
        one.hold_folder().expect("it has it already");
        let refused = other.hold_folder().expect_err("one has it");
        assert!(refused.to_string().contains("another process"), "{refused}");
        drop(one);
        other.hold_folder().expect("it is free again");
        fs::remove_dir_all(&folder).ok();
    }
}
