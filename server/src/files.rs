//! Files that a configuration names: regular ones of bounded size only, for a pipe or a device may never end.

use std::path::Path;

/// Bytes of a file of rules or scrape configurations, at most.
pub(crate) const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file as text. The error says what is wrong with it, without its name.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let bytes = read_bytes(path, FILE_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}

/// Opens a file that ends: a regular one. The error says what is wrong with it, without its name.
pub(crate) fn open(path: &Path) -> std::io::Result<std::fs::File> {
    // Before it is opened: opening a pipe waits for who writes into it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    std::fs::File::open(path)
}

/// Reads a file of at most so many bytes. The error says what is wrong with it, without its name.
pub(crate) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let file = open(path).map_err(|error| error.to_string())?;
    let too_large = |bytes: u64| format!("{bytes} bytes; at most {bytes_max} are read");
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    if length > bytes_max {
        return Err(too_large(length));
    }
    // It may grow meanwhile, and files of `/proc` do not say their length.
    let mut bytes = Vec::new();
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    match bytes.len() as u64 > bytes_max {
        true => Err(too_large(bytes.len() as u64)),
        false => Ok(bytes),
    }
}

/// Reads a file of at most so many bytes as text, on a thread that may block. The error names the file.
pub(crate) async fn read_text(path: &Path, bytes_max: u64) -> Result<String, String> {
    let owned = path.to_owned();
    let bytes = tokio::task::spawn_blocking(move || read_bytes(&owned, bytes_max)).await;
    let bytes = bytes.map_err(|error| error.to_string()).flatten();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned()));
    text.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused() {
        assert_eq!(
            read(Path::new("/dev/zero")),
            Err("not a regular file".to_owned())
        );
        assert_eq!(
            read(Path::new("/proc")),
            Err("not a regular file".to_owned())
        );
        assert!(read(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn no_more_than_the_limit_is_read_of_a_file_that_does_not_say_its_length() {
        let path = Path::new("/proc/self/status");
        assert!(read_bytes(path, 1 << 20).is_ok_and(|bytes| bytes.len() > 10));
        assert_eq!(
            read_bytes(path, 10),
            Err("11 bytes; at most 10 are read".to_owned())
        );
    }
}
