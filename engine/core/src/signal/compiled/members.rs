//! The series of a leaf: found anew when the structure of a page changes, in the order in which the signal view
//! yields them: ascending by id, then those that are read under another name, by their labels.

use crate::labels::{Labels, METRIC_NAME, MatchOp, Matcher};
use crate::limits::STANDING_ELEMENTS_MAX;
use crate::promql::incremental::{KeyRule, is_reserved};
use crate::store::{ClockId, LabelGroups, SeriesId, for_each_match};

use super::super::names::{FAMILIES, Name, Names};
use super::{Blocked, EvalContext};

/// What a leaf selects, and how its series are grouped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) matchers: Vec<Matcher>,
    /// The metric name, which an equality fixes.
    pub(super) metric: String,
    /// `None`: each series by itself.
    pub(super) grouping: Option<Grouping>,
    /// Whether the metric name is gone before the grouping looks.
    pub(super) drops_name: bool,
    /// Whether series that have ended matter too.
    pub(super) with_ended: bool,
}

/// `by` or `without` labels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grouping {
    pub(super) labels: Vec<std::sync::Arc<str>>,
    pub(super) without: bool,
}

impl Grouping {
    pub(super) fn rule(&self) -> KeyRule {
        if self.without {
            KeyRule::without(&self.labels)
        } else {
            KeyRule::only(&self.labels)
        }
    }
}

/// One series of a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) series: SeriesId,
    pub(super) clock: ClockId,
    pub(super) group: u32,
    pub(super) clamp_negative: bool,
}

/// The series of a leaf, in order, and the labels of their groups.
#[derive(Default)]
pub(super) struct Found {
    pub(super) members: Vec<Member>,
    pub(super) groups: Vec<Labels>,
}

/// The number of `clock` in a list, which gets it where it is not there. A leaf has few, and neighbours share theirs.
pub(super) fn number(clocks: &mut Vec<ClockId>, clock: ClockId) -> u32 {
    let at = clocks.iter().rposition(|have| *have == clock);
    at.unwrap_or_else(|| {
        clocks.push(clock);
        clocks.len() - 1
    }) as u32
}

/// One name under which some target's series are read.
struct Spelling {
    metric: String,
    /// Its place in the family; 0 where there is no family.
    at: usize,
}

/// A row of the names table, and the name that was asked for in it.
type Place = (usize, usize);

/// Finds the series of a leaf.
pub(super) fn find(source: &Source, context: &EvalContext<'_>) -> Result<Found, Blocked> {
    let (row, spellings) = spellings(source, context)?;
    let rule = source.grouping.as_ref().map(Grouping::rule);
    let counts_name =
        !source.drops_name && rule.as_ref().is_none_or(|rule| rule.counts(METRIC_NAME));
    let keep = |name: &str| {
        !(source.drops_name && is_reserved(name))
            && rule.as_ref().is_none_or(|rule| rule.counts(name))
    };
    let mut found = Found::default();
    let mut groups = LabelGroups::new(keep);
    for (index, spelling) in spellings.iter().enumerate() {
        if index > 0 && counts_name && rule.is_some() {
            // The group's labels would have to be renamed with the series.
            return Err(Blocked::ByStructure);
        }
        let mut renamed: Vec<(Labels, Member)> = Vec::new();
        let mut blocked = None;
        for_each_match(
            context.store,
            &source.matchers_for(&spelling.metric),
            |store, id| {
                let entry = store.series.row(id);
                if !entry.is_present() && !source.with_ended && entry.clock != ClockId::EXPLICIT {
                    return 0;
                }
                // It has timestamps of its own, or is about scrapes: not what a page's clock lists.
                if entry.clock == ClockId::EXPLICIT || entry.clock.is_report() {
                    blocked = Some(Blocked::ForNow);
                    return 0;
                }
                let target = context.facts.target_of(entry.clock);
                let reads = row
                    .map(|(row, asked)| target.map_or(asked, |target| target.reads_as(row, asked)));
                if reads.is_some_and(|reads| reads != spelling.at) {
                    return 0;
                }
                let mut member = Member {
                    series: id,
                    clock: entry.clock,
                    group: 0,
                    clamp_negative: Names::is_queue_gauge(&spelling.metric),
                };
                if source.grouping.is_some() {
                    member.group = groups.number(store, id);
                }
                if index > 0 || source.grouping.is_none() {
                    let labels = source.seen_labels(store.series.labels(id), index > 0);
                    renamed.push((labels, member));
                } else {
                    found.members.push(member);
                }
                0
            },
        );
        if let Some(blocked) = blocked {
            return Err(blocked);
        }
        if index > 0 {
            renamed.sort_by(|a, b| a.0.cmp(&b.0));
        }
        found.take(renamed, source)?;
    }
    if source.grouping.is_some() {
        found.groups = groups.into_labels();
    }
    Ok(found)
}

impl Found {
    fn take(&mut self, renamed: Vec<(Labels, Member)>, source: &Source) -> Result<(), Blocked> {
        for (labels, mut member) in renamed {
            if source.grouping.is_none() {
                if self.groups.len() == STANDING_ELEMENTS_MAX {
                    return Err(Blocked::ByStructure);
                }
                member.group = self.groups.len() as u32;
                self.groups.push(if source.drops_name {
                    crate::promql::incremental::without_reserved(&labels)
                } else {
                    labels
                });
            }
            self.members.push(member);
        }
        Ok(())
    }
}

impl Source {
    /// The selector with another metric name.
    fn matchers_for(&self, metric: &str) -> Vec<Matcher> {
        let mut matchers = self.matchers.clone();
        for matcher in &mut matchers {
            if matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal {
                *matcher = Matcher::equal(METRIC_NAME, metric);
            }
        }
        matchers
    }

    /// The labels as the view shows them: under the name that was asked for.
    fn seen_labels(&self, labels: Labels, renamed: bool) -> Labels {
        if !renamed {
            return labels;
        }
        let mut builder = labels.to_builder();
        builder.set(METRIC_NAME, &self.metric);
        builder.build()
    }
}

/// The names under which the series are to be looked for, the one that was asked for first; and for a family its row
/// and that name's place. Where some target exposes the family under a name with other labels, or without the pool, its
/// series have to be derived, which is the view's work.
fn spellings(
    source: &Source,
    context: &EvalContext<'_>,
) -> Result<(Option<Place>, Vec<Spelling>), Blocked> {
    let spelling = |metric: String, at: usize| Spelling { metric, at };
    let Some((family, name, suffix)) = context.names.family(&source.metric) else {
        return Ok((None, vec![spelling(source.metric.clone(), 0)]));
    };
    let place = |found: Option<usize>| found.unwrap_or_default();
    let row = place(FAMILIES.iter().position(|have| std::ptr::eq(have, family)));
    let asked = place(
        family
            .names
            .iter()
            .position(|have| have.family == name.family),
    );
    let names_pool = source.matchers.iter().any(|m| m.name() == "inference_pool");
    let lacks_pool = |metric: &str, name: &Name| {
        let mut targets = context.facts.listed();
        targets.any(|(_, target)| {
            (names_pool || target.certain_pool().is_some()) && target.lacks_pool(metric, name)
        })
    };
    if lacks_pool(&source.metric, name) {
        return Err(Blocked::ByStructure);
    }
    let mut spellings = vec![spelling(source.metric.clone(), asked)];
    for (at, other) in family.names.iter().enumerate() {
        let mut targets = context.facts.listed();
        if at == asked || !targets.any(|(_, target)| target.reads_as(row, asked) == at) {
            continue;
        }
        let metric = format!("{}{suffix}", other.family);
        if !other.has_labels_of(name) || lacks_pool(&metric, other) {
            return Err(Blocked::ByStructure);
        }
        spellings.push(spelling(metric, at));
    }
    Ok((Some((row, asked)), spellings))
}
