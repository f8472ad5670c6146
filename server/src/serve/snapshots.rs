//! The file of snapshots below `--storage.path`: read at the start, written every 30 s, or as often as is asked for, and at the end.
//!
//! What came since the last time is appended to the file, so that history is written once. When half of it may be older than
//! the retention, and at the first time of a process, a new one is written beside it, made durable and renamed over it.
//! So whoever kills this process at any moment leaves whole parts, and at most one that is torn, which the next start leaves
//! out. What is lost then is what came after the newest part, at most that long and the time that one takes. A file that
//! cannot be used is refused with the reason, and the server starts empty; a disk that is full or read-only is a warning and
//! nothing else. Cost: bench `disk_written`.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stillwell_engine::snapshot::{Restored, Snapshot, SnapshotError, Whole, Written, whole};
use stillwell_engine::{Engine, Limits, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::keda::Triggers;
use crate::scrape::Shared;

/// Between the end of one snapshot and the beginning of the next, where nothing else is asked for.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// Snapshots take at most this part of a core: one that takes longer is taken less often.
const REST_TIMES: u32 = 3;
/// The name of the file.
const NAME: &str = "snapshot";
/// The name of KEDA's latches in it.
const LATCHES: &str = "keda latches";
/// The ending of a file that is being written.
const UNFINISHED: &str = "unfinished";

/// The file, and what was done to it.
pub struct Snapshots {
    folder: PathBuf,
    interval: Duration,
    retention_ms: i64,
    done: Mutex<Done>,
    /// The file to which this process may append. Locked while a snapshot is written.
    appendable: Mutex<Option<Appendable>>,
}

/// A file that this process has written.
struct Appendable {
    file: File,
    /// What is in it.
    written: Written,
    /// When its first part was written, and the bytes of that.
    first: (Timestamp, u64),
    bytes: u64,
}

/// What was done so far, for `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// When the newest snapshot in the file was taken.
    pub taken: Option<Timestamp>,
    /// Bytes of the file.
    pub bytes: u64,
    /// How long it took to write.
    pub took: Duration,
    /// Bytes of all of them.
    pub bytes_written: u64,
    /// Snapshots that could not be written.
    pub failures: u64,
    /// Why the newest could not; empty where it could.
    error: String,
}

/// KEDA's latches among the named bytes of a snapshot.
pub(super) fn latches(named: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let found = named.into_iter().find(|(name, _)| name == LATCHES);
    found.map(|(_, bytes)| bytes).unwrap_or_default()
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
        }
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        self.done.lock().clone()
    }

    /// Reads the file. `None`: there is none, or it cannot be used; the log says why.
    pub fn load(&self, limits: Limits, now: Timestamp) -> Option<Restored> {
        if let Err(error) = fs::create_dir_all(&self.folder) {
            let path = self.folder.display();
            warn!(%path, %error, "snapshots cannot be kept; samples are in memory only");
        }
        self.remove_unfinished();
        let path = self.folder.join(NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(path = %path.display(), %error, "the snapshot cannot be read; starting empty");
                return None;
            }
        };
        let began = Instant::now();
        // A fault of ours in reading must not keep the server from starting.
        let (restored, whole) = match catch_unwind(AssertUnwindSafe(|| restore(file, limits, now)))
        {
            Ok(Ok(restored)) => restored,
            Ok(Err(error)) => {
                warn!(path = %path.display(), %error, "the snapshot is not used; starting empty");
                return None;
            }
            Err(_) => {
                let error = "a fault of this program in reading it";
                warn!(path = %path.display(), error, "the snapshot is not used; starting empty");
                return None;
            }
        };
        if let Some(error) = whole.rest {
            let parts = whole.parts;
            warn!(path = %path.display(), %error, parts, "the end of the snapshot is not used; what came after these parts is lost");
        }
        let stats = restored.reader.stats();
        info!(
            age_ms = now.since_ms(restored.written),
            series = stats.series,
            took_ms = began.elapsed().as_millis() as u64,
            "going on from the snapshot"
        );
        Some(restored)
    }

    /// Writes snapshots until `quit` turns true.
    pub async fn run(
        self: Arc<Self>,
        shared: Arc<Shared>,
        keda: Triggers,
        mut quit: watch::Receiver<bool>,
    ) {
        let mut rest = self.interval;
        loop {
            tokio::select! {
                _ = quit.wait_for(|quit| *quit) => return,
                () = tokio::time::sleep(rest) => {}
            }
            let (snapshots, shared, keda) = (Arc::clone(&self), Arc::clone(&shared), keda.clone());
            let writing = tokio::task::spawn_blocking(move || {
                snapshots.write(&shared, &keda);
                snapshots.done().took
            });
            let took = writing.await.unwrap_or_default();
            rest = self.interval.max(took * REST_TIMES);
        }
    }

    /// Writes a snapshot of now. What goes wrong is logged once.
    pub fn write(&self, shared: &Shared, keda: &Triggers) {
        let began = Instant::now();
        let named = [(LATCHES, keda.latches())];
        let mut appendable = self.appendable.lock();
        // Where something goes wrong, what the file holds is not known, and the next one is written anew.
        let before = appendable
            .take()
            .filter(|file| self.is_to_be_appended(file, shared.clock.now()));
        let writer = shared.writer.lock();
        // The time is read under the lock: no page of a later time is in the snapshot.
        let now = shared.clock.now();
        let written = match before {
            Some(before) => {
                let part = writer.snapshot_since(before.written, now, &named);
                drop(writer);
                append(before.file, part, (before.first, before.bytes))
            }
            None => {
                let snapshot = writer.snapshot(now, &named);
                drop(writer);
                self.replace(snapshot, now)
            }
        };
        let mut done = self.done.lock();
        let path = self.folder.display();
        match written {
            Ok((file, new_bytes)) => {
                if !done.error.is_empty() {
                    info!(%path, "snapshots are written again");
                }
                done.error.clear();
                (done.taken, done.bytes) = (Some(now), file.bytes);
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

    /// Whether the file is still the one that this process has written, and is not to be written anew: a retention after its
    /// beginning half of its history may be too old, if what was appended is as much as what it began with.
    fn is_to_be_appended(&self, file: &Appendable, now: Timestamp) -> bool {
        let (Ok(open), Ok(named)) = (file.file.metadata(), fs::metadata(self.folder.join(NAME)))
        else {
            return false;
        };
        let is_same = (open.dev(), open.ino()) == (named.dev(), named.ino());
        let (begun, first_bytes) = file.first;
        let is_young = now.since_ms(begun) < self.retention_ms;
        is_same && open.len() == file.bytes && (is_young || file.bytes < 2 * first_bytes)
    }

    /// Replaces the file. Answers it and how many bytes were written.
    fn replace(&self, mut snapshot: Snapshot, now: Timestamp) -> io::Result<(Appendable, u64)> {
        let name = format!("{NAME}.{}.{UNFINISHED}", std::process::id());
        let unfinished = self.folder.join(name);
        let mut write = || {
            let mut file = File::create(&unfinished)?;
            let bytes = put(&mut file, &mut snapshot)?;
            file.sync_all()?;
            fs::rename(&unfinished, self.folder.join(NAME))?;
            // The rename is durable once its folder is.
            File::open(&self.folder)?.sync_all()?;
            Ok((file, bytes))
        };
        match write() {
            Ok((file, bytes)) => {
                let appendable = Appendable {
                    file,
                    written: snapshot.written(),
                    first: (now, bytes),
                    bytes,
                };
                Ok((appendable, bytes))
            }
            Err(error) => {
                fs::remove_file(&unfinished).ok(); // it may not even have been made
                Err(error)
            }
        }
    }

    /// Removes what earlier processes left behind when they were killed.
    fn remove_unfinished(&self) {
        let is_ours = |path: &Path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or("");
            name.starts_with(NAME) && name.ends_with(UNFINISHED)
        };
        let entries = fs::read_dir(&self.folder).into_iter().flatten();
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if is_ours(&path) {
                fs::remove_file(&path).ok(); // it is only in the way of nothing
            }
        }
    }
}

/// Appends a part to a file with this first part and so many bytes. Answers it and how many bytes were written.
fn append(
    mut file: File,
    mut part: Snapshot,
    (first, before_bytes): ((Timestamp, u64), u64),
) -> io::Result<(Appendable, u64)> {
    let bytes = put(&mut file, &mut part)?;
    file.sync_data()?;
    let appendable = Appendable {
        file,
        written: part.written(),
        first,
        bytes: before_bytes + bytes,
    };
    Ok((appendable, bytes))
}

/// Writes a part piece by piece. Answers its bytes.
fn put(file: &mut File, part: &mut Snapshot) -> io::Result<u64> {
    let mut buffer = Vec::new();
    let mut bytes = 0;
    loop {
        buffer.clear();
        let more = part.next(&mut buffer);
        file.write_all(&buffer)?;
        bytes += buffer.len() as u64;
        if !more {
            return Ok(bytes);
        }
    }
}

/// Reads a file twice: which parts of it are whole, and then those.
fn restore(file: File, limits: Limits, now: Timestamp) -> Result<(Restored, Whole), SnapshotError> {
    let mut file = BufReader::new(file);
    let whole = whole(&mut |buffer| file.read_exact(buffer).is_ok())?;
    // A file that cannot be read again is one that ends early.
    file.rewind()
        .map_err(|_| SnapshotError::Torn { sections: 0 })?;
    let mut file = file.take(whole.bytes);
    let read = &mut |buffer: &mut [u8]| file.read_exact(buffer).is_ok();
    Ok((Engine::restore(limits, now, read)?, whole))
}
