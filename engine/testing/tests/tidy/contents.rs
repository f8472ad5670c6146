//! `lib.rs` and `mod.rs` are tables of contents: what a part is for, its modules, what it shows of them, and at most the one
//! type that all of them are about. Tests are left out.

use std::collections::BTreeSet;

use crate::tree::{File, Tree, code_without_tests};

/// With documentation.
pub(crate) const LINES_MAX: usize = 200;

/// Files of more lines, as `path: lines`.
pub(crate) fn longer_than(tree: &Tree, lines_max: usize) -> BTreeSet<String> {
    let is_table = |path: &str| {
        let is_of_source = path.contains("/src/") && !path.contains("/tests/");
        is_of_source && (path.ends_with("/mod.rs") || path.ends_with("/lib.rs"))
    };
    let tables = tree.rust().filter(|file| is_table(&file.path));
    let long = tables.filter_map(|file| {
        let lines = code_without_tests(&file.text).lines().count();
        (lines > lines_max).then(|| format!("{}: {lines}", file.path))
    });
    long.collect()
}

#[test]
fn code_counts_and_tests_do_not() {
    let function = |name: &str| format!("fn {name}() {{\n}}\n");
    let tests = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}\n",
        function("t").repeat(9)
    );
    for (path, text, is_found) in [
        ("a/src/b/mod.rs", function("f").repeat(3), true),
        ("a/src/b/mod.rs", function("f") + &tests, false),
        ("a/src/b/c.rs", function("f").repeat(3), false),
        ("a/tests/b/mod.rs", function("f").repeat(3), false),
    ] {
        let tree = Tree {
            root: std::path::PathBuf::new(),
            files: vec![File {
                path: path.to_owned(),
                text,
            }],
        };
        assert_eq!(!longer_than(&tree, 4).is_empty(), is_found, "{path}");
    }
}
