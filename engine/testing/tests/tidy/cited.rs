//! What documentation cites must exist: files, rules, constants, benches, tests and binaries.

use std::collections::BTreeSet;

use crate::tree::{File, Tree};

const RULES: &str = "engine/core/src/signal/RULES.md";

/// Citations of things that are not there, as `path: citation`.
pub(crate) fn missing(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let known = Known::of(tree);
    for file in tree.markdown() {
        for cited in links(&file.text) {
            let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let path = format!("{folder}/{cited}");
            if !tree.has(path.trim_start_matches('/')) {
                found.insert(format!("{}: {cited}", file.path));
            }
        }
        check_text(tree, &known, file, &file.text, &mut found);
    }
    for file in tree.rust() {
        let comments: String = file
            .text
            .lines()
            .filter_map(|line| Some(&line[line.find("//")?..]))
            .map(|line| format!("{line}\n"))
            .collect();
        check_text(tree, &known, file, &comments, &mut found);
    }
    found
}

/// What can be cited.
struct Known {
    code: String,
    /// `None` while the rules are not in the tree.
    rules: Option<String>,
}

impl Known {
    fn of(tree: &Tree) -> Known {
        let code = tree.rust().map(|file| file.text.as_str()).collect();
        let rules = tree.files.iter().find(|file| file.path == RULES);
        Known {
            code,
            rules: rules.map(|file| file.text.clone()),
        }
    }
}

fn check_text(tree: &Tree, known: &Known, file: &File, text: &str, found: &mut BTreeSet<String>) {
    let mut miss = |cited: &str| {
        found.insert(format!("{}: {cited}", file.path));
    };
    for start in ["ench: `", "bench `"] {
        for rest in text.split(start).skip(1) {
            let name = rest.split('`').next().unwrap_or("");
            let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
            if is_name && !is_bench(tree, name) {
                miss(name);
            }
        }
    }
    for quoted in text.split('`').skip(1).step_by(2) {
        if is_repository_path(quoted) && !tree.has(quoted.trim_end_matches('/')) {
            miss(quoted);
        }
        if is_constant(quoted)
            && !known.code.contains(&format!(" {quoted}:"))
            && !is_variable(known, quoted)
        {
            miss(quoted);
        }
        for (option, folders) in [
            ("--bench ", &["benches/benches"][..]),
            ("--bin ", &["benches/src/bin"][..]),
            ("--example ", &["engine/core/examples"][..]),
            (
                "--test ",
                &[
                    "engine/core/tests",
                    "engine/promql/tests",
                    "fuzz/tests",
                    "server/tests",
                    "benches/tests",
                ][..],
            ),
        ] {
            for rest in quoted.split(option).skip(1) {
                let name: String = rest
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let exists = folders.iter().any(|folder| {
                    tree.has(&format!("{folder}/{name}.rs"))
                        || tree.has(&format!("{folder}/{name}/main.rs"))
                });
                if !exists {
                    miss(quoted);
                }
            }
        }
    }
    if let Some(rules) = &known.rules
        && file.path != RULES
    {
        for rule in rules_in(text) {
            if !defines(rules, &rule) {
                miss(&rule);
            }
        }
    }
}

fn is_bench(tree: &Tree, name: &str) -> bool {
    ["benches/benches", "benches/src/bin"]
        .iter()
        .any(|folder| tree.has(&format!("{folder}/{name}.rs")))
}

/// Terms of the glossary, one per row of its table.
pub(crate) fn glossary_terms(tree: &Tree) -> usize {
    let architecture = tree.markdown().find(|file| file.path == "ARCHITECTURE.md");
    let text = architecture.map_or("", |file| file.text.as_str());
    let glossary = text.split("\n## Glossary").nth(1).unwrap_or("");
    let rows = glossary.lines().filter(|line| line.starts_with("| "));
    rows.count().saturating_sub(1)
}

/// Targets of links that are neither addresses nor places on the same page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', '#']).next()?;
        (!target.is_empty() && !target.contains("://")).then_some(target)
    })
}

fn is_repository_path(text: &str) -> bool {
    let folders = [
        "engine/",
        "server/",
        "adapters/",
        "benches/",
        "fuzz/",
        ".ci/",
        ".cargo/",
        ".github/",
    ];
    folders.iter().any(|folder| text.starts_with(folder))
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
}

/// `READ_BATCH_SERIES`: upper case with an underscore.
fn is_constant(text: &str) -> bool {
    text.contains('_')
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Whether code has it as a text: the name of an environment variable.
fn is_variable(known: &Known, name: &str) -> bool {
    known.code.contains(&format!("\"{name}\""))
}

/// Rules as they are cited: `S4`, `S4b`.
fn rules_in(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for (at, _) in text.match_indices('S') {
        if text[..at].ends_with(is_word) {
            continue;
        }
        let rule: String = text[at..].chars().take_while(|c| is_word(*c)).collect();
        let digits = rule[1..].chars().take_while(char::is_ascii_digit).count();
        let tail = &rule[1 + digits..];
        let is_rule = digits == 1
            && (tail.is_empty() || tail.len() == 1 && tail.chars().all(|c| c.is_ascii_lowercase()));
        if is_rule {
            found.insert(rule);
        }
    }
    found
}

/// Whether the rules define it: a heading `S4`, and below it `(b)`.
fn defines(rules: &str, rule: &str) -> bool {
    let (head, part) = rule.split_at(2);
    let section = rules
        .split("\n## ")
        .skip(1)
        .find(|section| section.starts_with(head));
    section.is_some_and(|section| part.is_empty() || section.contains(&format!("({part})")))
}
