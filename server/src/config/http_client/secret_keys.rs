//! Secrets and where they are: given in the configuration, or in a file.

use std::path::PathBuf;

use super::super::secret::{Secret, SecretSource};
use crate::yaml::{Entry, Report};

pub(super) const NO_SECRET_MANAGER: &str =
    "there is no secret manager, as in Prometheus itself; give the value or a file";

pub(super) fn secret(entry: &Entry, report: &mut Report) -> Option<Secret> {
    report.text(&entry.value, &entry.key).map(Secret::new)
}

pub(super) fn path(entry: &Entry, report: &mut Report) -> Option<PathBuf> {
    let text = report.string(entry);
    if text.is_empty() {
        return None;
    }
    report.names_file(entry, &text);
    Some(PathBuf::from(text))
}

pub(super) fn given(text: String) -> SecretSource {
    SecretSource::Given(Secret::new(text))
}

pub(super) fn file(text: String) -> SecretSource {
    SecretSource::File(PathBuf::from(text))
}

/// One of the keys that give the same secret; a second one is an error.
pub(super) fn source(
    entry: &Entry,
    into: &mut Option<SecretSource>,
    make: fn(String) -> SecretSource,
    report: &mut Report,
) {
    let Some(text) = report.text(&entry.value, &entry.key) else {
        return;
    };
    if text.is_empty() {
        return;
    }
    if into.is_some() {
        let stem = entry.key.trim_end_matches("_file");
        report.error(
            entry.line,
            format!("{stem} and {stem}_file exclude one another: keep one"),
        );
    }
    let source = make(text.to_owned());
    if let SecretSource::File(_) = &source {
        report.names_file(entry, text);
    }
    *into = Some(source);
}
