//! Where the receivers stand, in a folder below `--storage.path`: one file each, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use stillwell_engine::Reader;
use stillwell_engine::feed::Feed;
use tracing::warn;
use twox_hash::XxHash64;

use crate::files;

/// The folder below `--storage.path`.
const FOLDER: &str = "remote_write";
/// A larger file is none of ours: 16 bytes for each of 16 million series with timestamps of their own.
const BYTES_MAX: u64 = 256 << 20;

/// The file of one receiver.
#[derive(Clone, Debug)]
pub(super) struct CursorFile {
    folder: PathBuf,
    name: String,
}

impl CursorFile {
    /// That of the receiver with this name.
    pub(super) fn new(storage: &Path, name: &str) -> CursorFile {
        CursorFile {
            folder: storage.join(FOLDER),
            name: format!("{:016x}", XxHash64::oneshot(0, name.as_bytes())),
        }
    }

    /// A feed from where the file says; from now on where there is none, or where it cannot be used.
    pub(super) fn feed(&self, reader: &Reader, receiver: &str) -> Feed {
        let path = self.folder.join(&self.name);
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            files::open(&path)?
                .take(BYTES_MAX)
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    let path = path.display();
                    warn!(%path, %error, receiver, "what was sent cannot be read; sending begins with new samples");
                }
                return Feed::from_now(reader);
            }
        };
        let (sum, cursor) = bytes.split_at(bytes.len().min(8));
        let is_whole = XxHash64::oneshot(0, cursor).to_le_bytes() == *sum;
        let restored = match is_whole {
            true => Feed::restored(reader, cursor),
            false => Err("its checksum is wrong"),
        };
        restored.unwrap_or_else(|why| {
            let path = path.display();
            warn!(%path, why, receiver, "what was sent is not known; sending begins with new samples");
            Feed::from_now(reader)
        })
    }

    /// Replaces the file.
    pub(super) fn write(&self, cursor: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let unfinished = self.folder.join(format!("{}.unfinished", self.name));
        let mut file = File::create(&unfinished)?;
        file.write_all(&XxHash64::oneshot(0, cursor).to_le_bytes())?;
        file.write_all(cursor)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.folder.join(&self.name))?;
        File::open(&self.folder)?.sync_all()
    }
}
