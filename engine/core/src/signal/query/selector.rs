//! One selector of a query, with what the rules ask of it.

use crate::labels::{METRIC_NAME, MatchOp, Matcher};
use crate::promql::SelectorUse;

use super::alternatives::Alternatives;
use crate::signal::carried::Carried;
use crate::signal::names::TableMetrics;

/// A selector.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    /// The metric name, if an equality fixes it.
    pub(crate) metric: Option<String>,
    /// Labels that `=` pins, without the metric name.
    pub(crate) pins: Vec<(String, String)>,
    /// Every matcher, the pinning ones included.
    pub(crate) matchers: Vec<Matcher>,
    /// The metrics of the names table that it reads.
    pub(crate) of_table: TableMetrics,
    /// The labels that the result has from its series.
    pub(crate) carried: Carried,
    /// What stands in for it where it has no series.
    pub(crate) alternatives: Alternatives,
    /// How far back the query reads, in milliseconds: the longest sum of ranges, offsets and subqueries.
    pub(crate) window_ms: i64,
}

impl Selector {
    /// The matchers that no series without the label can match: an empty result that they cause proves nothing about series
    /// without it.
    pub(crate) fn required(&self) -> impl Iterator<Item = &Matcher> {
        let requires = |matcher: &&Matcher| matcher.name() != METRIC_NAME && !matcher.matches("");
        self.matchers.iter().filter(requires)
    }

    /// Its text without range and offset, for reasons.
    pub(crate) fn text(&self) -> String {
        let conditions: Vec<String> = self
            .matchers
            .iter()
            .filter(|matcher| self.metric.is_none() || matcher.name() != METRIC_NAME)
            .map(Matcher::to_string)
            .collect();
        let metric = self.metric.as_deref().unwrap_or("");
        match conditions.is_empty() {
            true => metric.to_owned(),
            false => format!("{metric}{{{}}}", conditions.join(", ")),
        }
    }

    /// The matchers on the metric name.
    pub(crate) fn name_matchers(&self) -> impl Iterator<Item = &Matcher> {
        let of_name = |matcher: &&Matcher| matcher.name() == METRIC_NAME;
        self.matchers.iter().filter(of_name)
    }

    pub(super) fn from_use(used: SelectorUse<'_>, carried: Carried, window_ms: i64) -> Selector {
        let equal = |matcher: &&Matcher| matcher.op() == MatchOp::Equal;
        let named = used
            .matchers
            .iter()
            .filter(equal)
            .find(|matcher| matcher.name() == METRIC_NAME);
        let pins = used
            .matchers
            .iter()
            .filter(equal)
            .filter(|matcher| matcher.name() != METRIC_NAME);
        let of_name = used.matchers.iter();
        let of_name: Vec<&Matcher> = of_name.filter(|one| one.name() == METRIC_NAME).collect();
        Selector {
            metric: named.map(|matcher| matcher.value().to_owned()),
            of_table: TableMetrics::read_by(named.map(Matcher::value), &of_name),
            pins: pins
                .map(|matcher| (matcher.name().to_owned(), matcher.value().to_owned()))
                .collect(),
            matchers: used.matchers.to_vec(),
            carried,
            alternatives: Alternatives::default(),
            window_ms,
        }
    }
}
