//! The file of snapshots below `--storage.path`: read at the start, written every 30 s, or as often as is asked for, and at the end.
//!
//! The file is replaced as a whole: a new one is written beside it, made durable and renamed over it, so that whoever kills
//! this process at any moment leaves the one or the other. What is lost then is what came after the newest snapshot, at
//! most that long and the time that one takes. A file that cannot be used is refused with the reason, and the server
//! starts empty; a disk that is full or read-only is a warning and nothing else.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stillwell_engine::snapshot::{Restored, Snapshot};
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
    done: Mutex<Done>,
}

/// What was done so far, for `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// When the newest snapshot in the file was taken.
    pub taken: Option<Timestamp>,
    /// Its bytes.
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
    /// In this folder, which is made where it is missing.
    pub fn new(folder: PathBuf, interval: Duration) -> Snapshots {
        Snapshots {
            folder,
            interval,
            done: Mutex::default(),
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
        let mut file = BufReader::new(file);
        let mut read = |buffer: &mut [u8]| file.read_exact(buffer).is_ok();
        // A fault of ours in reading must not keep the server from starting.
        let restore = AssertUnwindSafe(|| Engine::restore(limits, now, &mut read));
        let restored = match catch_unwind(restore) {
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
        let writer = shared.writer.lock();
        // The time is read under the lock: no page of a later time is in the snapshot.
        let now = shared.clock.now();
        let snapshot = writer.snapshot(now, &named);
        drop(writer);
        let written = self.replace(snapshot);
        let mut done = self.done.lock();
        let path = self.folder.display();
        match written {
            Ok(bytes) => {
                if !done.error.is_empty() {
                    info!(%path, "snapshots are written again");
                }
                done.error.clear();
                (done.taken, done.bytes) = (Some(now), bytes);
                done.bytes_written += bytes;
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

    /// Replaces the file. Answers its bytes.
    fn replace(&self, mut snapshot: Snapshot) -> io::Result<u64> {
        let name = format!("{NAME}.{}.{UNFINISHED}", std::process::id());
        let unfinished = self.folder.join(name);
        let mut write = || {
            let mut file = File::create(&unfinished)?;
            let mut buffer = Vec::new();
            let mut bytes = 0;
            loop {
                buffer.clear();
                let more = snapshot.next(&mut buffer);
                file.write_all(&buffer)?;
                bytes += buffer.len() as u64;
                if !more {
                    break;
                }
            }
            file.sync_all()?;
            fs::rename(&unfinished, self.folder.join(NAME))?;
            // The rename is durable once its folder is.
            File::open(&self.folder)?.sync_all()?;
            Ok(bytes)
        };
        let written = write();
        if written.is_err() {
            fs::remove_file(&unfinished).ok(); // it may not even have been made
        }
        written
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
