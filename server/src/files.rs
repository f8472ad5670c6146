//! Files that a configuration names: regular ones of bounded size only, for a pipe or a device may never end.

use std::path::Path;

/// Bytes of a file of rules or scrape configurations, at most.
pub(crate) const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file. The error says what is wrong with it, without its name.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    if metadata.len() > FILE_BYTES_MAX {
        let bytes = metadata.len();
        return Err(format!("{bytes} bytes; at most {FILE_BYTES_MAX} are read"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
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
}
