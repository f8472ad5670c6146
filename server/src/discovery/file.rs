//! `file_sd_configs`: lists of targets in files, read again when they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use stillwell_engine::labels::Labels;
use tokio::time::Instant;

use super::groups::Groups;
use super::matching_files::Matching;
use super::target_list::{ListFormat, parse};
use crate::config::FileDiscovery;
use crate::files;
use crate::scrape::TargetGroup;

/// How often the files are looked at. Prometheus is told of changes by the kernel; a look costs a few microseconds a
/// file, works on every file system, and is soon enough for a target.
const LOOK_MS: u64 = 1_000;
/// A list of a hundred thousand targets is some ten megabytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Files of one section: each is looked at every second.
const FILES_MAX: usize = 10_000;

/// What is known of a file.
struct Known {
    /// When it was changed, and its size.
    version: Option<(SystemTime, u64)>,
    /// Its last good list.
    groups: Vec<TargetGroup>,
    /// There was one.
    is_read: bool,
}

impl Known {
    /// After it was read: the last good list stays where it is none, and why. It is tried again when the file changes.
    fn after(
        before: Option<Known>,
        version: Option<(SystemTime, u64)>,
        list: Result<Vec<TargetGroup>, String>,
    ) -> (Known, Option<String>) {
        let (groups, is_read, problem) = match (list, before) {
            (Ok(list), _) => (list, true, None),
            (Err(why), Some(before)) => (before.groups, before.is_read, Some(why)),
            (Err(why), None) => (Vec::new(), false, Some(why)),
        };
        let known = Known {
            version,
            groups,
            is_read,
        };
        (known, problem)
    }
}

/// Keeps `groups` up to date until it is dropped.
pub(super) async fn run(config: FileDiscovery, groups: Groups) {
    let mut files = Files::default();
    let mut read_all = Instant::now();
    let mut first = true;
    loop {
        let all = first || read_all.elapsed() >= Duration::from_millis(config.refresh_ms);
        if all {
            read_all = Instant::now();
        }
        first = false;
        files.look(&config, &groups, all).await;
        tokio::time::sleep(Duration::from_millis(LOOK_MS.min(config.refresh_ms))).await;
    }
}

/// The files of a section.
#[derive(Default)]
struct Files {
    known: BTreeMap<PathBuf, Known>,
    /// What was found last was a list: all folders and files were read. `None` before the first look.
    was_whole: Option<bool>,
}

impl Files {
    /// Reads the files that changed, or all. What cannot be seen stays as it was.
    async fn look(&mut self, config: &FileDiscovery, groups: &Groups, all: bool) {
        let patterns = config.files.clone();
        let found = tokio::task::spawn_blocking(move || Matching::of(&patterns, FILES_MAX)).await;
        let mut found = match found {
            Ok(found) => found,
            Err(ends) => return groups.fail(ends.to_string()), // with the runtime: it has not panicked
        };
        let too_many = (found.paths.len() > FILES_MAX)
            .then(|| format!("more than {FILES_MAX} files match; the others are left out"));
        if too_many.is_some() {
            groups.set_partial(too_many.clone()); // before what is read of a part
        }
        found.paths.truncate(FILES_MAX);
        let stays =
            |path: &PathBuf| found.paths.binary_search(path).is_ok() || found.may_have(path);
        let mut news = self.was_whole.is_none() || !self.known.keys().all(stays);
        self.known.retain(|path, _| stays(path));
        let mut problems: Vec<String> = found.problems().collect();
        for path in &found.paths {
            news |= self.read(path, all, &mut problems).await;
        }
        let is_whole = found.unread.is_empty() && self.known.values().all(|one| one.is_read);
        let becomes_whole = is_whole && self.was_whole == Some(false);
        if news || becomes_whole || (all && problems.is_empty()) {
            let known = self.known.iter();
            let lists = known.flat_map(|(path, known)| labelled(path, &known.groups));
            match is_whole {
                true => groups.replace(lists),
                false => groups.replace_part(lists),
            }
        }
        self.was_whole = Some(is_whole);
        groups.set_partial(too_many);
        if !problems.is_empty() {
            groups.fail(problems.join("; "));
        }
    }

    /// Reads a file, if it has changed or `all` are to be read. Whether it lists something else now.
    async fn read(&mut self, path: &Path, all: bool, problems: &mut Vec<String>) -> bool {
        let version = version(path).await;
        let have = self.known.get(path);
        if !all && have.is_some_and(|have| have.version == version) {
            return false;
        }
        let list = read(path).await;
        let is_news =
            (list.as_ref()).is_ok_and(|list| have.is_none_or(|have| have.groups != *list));
        let before = self.known.remove(path);
        let (now, problem) = Known::after(before, version, list);
        problems.extend(problem);
        self.known.insert(path.to_owned(), now);
        is_news
    }
}

async fn version(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

async fn read(path: &Path) -> Result<Vec<TargetGroup>, String> {
    let text = files::read_text(path, FILE_BYTES_MAX).await?;
    let json = path
        .extension()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("json"));
    let format = if json {
        ListFormat::Json
    } else {
        ListFormat::Yaml
    };
    parse(&text, format).map_err(|why| format!("{}: {why}", path.display()))
}

/// The groups of a file, each with its source and the file's name among its labels.
fn labelled(path: &Path, groups: &[TargetGroup]) -> Vec<(String, TargetGroup)> {
    let name = path.display().to_string();
    let with_path = |labels: &Labels| labels.to_builder().set("__meta_filepath", &name).build();
    let sources = groups.iter().enumerate().map(|(at, group)| {
        let group = TargetGroup {
            targets: group.targets.clone(),
            labels: with_path(&group.labels),
            attached: Vec::new(),
        };
        (format!("{name}:{at}"), group)
    });
    sources.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn addresses(groups: &Groups) -> Vec<String> {
        let groups = groups.get().groups;
        let targets = groups.values().flat_map(|group| &group.targets);
        let addresses = targets.filter_map(|at| at.get("__address__"));
        addresses.map(str::to_owned).collect()
    }

    /// Of two files one was half written at our start, and the other's targets were told for both.
    #[tokio::test]
    async fn a_file_that_was_never_read_is_no_list() {
        let folder = std::env::temp_dir().join(format!("stillwell-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let config = FileDiscovery {
            files: vec![folder.join("*.json")],
            refresh_ms: 300_000,
        };
        let groups = Groups::new("test".to_owned(), Arc::default());
        let mut files = Files::default();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).expect("writable");
        };
        write("a.json", r#"[{"targets":["a:1"]}]"#);
        for (text, is_read, is_good) in [
            (r#"[{"targets":["#, false, false),
            ("[]", true, true),
            ("[{{", true, false),
        ] {
            write("b.json", text);
            files.look(&config, &groups, false).await;
            assert_eq!(groups.get().is_read, is_read, "{text}");
            assert_eq!(groups.state().0.is_none(), is_good, "{text}");
            assert_eq!(addresses(&groups), ["a:1"], "{text}");
        }
        std::fs::remove_dir_all(&folder).ok();
    }

    #[tokio::test]
    async fn a_file_is_followed_and_a_broken_one_keeps_its_last_list() {
        let folder = std::env::temp_dir().join(format!("stillwell-file-sd-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let path = folder.join("a.json");
        let config = FileDiscovery {
            files: vec![folder.join("*.json"), path.clone()],
            refresh_ms: 300_000,
        };
        let groups = Groups::new("test".to_owned(), Arc::default());
        let mut files = Files::default();
        let mut step = async |text: Option<&str>, all: bool| {
            match text {
                Some(text) => std::fs::write(&path, text).expect("writable"),
                None => std::fs::remove_file(&path).expect("it is there"),
            }
            files.look(&config, &groups, all).await;
            (addresses(&groups), groups.state().0)
        };
        let (found, problem) = step(Some(r#"[{"targets":["a:1"]}]"#), false).await;
        assert_eq!((found.join(" "), problem), ("a:1".to_owned(), None));
        let (found, _) = step(Some(r#"[{"targets":["a:1","b:22"]}]"#), false).await;
        assert_eq!(found.join(" "), "a:1 b:22");
        let (found, problem) = step(Some("[{{"), false).await;
        assert_eq!(found.join(" "), "a:1 b:22", "the last good list stays");
        assert!(problem.is_some_and(|why| why.contains("a.json: not JSON")));
        let (found, problem) = step(Some("[]"), false).await;
        assert_eq!((found.len(), problem), (0, None));
        let (found, _) = step(Some(r#"[{"targets":["c:1"],"labels":{"l":"v"}}]"#), true).await;
        assert_eq!(found.join(" "), "c:1");
        let (found, _) = step(None, false).await;
        assert!(
            found.is_empty(),
            "a file that is gone takes its targets with it"
        );
        std::fs::remove_dir_all(&folder).ok();
    }
}
