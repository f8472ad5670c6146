//! What somebody names of the cluster's objects: conditions by kind, and the namespaces in them.

use std::collections::BTreeSet;

use stillwell_engine::Reader;
use stillwell_engine::labels::{METRIC_NAME, MatchOp, Matcher};
use stillwell_engine::promql::Query;

use super::Section;
use super::families::{KINDS, Kind};
use crate::rule_groups::RuleFile;

/// Watches at once; beyond them all namespaces of a kind are watched together.
const NAMESPACES_MAX: usize = 50;

/// Conditions of selectors, by the kind that they name in the order of [`KINDS`].
pub(super) type Wanted = Vec<Vec<Vec<Matcher>>>;

/// The selectors of all that may be told to somebody.
pub(super) fn wanted<'r>(
    section: &Section,
    reader: &Reader,
    rules: impl Iterator<Item = &'r RuleFile>,
) -> Wanted {
    if section.options.all {
        return vec![vec![Vec::new()]; KINDS.len()];
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
        of_kind
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

/// The namespaces in which these selectors select; all of them where one does not say.
pub(super) fn namespaces(selectors: &[Vec<Matcher>]) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for matchers in selectors {
        let of = matchers.iter().filter(|one| one.name() == "namespace");
        let mut literal = of.filter_map(|one| match one.op() {
            MatchOp::Equal => Some(vec![one.value().to_owned()]),
            MatchOp::Regex => one.literal_values().map(<[String]>::to_vec),
            _ => None,
        });
        match literal.next() {
            Some(values) => named.extend(values),
            None => return BTreeSet::from([String::new()]),
        }
    }
    named.retain(|name| !name.is_empty());
    match named.len() > NAMESPACES_MAX {
        true => BTreeSet::from([String::new()]),
        false => named,
    }
}
