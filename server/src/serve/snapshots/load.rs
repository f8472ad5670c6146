//! Reading the files at the start.
//!
//! The newest one is read with those before it from which it goes on, each known by the chain of the one before. Where one is
//! damaged, the newest that is whole counts, and none from before a damaged one: what is newest matters most.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use stillwell_engine::snapshot::{NextBytes, Restored, SnapshotError, Whole, whole};
use stillwell_engine::{Engine, Limits, Timestamp};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{NAME, Snapshots};
use crate::files;

/// A file whose parts are known.
struct Readable {
    path: PathBuf,
    file: BufReader<File>,
    whole: Whole,
}

impl Snapshots {
    /// Reads the files. `None`: there are none, or none can be used; the log says why.
    pub fn load(&self, limits: Limits, now: Timestamp) -> Option<Restored> {
        if let Err(error) = fs::create_dir_all(&self.folder) {
            let path = self.folder.display();
            warn!(%path, %error, "snapshots cannot be kept; samples are in memory only");
        }
        self.remove_unfinished();
        let began = Instant::now();
        let mut files = self.chain();
        let path = files.last()?.path.clone();
        // A fault of ours in reading must not keep the server from starting.
        let restored = match catch_unwind(AssertUnwindSafe(|| restore(&mut files, limits, now))) {
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
            files = files.len(),
            took_ms = began.elapsed().as_millis() as u64,
            "going on from the snapshot"
        );
        Some(restored)
    }

    /// The newest file that can be used and those from which it goes on, the oldest first.
    fn chain(&self) -> Vec<Readable> {
        let mut paths: Vec<PathBuf> = self.older().into_iter().map(|(_, path)| path).collect();
        paths.push(self.folder.join(NAME));
        let mut files: Vec<Readable> = Vec::new();
        while let Some(path) = paths.pop() {
            let after = files.last().map(|file| file.whole.goes_on_from);
            if after == Some(None) {
                break; // the newest of these begins with everything
            }
            let Some(file) = readable(path, paths.is_empty() && files.is_empty()) else {
                if files.is_empty() {
                    continue;
                }
                break;
            };
            let goes_on = file.whole.rest.is_none() && Some(file.whole.chain) == after.flatten();
            if after.is_some() && !goes_on {
                let path = file.path.display();
                warn!(%path, "this snapshot and those before it are not used: the next one does not go on from it");
                break;
            }
            files.push(file);
        }
        files.reverse();
        files
    }
}

/// Which parts of a file are whole. `None`: none, or there is no file; `is_alone`: no other could be used.
fn readable(path: PathBuf, is_alone: bool) -> Option<Readable> {
    let what_follows = match is_alone {
        true => "the snapshot is not used; starting empty",
        false => "the snapshot is not used; another one is",
    };
    let file = match files::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            warn!(path = %path.display(), %error, "{what_follows}");
            return None;
        }
    };
    let mut file = BufReader::new(file);
    match whole(&mut |buffer| file.read_exact(buffer).is_ok()) {
        Ok(whole) => {
            tell_rest(&path, &whole);
            Some(Readable { path, file, whole })
        }
        Err(error) => {
            warn!(path = %path.display(), %error, "{what_follows}");
            None
        }
    }
}

fn tell_rest(path: &Path, whole: &Whole) {
    if let Some(error) = &whole.rest {
        let parts = whole.parts;
        warn!(path = %path.display(), %error, parts, "the end of the snapshot is not used; what came after these parts is lost");
    }
}

/// Reads the whole parts of files.
fn restore(
    files: &mut [Readable],
    limits: Limits,
    now: Timestamp,
) -> Result<Restored, SnapshotError> {
    let mut readers = Vec::new();
    for Readable { file, whole, .. } in files {
        // A file that cannot be read again is one that ends early.
        file.rewind()
            .map_err(|_| SnapshotError::Torn { sections: 0 })?;
        let mut file = file.take(whole.bytes);
        readers.push(move |buffer: &mut [u8]| file.read_exact(buffer).is_ok());
    }
    let mut readers: Vec<NextBytes<'_>> = readers
        .iter_mut()
        .map(|read| read as NextBytes<'_>)
        .collect();
    Engine::restore_files(limits, now, &mut readers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
    use stillwell_engine::{Format, ScrapeFacts, TargetSpec};

    const START_MS: i64 = 1_800_000_000_000;
    const PAGES: i64 = 30;

    /// Three files, each with the pages of ten seconds in two parts, and how many pages each whole part ends with.
    fn files() -> [Vec<u8>; 3] {
        let (mut writer, _reader) = Engine::new(Limits::default());
        let (_, mut stage) = writer.add_target(TargetSpec::default());
        let mut files = [Vec::new(), Vec::new(), Vec::new()];
        let mut written = None;
        for page in 0..PAGES {
            let at = Timestamp::from_ms(START_MS + 1_000 * page);
            let text = format!("moves {page}\nstands 7\n");
            let staged = stage.parse(text.as_bytes(), Format::Text).expect("valid");
            let committed = writer.commit(staged, at, ScrapeFacts::default());
            committed.expect("taken");
            if page % 5 != 4 {
                continue;
            }
            let mut part = match (written.take(), page % 10) {
                (None, _) => writer.snapshot(at, &[]),
                (Some(written), 4) => writer.snapshot_in_new_file(written, at, &[]),
                (Some(written), _) => writer.snapshot_since(written, at, &[]),
            };
            let file = &mut files[page as usize / 10];
            while part.next(file) {}
            written = Some(part.written());
        }
        files
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("stillwell-snapshots-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::remove_dir_all(&folder).ok();
            fs::create_dir_all(&folder).expect("a folder");
            Folder(folder)
        }

        fn put(&self, files: [&[u8]; 3]) {
            for (name, bytes) in ["snapshot.1", "snapshot.2", "snapshot"].iter().zip(files) {
                fs::write(self.0.join(name), bytes).expect("written");
            }
        }

        /// The values of the series that moves, whose first and last are told, and how many there are. Both series have one
        /// where the pages are.
        fn loaded(&self) -> Option<(i64, i64)> {
            let snapshots = Snapshots::new(self.0.clone(), Duration::ZERO, 3_600_000);
            let now = Timestamp::from_ms(START_MS + 1_000 * PAGES);
            let restored = snapshots.load(Limits::default(), now)?;
            let values = |query: &str| {
                let query = Query::parse(query, &Features::default()).expect("valid");
                let plain = restored.reader.plain();
                let answer = query.instant(&plain, now, &EvalOptions::default());
                let Value::Matrix(matrix) = answer.expect("answers").value else {
                    panic!("a range was asked for");
                };
                matrix[0]
                    .floats
                    .iter()
                    .map(|(_, value)| *value)
                    .collect::<Vec<f64>>()
            };
            let moves = values("moves[10m]");
            let (first, last) = (moves[0] as i64, moves[moves.len() - 1] as i64);
            let expected: Vec<f64> = (first..=last).map(|n| n as f64).collect();
            assert_eq!(moves, expected, "no value is wrong or missing");
            assert_eq!(values("stands[10m]"), vec![7.0; moves.len()]);
            Some((first, last))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn the_newest_files_that_are_whole_count() {
        let [a, b, c] = files();
        let folder = Folder::new("chain");
        let damaged = |file: &[u8], at: usize| {
            let mut file = file.to_vec();
            file[at] ^= 4;
            file
        };
        let other_version = |than_ours: i8| {
            let mut file = c.clone();
            file[8] = file[8].wrapping_add_signed(than_ours);
            file
        };
        // A file of its own begins with the newest scrape before it.
        for (files, expected) in [
            ([&a[..], &b, &c], Some((0, 29))),
            ([&damaged(&a, 60)[..], &b, &c], Some((9, 29))),
            ([b"foreign", &b, &c], Some((9, 29))),
            ([&a, &damaged(&b, 60), &c], Some((19, 29))),
            // Its end is damaged: what comes next does not go on from it.
            ([&a, &damaged(&b, b.len() - 1), &c], Some((19, 29))),
            ([&a, &b, &c[..c.len() - 1]], Some((0, 24))),
            ([&a, &b, &damaged(&c, 60)], Some((0, 19))),
            ([&a, &b, b"foreign"], Some((0, 19))),
            ([&a, &b, &other_version(-1)], Some((0, 19))),
            ([&a, &b, &other_version(1)], Some((0, 19))),
            ([&b, &a, &c], Some((19, 29))),
            ([&a, &a, &c], Some((19, 29))),
            ([&a, &b, &a], Some((0, 9))),
            ([b"x", b"y", b"z"], None),
            ([b"", b"", b""], None),
        ] {
            folder.put(files);
            assert_eq!(folder.loaded(), expected, "{:?}", files.map(<[u8]>::len));
        }
        // Killed between the two renames with which a file is begun.
        folder.put([&a, &b, b""]);
        fs::remove_file(folder.0.join("snapshot")).expect("it is there");
        assert_eq!(folder.loaded(), Some((0, 19)));
        // The oldest are removed once they are not needed.
        folder.put([&a, &b, &c]);
        fs::remove_file(folder.0.join("snapshot.1")).expect("it is there");
        assert_eq!(folder.loaded(), Some((9, 29)));
    }

    #[test]
    fn a_file_that_ends_anywhere_costs_its_last_part_only() {
        let [a, b, c] = files();
        let folder = Folder::new("torn");
        folder.put([&a, &b, &c]);
        for end in 0..c.len() {
            fs::write(folder.0.join("snapshot"), &c[..end]).expect("written");
            let last = folder.loaded().map(|(_, last)| last);
            assert!(last == Some(19) || last == Some(24), "{last:?} at {end}");
        }
        for at in 0..c.len() {
            for bit in [0, 7] {
                let mut damaged = c.clone();
                damaged[at] ^= 1 << bit;
                fs::write(folder.0.join("snapshot"), &damaged).expect("written");
                let last = folder.loaded().map(|(_, last)| last);
                assert!(last == Some(19) || last == Some(24), "{last:?} at {at}");
            }
        }
    }
}
