//! Holds the structure of the repository: import directions, what documentation cites, lengths of functions and of
//! tables of contents, words.
//!
//! Each check has a list of exceptions with reasons (`exceptions`). An exception that is not needed any more fails, so the
//! lists only shrink.

mod cited;
mod contents;
mod exceptions;
mod functions;
mod imports;
mod tree;
mod words;

use std::collections::BTreeSet;

use tree::Tree;

/// Compares what was found with a list of exceptions; fails with both what is new and what is superfluous.
fn check(what: &str, found: &BTreeSet<String>, allowed: &[(&str, &str)]) {
    let known: BTreeSet<&str> = allowed.iter().map(|(name, _)| *name).collect();
    let new: Vec<&String> = found
        .iter()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    let gone: Vec<&&str> = known
        .iter()
        .filter(|name| !found.contains(**name))
        .collect();
    assert!(new.is_empty(), "{what}:\n{new:#?}");
    assert!(
        gone.is_empty(),
        "{what}: these exceptions are not needed any more, remove them from exceptions.rs:\n{gone:#?}"
    );
}

#[test]
fn imports_between_the_folders_of_a_crate_run_one_way() {
    let found = imports::circles(&Tree::read());
    check(
        "imports that are part of a circle",
        &found,
        exceptions::CIRCLES,
    );
}

#[test]
fn what_documentation_cites_exists() {
    let found = cited::missing(&Tree::read());
    check("cited, but not there", &found, exceptions::CITED);
}

#[test]
fn the_glossary_is_short() {
    let terms = cited::glossary_terms(&Tree::read());
    assert!((1..=10).contains(&terms), "{terms} terms, at most 10");
}

#[test]
fn functions_fit_a_screen() {
    let found = functions::longer_than(&Tree::read(), functions::LINES_MAX);
    check(
        "functions of more than 70 lines",
        &found,
        exceptions::LONG_FUNCTIONS,
    );
}

#[test]
fn tables_of_contents_are_short() {
    let found = contents::longer_than(&Tree::read(), contents::LINES_MAX);
    check(
        "lib.rs and mod.rs of more than 200 lines",
        &found,
        exceptions::LONG_CONTENTS,
    );
}

#[test]
fn words_that_were_replaced_do_not_come_back() {
    let found = words::banned(&Tree::read());
    check("words that have a better one", &found, exceptions::WORDS);
}
