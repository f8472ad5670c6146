//! Which modules of a crate import which, and where such imports run in a circle.
//!
//! Between the children of one module the imports must form no circle: at the root of a crate these are its folders and
//! files, in a folder the files in it. A child may use what its parent's `mod.rs` defines. Names that a module re-exports
//! count as imports of the module that defines them. Test modules are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{File, Tree, code_without_tests};

/// Every import that is part of a circle, as `src folder: child -> child (module -> module)`.
pub(crate) fn circles(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let sources: BTreeSet<&str> = tree
        .rust()
        .filter_map(|file| Some(&file.path[..file.path.find("/src/")? + "/src".len()]))
        .collect();
    for source in sources {
        let modules = Modules::of(tree, source);
        for (parent, edges) in modules.edges_by_parent() {
            let children: BTreeSet<(&str, &str)> = edges
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect();
            for (from, to) in &edges {
                if reaches(&children, to, from) {
                    found.insert(format!("{source}/{parent}: {from} -> {to}"));
                }
            }
        }
    }
    found
}

fn reaches(edges: &BTreeSet<(&str, &str)>, from: &str, to: &str) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(node) = open.pop() {
        if node == to {
            return true;
        }
        if seen.insert(node) {
            open.extend(
                edges
                    .iter()
                    .filter(|edge| edge.0 == node)
                    .map(|edge| edge.1),
            );
        }
    }
    false
}

/// A module by its path below the crate's root, `/` between names.
type Path = Vec<String>;

struct Modules {
    /// Code without tests.
    code: BTreeMap<Path, String>,
    /// Names that a module re-exports, with where from.
    reexports: BTreeMap<(Path, String), Path>,
}

impl Modules {
    fn of(tree: &Tree, source: &str) -> Modules {
        let mut modules = Modules {
            code: BTreeMap::new(),
            reexports: BTreeMap::new(),
        };
        for file in tree.rust() {
            let Some(relative) = file.path.strip_prefix(&format!("{source}/")) else {
                continue;
            };
            let mut path: Path = relative
                .trim_end_matches(".rs")
                .split('/')
                .map(str::to_owned)
                .collect();
            let is_test = |part: &String| {
                part == "tests" || part.starts_with("test_") || part.ends_with("_tests")
            };
            if path.iter().any(is_test) || path[0] == "bin" {
                continue;
            }
            if path
                .last()
                .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
            {
                path.pop();
            }
            modules.code.insert(path, code_without_tests(&file.text));
        }
        let all: Vec<(Path, Vec<Use>)> = modules
            .code
            .iter()
            .map(|(path, text)| (path.clone(), uses(text)))
            .collect();
        for (path, uses) in all {
            for one in uses.iter().filter(|one| one.is_public) {
                if let Some(target) = modules.module_of(&path, one)
                    && target != path
                {
                    modules
                        .reexports
                        .insert((path.clone(), one.name().to_owned()), target);
                }
            }
        }
        modules
    }

    /// The module that a path names a thing in, as seen from `here`.
    fn module_of(&self, here: &Path, one: &Use) -> Option<Path> {
        let mut parts = one.parts.iter();
        let mut at: Path = match parts.next()?.as_str() {
            "crate" => Vec::new(),
            "self" => here.clone(),
            "super" => here[..here.len().checked_sub(1)?].to_vec(),
            child => {
                let mut path = here.clone();
                path.push(child.to_owned());
                if !self.code.contains_key(&path) {
                    return None;
                }
                path
            }
        };
        for part in parts {
            if part == "super" {
                at.pop()?;
                continue;
            }
            let mut child = at.clone();
            child.push(part.clone());
            if self.code.contains_key(&child) {
                at = child;
                continue;
            }
            let mut known = (at.clone(), part.clone());
            while let Some(next) = self.reexports.get(&known) {
                known.0.clone_from(next);
            }
            return Some(known.0);
        }
        Some(at)
    }

    /// Imports between siblings, by their parent.
    fn edges_by_parent(&self) -> BTreeMap<String, BTreeSet<(String, String)>> {
        let mut edges: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        for (here, text) in &self.code {
            for one in uses(text) {
                let Some(target) = self.module_of(here, &one) else {
                    continue;
                };
                let shared = here.iter().zip(&target).take_while(|(a, b)| a == b).count();
                if let (Some(from), Some(to)) = (here.get(shared), target.get(shared)) {
                    edges
                        .entry(here[..shared].join("/"))
                        .or_default()
                        .insert((from.clone(), to.clone()));
                }
            }
        }
        edges
    }
}

/// One path that code names, from a `use` or in place.
struct Use {
    is_public: bool,
    parts: Vec<String>,
    alias: Option<String>,
}

impl Use {
    /// The name that it has where it is imported.
    fn name(&self) -> &str {
        self.alias
            .as_deref()
            .or(self.parts.last().map(String::as_str))
            .unwrap_or("")
    }
}

fn uses(text: &str) -> Vec<Use> {
    let mut found = Vec::new();
    let mut rest = String::with_capacity(text.len());
    // Items first: they end with a semicolon and may have braces.
    let mut at = 0;
    while let Some(start) = text[at..].find("use ").map(|start| at + start) {
        let before = text[..start].trim_end_matches(' ');
        let line = before.rsplit('\n').next().unwrap_or("").trim();
        let is_item = line.is_empty() || line == "pub" || line.starts_with("pub(");
        let end = text[start..].find(';').map(|end| start + end);
        let (true, Some(end)) = (is_item, end) else {
            rest.push_str(&text[at..start + 4]);
            at = start + 4;
            continue;
        };
        rest.push_str(&text[at..start]);
        let is_public = line.starts_with("pub");
        expand("", &text[start + 4..end], &mut |path, alias| {
            found.push(Use {
                is_public,
                parts: path
                    .split("::")
                    .map(|part| part.trim().to_owned())
                    .collect(),
                alias: alias.map(str::to_owned),
            });
        });
        at = end + 1;
    }
    rest.push_str(&text[at..]);
    found.extend(in_place(&rest));
    found
}

/// `a::{b, c::{d, e as f}}` to single paths.
fn expand(prefix: &str, text: &str, visit: &mut dyn FnMut(&str, Option<&str>)) {
    let text = text.trim();
    if let Some(open) = text.find('{') {
        let head = format!("{prefix}{}", text[..open].trim());
        let inner = text[open + 1..].trim_end().trim_end_matches('}');
        // Only the outermost group's closing brace was at the end.
        let closing =
            text.matches('}').count() - text.matches('{').count().min(text.matches('}').count());
        debug_assert_eq!(closing, 0, "{text}");
        let missing = inner.matches('{').count() - inner.matches('}').count();
        let inner = format!("{inner}{}", "}".repeat(missing));
        let (mut depth, mut start) = (0, 0);
        for (at, c) in inner.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&head, &inner[start..at], visit);
                    start = at + 1;
                }
                _ => {}
            }
        }
        expand(&head, &inner[start..], visit);
        return;
    }
    if text.is_empty() {
        return;
    }
    let (path, alias) = match text.split_once(" as ") {
        Some((path, alias)) => (path.trim(), Some(alias.trim())),
        None => (text, None),
    };
    let path = path.trim_end_matches("::self");
    if path == "self" {
        return visit(prefix.trim_end_matches("::"), alias);
    }
    visit(&format!("{prefix}{path}"), alias);
}

/// Paths with `crate::` or `super::` in expressions and types.
fn in_place(text: &str) -> Vec<Use> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c: char| !is_path(c));
    words
        .filter(|word| word.starts_with("crate::") || word.starts_with("super::"))
        .map(|word| Use {
            is_public: false,
            parts: word
                .trim_end_matches(':')
                .split("::")
                .map(str::to_owned)
                .collect(),
            alias: None,
        })
        .collect()
}

#[test]
fn only_the_block_of_an_inline_test_module_is_left_out() {
    let import = "use crate::b::B;\n";
    let circle = ["crate/src/: a -> b", "crate/src/: b -> a"].map(str::to_owned);
    let circle = BTreeSet::from(circle);
    for (a, is_circle) in [
        (format!("#[cfg(test)]\nmod tests;\n{import}"), true),
        (
            format!("#[cfg(test)]\nmod tests {{ fn t() {{}} }}\n{import}"),
            true,
        ),
        (
            format!("#[cfg(test)]\nmod tests {{ {import} fn t() {{}} }}\n"),
            false,
        ),
    ] {
        let file = |name: &str, text: &str| File {
            path: format!("crate/src/{name}.rs"),
            text: text.to_owned(),
        };
        let tree = Tree {
            root: std::path::PathBuf::new(),
            files: vec![file("a", &a), file("b", "use crate::a::A;\n")],
        };
        let expected = if is_circle {
            circle.clone()
        } else {
            BTreeSet::new()
        };
        assert_eq!(circles(&tree), expected, "{a}");
    }
}
