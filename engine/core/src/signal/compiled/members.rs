//! The series of a leaf. They are selected again when the structure of a page changes, in the order in which the signal
//! view yields them: ascending by id, then those that are read under another name, by their labels.

use crate::labels::{Labels, METRIC_NAME, MatchOp, Matcher};
use crate::limits::COMPILED_ELEMENTS_MAX;
use crate::promql::incremental::{KeyRule, is_reserved};
use crate::store::{ClockId, HISTOGRAM, LabelGroups, SeriesId, for_each_match};

use super::super::names::{Name, NameIndex, Names};
use super::{Blocked, EvalContext};

/// What a leaf selects, and how its series are grouped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) matchers: Vec<Matcher>,
    /// The metric name; some matcher requires it by `=`.
    pub(super) metric: String,
    /// `None`: each series by itself.
    pub(super) grouping: Option<Grouping>,
    /// Whether the metric name is removed before grouping.
    pub(super) drops_name: bool,
    /// Whether series that have ended are members, too.
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

/// The index of `clock` in a list, to which it is added if it is missing. A leaf has few, mostly that of its neighbour.
pub(super) fn number(clocks: &mut Vec<ClockId>, clock: ClockId) -> u32 {
    let at = clocks.iter().rposition(|have| *have == clock);
    at.unwrap_or_else(|| {
        clocks.push(clock);
        clocks.len() - 1
    }) as u32
}

/// One name under which the series of some target are read.
struct ReadName {
    metric: String,
    /// Its index among the names of the family; 0 if there is no family.
    name: usize,
}

/// Selects the series of a leaf. Error: why the query cannot be evaluated by a program now.
pub(super) fn find(source: &Source, context: &EvalContext<'_>) -> Result<Found, Blocked> {
    let (requested, read_names) = read_names(source, context)?;
    let rule = source.grouping.as_ref().map(Grouping::rule);
    let counts_name =
        !source.drops_name && rule.as_ref().is_none_or(|rule| rule.counts(METRIC_NAME));
    let keep = |name: &str| {
        !(source.drops_name && is_reserved(name))
            && rule.as_ref().is_none_or(|rule| rule.counts(name))
    };
    let mut found = Found::default();
    let mut groups = LabelGroups::new(keep);
    for (index, read_name) in read_names.iter().enumerate() {
        if index > 0 && counts_name && rule.is_some() {
            // The group's labels would have to be renamed with the series.
            return Err(Blocked::ByStructure);
        }
        let mut renamed: Vec<(Labels, Member)> = Vec::new();
        let mut blocked = None;
        for_each_match(
            context.store,
            &source.matchers_for(&read_name.metric),
            |store, id| {
                let entry = store.series.row(id);
                if !entry.is_present() && !source.with_ended && entry.clock != ClockId::EXPLICIT {
                    return 0;
                }
                if !is_number_of_page(entry.clock, entry.bits) {
                    blocked = Some(Blocked::ForNow);
                    return 0;
                }
                let target = context.facts.target_of(entry.clock);
                let reads = requested.map(|requested| {
                    target.map_or(requested.name, |target| target.reads_as(requested))
                });
                if reads.is_some_and(|reads| reads != read_name.name) {
                    return 0;
                }
                let mut member = Member {
                    series: id,
                    clock: entry.clock,
                    group: 0,
                    clamp_negative: Names::is_queue_gauge(&read_name.metric),
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
                if self.groups.len() == COMPILED_ELEMENTS_MAX {
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

    /// The labels as the signal view has them: with the requested name.
    fn seen_labels(&self, labels: Labels, renamed: bool) -> Labels {
        if !renamed {
            return labels;
        }
        let mut builder = labels.to_builder();
        builder.set(METRIC_NAME, &self.metric);
        builder.build()
    }
}

/// The names under which the series are selected, the requested one first; and its place in the names table. Error: some
/// target exposes the family under a name with other labels, or without the pool, so its series are derived by the view.
fn read_names(
    source: &Source,
    context: &EvalContext<'_>,
) -> Result<(Option<NameIndex>, Vec<ReadName>), Blocked> {
    let read_name = |metric: String, name: usize| ReadName { metric, name };
    let Some((family, name, suffix)) = context.names.family(&source.metric) else {
        return Ok((None, vec![read_name(source.metric.clone(), 0)]));
    };
    let requested = NameIndex::of(family, name).unwrap_or_default();
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
    let mut names = vec![read_name(source.metric.clone(), requested.name)];
    for (at, other) in family.names.iter().enumerate() {
        let mut targets = context.facts.listed();
        if at == requested.name || !targets.any(|(_, target)| target.reads_as(requested) == at) {
            continue;
        }
        let metric = format!("{}{suffix}", other.family);
        if !other.has_labels_of(name) || lacks_pool(&metric, other) {
            return Err(Blocked::ByStructure);
        }
        names.push(read_name(metric, at));
    }
    Ok((Some(requested), names))
}

/// Whether a series has numbers on a page's clock: not timestamps of its own, not about scrapes, no native histogram.
fn is_number_of_page(clock: ClockId, bits: u64) -> bool {
    clock != ClockId::EXPLICIT && !clock.is_report() && bits != HISTOGRAM
}
