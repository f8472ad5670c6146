//! The file of snapshots below `--storage.path`: read at the start, written every 30 s, or as often as is asked for, and at the end.
//!
//! What came since the last time is appended to the file, so that history is written once. When it has become twice as large as
//! both its first part and the history in memory, when half of it may be older than the retention, and at the first time of a
//! process, a new one is written beside it, made durable and renamed over it.
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
/// A file has at least so many parts before it is written anew for its size.
const PARTS_MIN: u32 = 3;
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
    parts: u32,
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
            .filter(|file| self.is_to_be_appended(file, shared));
        let writer = shared.writer.lock();
        // The time is read under the lock: no page of a later time is in the snapshot.
        let now = shared.clock.now();
        let written = match before {
            Some(mut before) => {
                let written = std::mem::take(&mut before.written);
                let part = writer.snapshot_since(written, now, &named);
                drop(writer);
                append(before, part)
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

    /// Whether the file is still the one that this process has written, and is not to be written anew.
    fn is_to_be_appended(&self, file: &Appendable, shared: &Shared) -> bool {
        let (Ok(open), Ok(named)) = (file.file.metadata(), fs::metadata(self.folder.join(NAME)))
        else {
            return false;
        };
        let is_same = (open.dev(), open.ino()) == (named.dev(), named.ino());
        let (begun, first_bytes) = file.first;
        let bytes = shared.reader.stats().bytes;
        let size = FileSize {
            bytes: file.bytes,
            parts: file.parts,
            first_bytes,
            is_old: shared.clock.now().since_ms(begun) >= self.retention_ms,
            history_bytes: (bytes.history + bytes.histograms) as u64,
        };
        is_same && open.len() == file.bytes && !size.is_too_much()
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
                    parts: 1,
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

/// How large a file is, beside what it may be.
struct FileSize {
    bytes: u64,
    parts: u32,
    first_bytes: u64,
    /// Whether its first part is older than the retention.
    is_old: bool,
    /// Of history in memory now.
    history_bytes: u64,
}

impl FileSize {
    /// Whether half of it may be what is in memory no more. The memory limit drops history at any age: what a file has beyond
    /// twice that of now was dropped. The retention drops what is older than it: half of the file, if it is twice as large
    /// as it was then.
    fn is_too_much(&self) -> bool {
        let is_outgrown = self.bytes > 2 * self.first_bytes.max(self.history_bytes);
        let is_outlived = self.is_old && self.bytes >= 2 * self.first_bytes;
        is_outlived || (is_outgrown && self.parts >= PARTS_MIN)
    }
}

/// Appends a part to a file. Answers it and how many bytes were written.
fn append(before: Appendable, mut part: Snapshot) -> io::Result<(Appendable, u64)> {
    let mut file = before.file;
    let bytes = put(&mut file, &mut part)?;
    file.sync_data()?;
    let appendable = Appendable {
        file,
        written: part.written(),
        first: before.first,
        bytes: before.bytes + bytes,
        parts: before.parts.saturating_add(1),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_begins_anew_when_half_of_it_was_dropped() {
        let is_too_much = |bytes, parts, first_bytes, is_old, history_bytes| {
            let size = FileSize {
                bytes,
                parts,
                first_bytes,
                is_old,
                history_bytes,
            };
            size.is_too_much()
        };
        // History grows with the file: nothing was dropped.
        assert!(!is_too_much(900, 100, 10, false, 600));
        // The memory limit keeps history from growing further.
        assert!(!is_too_much(1_200, 200, 10, false, 600));
        assert!(is_too_much(1_201, 200, 10, false, 600));
        // It does not outgrow the whole that it began with.
        assert!(!is_too_much(2_000, 200, 1_000, false, 600));
        assert!(is_too_much(2_001, 200, 1_000, false, 600));
        // Not at every time, however little is kept.
        assert!(!is_too_much(500, 2, 100, false, 10));
        assert!(is_too_much(500, 3, 100, false, 10));
        // The retention drops what is as old as the first part.
        assert!(!is_too_much(199, 100, 100, true, 600));
        assert!(is_too_much(200, 100, 100, true, 600));
    }
}
