//! Which files the patterns of a `file_sd_configs` section name now.
//!
//! A pattern whose folder cannot be read, for want of permission or descriptors, or because the server behind a mount has gone,
//! names files that nobody can see: that is an error, and not a folder without files. One that is not there has none.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// What the patterns name.
#[derive(Debug, Default)]
pub(super) struct Matching {
    /// Each file once, in order; some more than are read at most.
    pub(super) paths: Vec<PathBuf>,
    /// Patterns of which it is not known what they name, and why.
    pub(super) unread: Vec<(PathBuf, String)>,
}

impl Matching {
    /// Looks at the file system. It may block; `looks_at` is told of each pattern before. So many files are enough.
    pub(super) fn of(patterns: &[PathBuf], files_max: usize, looks_at: impl Fn(&Path)) -> Matching {
        let stat = |path: &Path| std::fs::symlink_metadata(path).map(drop);
        let glob = |pattern: &Path| {
            looks_at(pattern);
            glob(pattern)
        };
        Matching::by(patterns, files_max, glob, stat)
    }

    fn by<F: IntoIterator<Item = io::Result<PathBuf>>>(
        patterns: &[PathBuf],
        files_max: usize,
        glob: impl Fn(&Path) -> F,
        stat: impl Fn(&Path) -> io::Result<()>,
    ) -> Matching {
        let mut paths = BTreeSet::new();
        let mut unread = Vec::new();
        for pattern in patterns {
            let mut names_any = false;
            let mut problem = None;
            for found in glob(pattern) {
                match found {
                    Ok(path) => {
                        names_any = true;
                        paths.insert(path);
                    }
                    Err(error) if is_absent(&error) => {}
                    Err(error) => problem = Some(error.to_string()),
                }
                if paths.len() > files_max {
                    break;
                }
            }
            // The crate takes what it cannot look at for what is not there.
            let folder = literal_part(pattern);
            match stat(&folder) {
                Err(error) if !names_any && problem.is_none() && !is_absent(&error) => {
                    problem = Some(format!("{}: {error}", folder.display()));
                }
                _ => {}
            }
            unread.extend(problem.map(|why| (pattern.clone(), why)));
            if paths.len() > files_max {
                break;
            }
        }
        Matching {
            paths: paths.into_iter().collect(),
            unread,
        }
    }

    /// Whether a file may be there although nobody can see it.
    pub(super) fn may_have(&self, path: &Path) -> bool {
        let mut unread = self.unread.iter();
        unread.any(|(pattern, _)| {
            let pattern = glob::Pattern::new(&pattern.to_string_lossy());
            pattern.is_ok_and(|pattern| pattern.matches_path(path))
        })
    }

    /// Why some of them are not known.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        self.unread.iter().map(|(_, why)| why.clone())
    }
}

fn glob(pattern: &Path) -> impl Iterator<Item = io::Result<PathBuf>> + use<> {
    let found = glob::glob(&pattern.to_string_lossy());
    let found = found.into_iter().flatten(); // a pattern that is none was refused with the configuration
    found.map(|path| path.map_err(|error| io::Error::new(error.error().kind(), error.to_string())))
}

/// What of a pattern stands for itself: the file, or the folder of which it names some.
fn literal_part(pattern: &Path) -> PathBuf {
    let is_literal = |part: &std::path::Component<'_>| {
        let text = part.as_os_str().to_string_lossy();
        !text.contains(['*', '?', '['])
    };
    pattern.components().take_while(is_literal).collect()
}

fn is_absent(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::NotFound || kind == io::ErrorKind::NotADirectory
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES_MAX: usize = 100;

    /// A folder that could not be read, for want of descriptors too, had no files, and all targets were gone; then those of other
    /// folders were not read either.
    #[test]
    fn a_folder_that_cannot_be_read_is_not_empty_and_takes_no_other_with_it() {
        let patterns = [PathBuf::from("/a/*.json"), PathBuf::from("/b/*.json")];
        for (kind, is_unread) in [
            (io::ErrorKind::NotFound, false),
            (io::ErrorKind::PermissionDenied, true),
            (io::ErrorKind::Other, true),
        ] {
            let glob = |pattern: &Path| match pattern.starts_with("/a") {
                true => vec![Ok(PathBuf::from("/a/1.json"))],
                false => vec![Err(io::Error::new(kind, "no"))],
            };
            let found = Matching::by(&patterns, FILES_MAX, glob, |_| Ok(()));
            assert_eq!(found.paths, [PathBuf::from("/a/1.json")]);
            assert_eq!(found.problems().count(), usize::from(is_unread), "{kind}");
            assert_eq!(found.may_have(Path::new("/b/2.json")), is_unread, "{kind}");
            assert!(!found.may_have(Path::new("/a/2.json")));
        }
    }

    /// Of a mount whose server had gone nothing was matched, and nothing said why: all targets left.
    #[test]
    fn what_cannot_be_looked_at_is_not_gone() {
        for (pattern, looked_at) in [("/m/t.json", "/m/t.json"), ("/m/x*.json", "/m")] {
            for (kind, is_unread) in [
                (io::ErrorKind::NotFound, false),
                (io::ErrorKind::NotConnected, true),
                (io::ErrorKind::StaleNetworkFileHandle, true),
            ] {
                let stat = |path: &Path| match path == Path::new(looked_at) {
                    true => Err(io::Error::new(kind, "gone")),
                    false => Ok(()),
                };
                let patterns = [PathBuf::from(pattern)];
                let found = Matching::by(&patterns, FILES_MAX, |_| Vec::new(), stat);
                assert_eq!(
                    found.unread.len(),
                    usize::from(is_unread),
                    "{pattern} {kind}"
                );
            }
        }
    }

    /// A folder below one that nobody may enter, as real file systems say it; whoever runs as root may enter all.
    #[test]
    fn a_name_below_a_file_or_in_no_folder_is_absent() {
        let below_a_file = std::env::current_exe()
            .expect("this program")
            .join("t.json");
        for pattern in [below_a_file, PathBuf::from("/there/is/no/such/t.json")] {
            let found = Matching::of(&[pattern], FILES_MAX, |_| ());
            assert!(found.paths.is_empty() && found.unread.is_empty());
        }
    }

    /// Patterns that match the same files took the room of those of the next.
    #[test]
    fn a_file_counts_once_however_many_patterns_match_it() {
        let patterns = vec![PathBuf::from("a"); 5].into_iter();
        let patterns: Vec<PathBuf> = patterns.chain([PathBuf::from("b")]).collect();
        let glob = |pattern: &Path| {
            let pattern = pattern.to_owned();
            (0..FILES_MAX / 2).map(move |at| Ok(pattern.join(at.to_string())))
        };
        let found = Matching::by(&patterns, FILES_MAX, glob, |_| Ok(()));
        assert_eq!(found.paths.len(), FILES_MAX / 2 * 2);
    }
}
