//! `file_sd_configs`: lists of targets in files.

use std::path::PathBuf;

use stillwell_engine::labels::Re2;

use super::refresh;
use crate::config::schema::{Key, decode, read};
use crate::yaml::{Node, Report};

/// Lists of targets in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiscovery {
    /// Paths, the last part of which may be a pattern.
    pub files: Vec<PathBuf>,
    /// They are read again this often, changed or not.
    pub refresh_ms: u64,
}

pub(super) fn file(node: &Node, report: &mut Report) -> FileDiscovery {
    static FILE: &[Key<FileDiscovery>] = &[
        read("files", |entry, file, report| {
            let pattern = Re2::new(r"[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)");
            for name in report.texts(entry) {
                if pattern
                    .as_ref()
                    .is_ok_and(|pattern| !pattern.is_match(&name))
                {
                    report.error(
                        entry.line,
                        format!(
                            "file_sd_configs: {name:?} must end in .json, .yml or .yaml, with one * at most, \
                             in its last part"
                        ),
                    );
                }
                file.files.push(PathBuf::from(name));
            }
        }),
        read("refresh_interval", |entry, file, report| {
            refresh(entry, &mut file.refresh_ms, report);
        }),
    ];
    let mut file = FileDiscovery {
        files: Vec::new(),
        refresh_ms: 300_000,
    };
    decode(node, "a file_sd_config", &[&FILE], &mut file, report);
    if file.files.is_empty() {
        report.error(node.line, "a file_sd_config needs files");
    }
    file
}
