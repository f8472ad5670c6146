//! What somebody names of the cluster's objects: conditions by kind, and the namespaces in them.

use std::collections::BTreeSet;

use stillwell_engine::Reader;
use stillwell_engine::labels::{METRIC_NAME, Matcher};
use stillwell_engine::promql::Query;

use super::Section;
use super::families::{KINDS, Kind};
use super::selection::namespaces_of;
use crate::rule_groups::RuleFile;

/// Selectors of a kind; beyond them all of it is told of where it is watched: each series of a page is compared with each of them.
const SELECTORS_MAX: usize = 100;

/// What is wanted of each kind, in the order of [`KINDS`].
pub(super) type Wanted = Vec<OfKind>;

/// What is wanted of one kind.
#[derive(Default)]
pub(super) struct OfKind {
    /// Conditions of each selector; of one without any everything is wanted.
    pub(super) selectors: Vec<Vec<Matcher>>,
    /// The namespaces that they name, ...
    pub(super) namespaces: BTreeSet<String>,
    /// ... and whether some names none.
    pub(super) of_all_namespaces: bool,
}

/// The selectors of all that may be told to somebody.
pub(super) fn wanted<'r>(
    section: &Section,
    reader: &Reader,
    rules: impl Iterator<Item = &'r RuleFile>,
) -> Wanted {
    if section.options.all {
        return KINDS.iter().map(|_| OfKind::by(vec![Vec::new()])).collect();
    }
    let families = KINDS.iter().flat_map(|kind| kind.families);
    let families: Vec<&str> = families.map(|family| family.name).collect();
    let mut all = reader.selectors_of(&families);
    let rules = rules
        .flat_map(|file| &file.groups)
        .flat_map(|group| &group.rules);
    for query in rules.filter_map(|rule| rule.query.as_ref()) {
        all.extend(Query::selectors(query).map(|one| one.matchers.to_vec()));
    }
    let of_kind = |kind: &Kind| {
        let names = |matchers: &&Vec<Matcher>| names(matchers, kind);
        let mut of_kind: Vec<Vec<Matcher>> = all.iter().filter(names).cloned().collect();
        of_kind.sort_by_key(|matchers| text_of(matchers));
        of_kind.dedup_by_key(|matchers| text_of(matchers));
        OfKind::by(of_kind)
    };
    KINDS.iter().map(of_kind).collect()
}

/// Whether a selector means a family of this kind by name. One without a condition on the name means whatever there is.
fn names(matchers: &[Matcher], kind: &Kind) -> bool {
    let of_name = |one: &&Matcher| one.name() == METRIC_NAME;
    let of_name: Vec<&Matcher> = matchers.iter().filter(of_name).collect();
    let fits = |name: &str| of_name.iter().all(|one| one.matches(name));
    !of_name.is_empty() && kind.families.iter().any(|family| fits(family.name))
}

fn text_of(matchers: &[Matcher]) -> String {
    let one = |matcher: &Matcher| {
        format!(
            "{}{}{:?}",
            matcher.name(),
            matcher.op().as_str(),
            matcher.value()
        )
    };
    matchers.iter().map(one).collect::<Vec<_>>().join(",")
}

impl OfKind {
    pub(super) fn by(mut selectors: Vec<Vec<Matcher>>) -> OfKind {
        let mut of = OfKind::default();
        for selector in &selectors {
            match namespaces_of(selector) {
                Some(names) => of.namespaces.extend(names),
                None => of.of_all_namespaces = true,
            }
        }
        of.namespaces.remove("");
        if selectors.len() > SELECTORS_MAX {
            selectors = vec![Vec::new()];
        }
        of.selectors = selectors;
        of
    }
}
