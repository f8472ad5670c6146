//! The files of the repository.

use std::path::{Path, PathBuf};

/// One text file.
pub(crate) struct File {
    /// Relative to the root of the repository, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All Rust, Markdown, TOML and workflow files.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<File>,
}

const SKIPPED: [&str; 3] = ["target", ".git", "seeds"];
const EXTENSIONS: [&str; 4] = ["rs", "md", "toml", "yml"];

impl Tree {
    pub(crate) fn read() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut files = Vec::new();
        walk(&root, "", &mut files);
        assert!(files.len() > 300, "only {} files were found", files.len());
        Tree { root, files }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    pub(crate) fn markdown(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".md"))
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    let entries = std::fs::read_dir(folder).expect("the repository is readable");
    let mut entries: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let relative = format!("{prefix}{name}");
        if path.is_dir() {
            if !SKIPPED.contains(&&*name) {
                walk(&path, &format!("{relative}/"), files);
            }
            continue;
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        if EXTENSIONS.contains(&&*extension)
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            files.push(File {
                path: relative,
                text,
            });
        }
    }
}

/// The code of a Rust file: comments and the contents of literals are blanked, line by line, so that lines and columns
/// stay.
pub(crate) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        match end {
            Some(end) => {
                for byte in &mut out[at..end] {
                    if *byte != b'\n' {
                        *byte = b' ';
                    }
                }
                at = end;
            }
            None => at += 1,
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The code of a Rust file without its inline test modules. A test module that is a file of its own is one line here, and
/// hides nothing that stands below it.
pub(crate) fn code_without_tests(text: &str) -> String {
    const OPENING: &str = "#[cfg(test)]\nmod tests {";
    let mut code = code(text);
    while let Some(start) = code.find(OPENING) {
        let body = start + OPENING.len();
        let end = closing_brace(&code[body..]).map_or(code.len(), |brace| body + brace + 1);
        code.replace_range(start..end, "");
    }
    code
}

/// Where the block ends in whose body `code` begins.
fn closing_brace(code: &str) -> Option<usize> {
    let mut depth = 1;
    code.char_indices().find_map(|(at, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })
}

/// Where the comment or literal that begins at `at` ends, if one begins there.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let find = |pattern: &[u8], from: usize| {
        rest[from..]
            .windows(pattern.len())
            .position(|window| window == pattern)
            .map_or(bytes.len(), |found| at + from + found)
    };
    if rest.starts_with(b"//") {
        return Some(find(b"\n", 0));
    }
    if rest.starts_with(b"/*") {
        return Some((find(b"*/", 2) + 2).min(bytes.len()));
    }
    let before_is_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest[0] == b'r' && !before_is_word {
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let mut close = vec![b'"'];
            close.extend(std::iter::repeat_n(b'#', hashes));
            return Some((find(&close, 2 + hashes) + close.len()).min(bytes.len()));
        }
    }
    if rest[0] == b'"' {
        let mut end = 1;
        while end < rest.len() && rest[end] != b'"' {
            end += if rest[end] == b'\\' { 2 } else { 1 };
        }
        return Some((at + end + 1).min(bytes.len()));
    }
    if rest[0] == b'\'' {
        // A lifetime has no closing quote near by.
        let escaped = rest.get(1) == Some(&b'\\');
        let from = if escaped { 3 } else { 2 };
        let width = rest
            .iter()
            .skip(from)
            .take(10)
            .position(|byte| *byte == b'\'');
        let is_char = escaped || width.is_some_and(|width| char_width(rest) == Some(width + 1));
        return is_char.then_some(at + from + width? + 1);
    }
    None
}

/// Bytes of the character behind a quote.
fn char_width(rest: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(&rest[1..rest.len().min(5)])
        .or_else(|error| std::str::from_utf8(&rest[1..1 + error.valid_up_to()]))
        .ok()?;
    text.chars().next().map(char::len_utf8)
}
