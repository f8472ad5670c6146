//! Decoding of a tree: every error at once, each with its line, and warnings beside them.

use std::fmt;
use std::path::PathBuf;

use stillwell_engine::nearest::near_or_all;

use super::problem::Problem;
use super::tree::{Entry, Kind, Node, parse_first};

/// The keys of one kind of mapping: what we read, what we pass over with a warning, what we refuse for now.
pub(crate) struct Table {
    /// Read by the code that uses the table.
    pub(crate) read: &'static [&'static str],
    /// Known to Prometheus, without effect here: key and consequence.
    pub(crate) ignored: &'static [(&'static str, &'static str)],
    /// Known to Prometheus, and ignoring it would do harm: key and reason.
    pub(crate) refused: &'static [(&'static str, &'static str)],
}

/// Collects problems while the tree is decoded.
#[derive(Debug, Default)]
pub struct Report {
    /// Each of them alone refuses the configuration.
    pub errors: Vec<Problem>,
    /// What the user may not expect.
    pub warnings: Vec<Problem>,
    /// Files of secrets and certificates that are named, which are read when they are needed.
    pub(crate) named_files: Vec<NamedFile>,
}

/// A file that a key names.
#[derive(Debug)]
pub(crate) struct NamedFile {
    /// Of the key.
    pub(crate) line: usize,
    /// The key.
    pub(crate) key: String,
    /// As it is written.
    pub(crate) path: PathBuf,
}

impl Report {
    /// Remembers a file that a key names.
    pub(crate) fn names_file(&mut self, entry: &Entry, path: &str) {
        self.named_files.push(NamedFile {
            line: entry.line,
            key: entry.key.clone(),
            path: PathBuf::from(path),
        });
    }

    /// Reads the first document of a text; of a second one it is said that nobody reads it, as in Prometheus. `None`: it is
    /// not YAML, which is reported.
    pub(crate) fn first_document(&mut self, text: &str) -> Option<Node> {
        match parse_first(text) {
            Ok((tree, second)) => {
                if let Some(second) = second {
                    let message =
                        "a second document is not read, as in Prometheus: one file is one document";
                    self.warn(second.line, message);
                }
                Some(tree)
            }
            Err(problem) => {
                self.errors.push(problem);
                None
            }
        }
    }

    /// Adds an error.
    pub fn error(&mut self, line: usize, message: impl Into<String>) {
        self.errors.push(Problem::new(line, message));
    }

    /// Adds a warning.
    pub fn warn(&mut self, line: usize, message: impl Into<String>) {
        self.warnings.push(Problem::new(line, message));
    }

    /// The entries of a mapping that `table` says are read; everything else is reported. `what` names the mapping.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        table: &Table,
    ) -> Vec<&'n Entry> {
        let entries = self.entries(node, what);
        let mut read = Vec::new();
        for entry in entries {
            let key = entry.key.as_str();
            let find = |list: &[(&str, &'static str)]| {
                list.iter()
                    .find(|(name, _)| *name == key)
                    .map(|(_, text)| *text)
            };
            if table.read.contains(&key) {
                read.push(entry);
            } else if let Some(consequence) = find(table.ignored) {
                self.warn(
                    entry.line,
                    format!("{key} in {what} has no effect here: {consequence}"),
                );
            } else if let Some(reason) = find(table.refused) {
                self.error(entry.line, format!("{key} in {what}: {reason}"));
            } else {
                let others = table
                    .ignored
                    .iter()
                    .chain(table.refused)
                    .map(|(name, _)| *name);
                let hint = near_or_all(key, table.read.iter().copied().chain(others));
                self.error(entry.line, format!("unknown key {key} in {what}{hint}"));
            }
        }
        read
    }

    /// The entries of a mapping; nothing where the value is absent. `what` names the mapping.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Entry] {
        match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Null => &[],
            _ => {
                let found = node.describe();
                self.error(node.line, format!("{what} must be a mapping, not {found}"));
                &[]
            }
        }
    }

    /// The items of a list; nothing where the value is absent.
    pub(crate) fn items<'n>(&mut self, entry: &'n Entry) -> &'n [Node] {
        self.list(&entry.value, &entry.key)
    }

    /// The items of a list each of which has to say something.
    pub(crate) fn sections<'n>(&mut self, entry: &'n Entry) -> &'n [Node] {
        let items = self.items(entry);
        self.refuse_empty(items, &entry.key);
        items
    }

    /// An item that is a dash alone is a mistake.
    pub(crate) fn refuse_empty(&mut self, items: &[Node], name: &str) {
        for item in items.iter().filter(|item| matches!(item.kind, Kind::Null)) {
            let message = format!("{name} has an empty item: fill it in, or remove its dash");
            self.error(item.line, message);
        }
    }

    /// The items of a list; nothing where the value is absent. `name` names the list.
    pub(crate) fn list<'n>(&mut self, node: &'n Node, name: &str) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            Kind::Null => &[],
            _ => {
                let found = node.describe();
                self.error(node.line, format!("{name} must be a list, not {found}"));
                &[]
            }
        }
    }

    /// A single value as text; `None` where it is absent.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, name: &str) -> Option<&'n str> {
        match &node.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Null => None,
            _ => {
                let found = node.describe();
                self.error(
                    node.line,
                    format!("{name} must be a single value, not {found}"),
                );
                None
            }
        }
    }

    /// A single value as text of its own; empty where it is absent.
    pub(crate) fn string(&mut self, entry: &Entry) -> String {
        self.text(&entry.value, &entry.key).unwrap_or("").to_owned()
    }

    /// A list of single values.
    pub(crate) fn texts(&mut self, entry: &Entry) -> Vec<String> {
        let items = self.items(entry);
        items
            .iter()
            .map(|item| self.text(item, &entry.key).unwrap_or("").to_owned())
            .collect()
    }

    /// A single value read by `parse`, whose error becomes part of the complaint.
    pub(crate) fn parsed<T, E: fmt::Display>(
        &mut self,
        entry: &Entry,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(&entry.value, &entry.key)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(entry.line, format!("{}: {error}", entry.key));
                None
            }
        }
    }

    /// `true` or `false`, in YAML's spellings.
    pub(crate) fn flag(&mut self, entry: &Entry) -> Option<bool> {
        self.parsed(entry, flag)
    }

    /// A number that is not negative.
    pub(crate) fn number(&mut self, entry: &Entry) -> Option<u64> {
        self.parsed(entry, |text| {
            text.parse::<u64>()
                .map_err(|_| format!("{text:?} is not a whole number of 0 or more"))
        })
    }
}

/// `true` or `false`, in YAML's spellings.
pub(crate) fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Ok(true),
        "false" | "no" | "off" | "n" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}
