//! When another file is begun, and when those before it are removed.
//!
//! With a retention of an hour and 40,480 samples a second the first part of a file is a thirtieth of what an hour writes, so
//! that two of them an hour are little. What is on disk is then at most one and a half times what the retention keeps, and the
//! first parts; where values hardly change, twice the first part and that of the file before.

use std::fs;
use std::path::{Path, PathBuf};

use stillwell_engine::Timestamp;

use super::{Appendable, NAME, Snapshots, UNFINISHED};

/// A file before the newest one.
pub(super) struct Older {
    path: PathBuf,
    bytes: u64,
    /// When its newest part was taken: all that it holds is as old or older.
    taken: Timestamp,
}

/// What is done with the next part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is appended to the newest file.
    Append,
    /// It is the first of another one.
    Begin,
    /// Everything is written, and replaces all files.
    Replace,
}

/// How large files are, beside what they may be.
pub(super) struct Sizes {
    /// Of the newest file.
    pub(super) bytes: u64,
    /// Of its first part.
    pub(super) first_bytes: u64,
    pub(super) parts: u32,
    pub(super) age_ms: i64,
    /// Of all files.
    pub(super) all_bytes: u64,
    /// Of history in memory now.
    pub(super) history_bytes: u64,
}

/// The newest file has at least so many parts before everything is written anew.
const PARTS_MIN: u32 = 3;

impl Sizes {
    /// Another file is begun after half a retention, if its first part is little beside the present one, and after a whole
    /// retention if it is not more. The memory limit drops history at any age: what files have beyond twice that of now
    /// was dropped.
    pub(super) fn next(&self, retention_ms: i64) -> Next {
        let bytes_max = 2 * self.first_bytes.max(self.history_bytes);
        let is_outgrown = self.all_bytes > bytes_max && self.parts >= PARTS_MIN;
        let is_half_outlived =
            self.age_ms >= retention_ms / 2 && self.bytes >= 16 * self.first_bytes;
        let is_outlived = self.age_ms >= retention_ms && self.bytes >= 2 * self.first_bytes;
        match (is_half_outlived || is_outlived, is_outgrown) {
            (true, _) => Next::Begin,
            (false, true) => Next::Replace,
            (false, false) => Next::Append,
        }
    }
}

impl Appendable {
    /// Of all files.
    pub(super) fn total_bytes(&self) -> u64 {
        self.bytes + self.older.iter().map(|older| older.bytes).sum::<u64>()
    }
}

impl Snapshots {
    /// The files before the newest one, by their numbers.
    pub(super) fn older(&self) -> Vec<(u64, PathBuf)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten();
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let mut older: Vec<(u64, PathBuf)> = paths
            .filter_map(|path| Some((number(&path)?, path)))
            .collect();
        older.sort();
        older
    }

    /// Gives the newest file the next number. Answers all files before the next.
    pub(super) fn keep(&self, before: Appendable) -> std::io::Result<Vec<Older>> {
        let number = self.older().last().map_or(1, |(number, _)| number + 1);
        let path = self.folder.join(format!("{NAME}.{number}"));
        fs::rename(self.folder.join(NAME), &path)?;
        let mut older = before.older;
        older.push(Older {
            path,
            bytes: before.bytes,
            taken: before.taken,
        });
        Ok(older)
    }

    /// Removes files of which all is older than the retention.
    pub(super) fn remove_outlived(&self, file: &mut Appendable, now: Timestamp) {
        let is_outlived = |older: &Older| now.since_ms(older.taken) > self.retention_ms;
        while let Some(older) = file.older.first().filter(|older| is_outlived(older)) {
            fs::remove_file(&older.path).ok(); // the next start passes over it, and the next whole one removes it
            file.older.remove(0);
        }
    }

    /// Removes all files before the newest one.
    pub(super) fn remove_older(&self) {
        for (_, path) in self.older() {
            fs::remove_file(path).ok(); // nothing goes on from it: a start passes over it
        }
    }

    /// Removes what earlier processes left behind when they were killed.
    pub(super) fn remove_unfinished(&self) {
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

fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(NAME)?.strip_prefix('.')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_at_most_twice_what_is_kept() {
        let next = |bytes, first_bytes, parts, age_ms, all_bytes, history_bytes| {
            let sizes = Sizes {
                bytes,
                first_bytes,
                parts,
                age_ms,
                all_bytes,
                history_bytes,
            };
            sizes.next(1_000)
        };
        // History grows with the file: nothing was dropped.
        assert_eq!(next(900, 10, 100, 499, 900, 600), Next::Append);
        // Half a retention has passed.
        assert_eq!(next(900, 10, 100, 500, 900, 600), Next::Begin);
        // The first part of another one would be too much, until a whole one has passed.
        assert_eq!(next(159, 10, 100, 500, 159, 600), Next::Append);
        assert_eq!(next(159, 10, 100, 999, 159, 600), Next::Append);
        assert_eq!(next(159, 10, 100, 1_000, 159, 600), Next::Begin);
        // Nothing changes: the file does not grow, and needs no other.
        assert_eq!(next(19, 10, 100, 9_000, 19, 600), Next::Append);
        // The memory limit keeps history from growing further.
        assert_eq!(next(1_100, 100, 200, 400, 1_200, 600), Next::Append);
        assert_eq!(next(1_100, 100, 200, 400, 1_201, 600), Next::Replace);
        // Files do not outgrow the whole that they began with.
        assert_eq!(next(2_000, 1_000, 200, 400, 2_000, 600), Next::Append);
        assert_eq!(next(2_001, 1_000, 200, 400, 2_001, 600), Next::Replace);
        // Not at every time, however little is kept.
        assert_eq!(next(500, 100, 2, 400, 500, 10), Next::Append);
        assert_eq!(next(500, 100, 3, 400, 500, 10), Next::Replace);
    }

    #[test]
    fn a_file_is_known_by_its_number() {
        for (name, expected) in [
            ("snapshot.12", Some(12)),
            ("snapshot", None),
            ("snapshot.", None),
            ("snapshot.7.unfinished", None),
            ("snapshots.1", None),
        ] {
            assert_eq!(number(&Path::new("/data").join(name)), expected, "{name}");
        }
    }
}
