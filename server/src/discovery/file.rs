//! `file_sd_configs`: lists of targets in files, read again when they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use stillwell_engine::labels::Labels;
use tokio::time::Instant;

use super::groups::Groups;
use super::looks::{LOOKS, LooksAt};
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
    let mut reads_all = true;
    loop {
        reads_all |= read_all.elapsed() >= Duration::from_millis(config.refresh_ms);
        if reads_all {
            read_all = Instant::now();
        }
        let (patterns, into) = (config.files.clone(), groups.clone());
        let mut known = std::mem::take(&mut files);
        let work = move |at: &LooksAt| {
            known.look(&patterns, &into, reads_all, at);
            known
        };
        let tell = |why| groups.fail(why);
        let took_long;
        (files, took_long) = match LOOKS.look(&config.files, work, tell).await {
            (Ok(files), took_long) => (files, took_long),
            (Err(ends), _) => return groups.fail(ends.to_string()), // with the runtime: it has not panicked
        };
        // What was said of one that took long is taken back once all is read.
        reads_all = took_long;
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
    /// Reads the files that changed, or all. What cannot be seen stays as it was. It may block; `at` is told of each file.
    fn look(&mut self, patterns: &[PathBuf], groups: &Groups, all: bool, at: &LooksAt) {
        let mut found = Matching::of(patterns, FILES_MAX, |pattern| at.set(pattern));
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
            at.set(path);
            news |= self.read(path, all, &mut problems);
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
    fn read(&mut self, path: &Path, all: bool, problems: &mut Vec<String>) -> bool {
        let version = version(path);
        let have = self.known.get(path);
        if !all && have.is_some_and(|have| have.version == version) {
            return false;
        }
        let list = read(path);
        let is_news =
            (list.as_ref()).is_ok_and(|list| have.is_none_or(|have| have.groups != *list));
        let before = self.known.remove(path);
        let (now, problem) = Known::after(before, version, list);
        problems.extend(problem);
        self.known.insert(path.to_owned(), now);
        is_news
    }
}

fn version(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<Vec<TargetGroup>, String> {
    let named = |why: String| format!("{}: {why}", path.display());
    let text = files::read_bytes(path, FILE_BYTES_MAX)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned()))
        .map_err(named)?;
    let json = path
        .extension()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("json"));
    let format = if json {
        ListFormat::Json
    } else {
        ListFormat::Yaml
    };
    parse(&text, format).map_err(named)
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
    #[test]
    fn a_file_that_was_never_read_is_no_list() {
        let folder = std::env::temp_dir().join(format!("stillwell-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let patterns = [folder.join("*.json")];
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
            files.look(&patterns, &groups, false, &LooksAt::default());
            assert_eq!(groups.get().is_read, is_read, "{text}");
            assert_eq!(groups.state().0.is_none(), is_good, "{text}");
            assert_eq!(addresses(&groups), ["a:1"], "{text}");
        }
        std::fs::remove_dir_all(&folder).ok();
    }

    /// Files on a mount whose server had gone stopped being read, and nobody said so.
    #[tokio::test(start_paused = true)]
    async fn files_that_are_not_looked_at_are_told_of_until_they_are() {
        let folder =
            std::env::temp_dir().join(format!("stillwell-file-long-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        std::fs::write(folder.join("a.json"), r#"[{"targets":["a:1"]}]"#).expect("writable");
        let config = FileDiscovery {
            files: vec![folder.join("*.json")],
            refresh_ms: 300_000,
        };
        let patterns = config.files.clone();
        let (answer, answered) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let hangs = move |_: &LooksAt| {
            begin.send(()).ok();
            answered.recv().ok();
        };
        tokio::spawn(async move { LOOKS.look(&patterns, hangs, drop).await });
        begun.await.expect("it has begun");
        let changed = Arc::default();
        let groups = Groups::new("test".to_owned(), Arc::clone(&changed));
        tokio::spawn(run(config, groups.clone()));
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(10)).await;
        changed.notified().await;
        let why = groups.state().0.expect("it waits");
        assert!(why.contains("*.json: not looked at"), "{why}");
        drop(answer);
        while groups.state().0.is_some() {
            changed.notified().await;
        }
        assert_eq!(addresses(&groups), ["a:1"]);
        std::fs::remove_dir_all(&folder).ok();
    }

    #[test]
    fn a_file_is_followed_and_a_broken_one_keeps_its_last_list() {
        let folder = std::env::temp_dir().join(format!("stillwell-file-sd-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let path = folder.join("a.json");
        let patterns = [folder.join("*.json"), path.clone()];
        let groups = Groups::new("test".to_owned(), Arc::default());
        let mut files = Files::default();
        let mut step = |text: Option<&str>, all: bool| {
            match text {
                Some(text) => std::fs::write(&path, text).expect("writable"),
                None => std::fs::remove_file(&path).expect("it is there"),
            }
            files.look(&patterns, &groups, all, &LooksAt::default());
            (addresses(&groups), groups.state().0)
        };
        let (found, problem) = step(Some(r#"[{"targets":["a:1"]}]"#), false);
        assert_eq!((found.join(" "), problem), ("a:1".to_owned(), None));
        let (found, _) = step(Some(r#"[{"targets":["a:1","b:22"]}]"#), false);
        assert_eq!(found.join(" "), "a:1 b:22");
        let (found, problem) = step(Some("[{{"), false);
        assert_eq!(found.join(" "), "a:1 b:22", "the last good list stays");
        assert!(problem.is_some_and(|why| why.contains("a.json: not JSON")));
        let (found, problem) = step(Some("[]"), false);
        assert_eq!((found.len(), problem), (0, None));
        let (found, _) = step(Some(r#"[{"targets":["c:1"],"labels":{"l":"v"}}]"#), true);
        assert_eq!(found.join(" "), "c:1");
        let (found, _) = step(None, false);
        assert!(
            found.is_empty(),
            "a file that is gone takes its targets with it"
        );
        std::fs::remove_dir_all(&folder).ok();
    }
}
