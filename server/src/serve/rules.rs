//! Rules whose query depends on who asks: which metrics there are, and the query for one caller.

use std::sync::Arc;

use stillwell_adapters::objects::Selector;
use stillwell_engine::labels::METRIC_NAME;
use stillwell_engine::promql::{EvalOptions, QueryError};
use stillwell_engine::{Reader, SeriesQuery};

use super::sanitized;
use crate::rules::{Rule, metric_name, query, series_name};

/// The metrics of these rules, as far as their names are known: from the rule, or from what was scraped.
pub(super) fn metrics(rules: &[Arc<Rule>], reader: &Reader) -> Vec<String> {
    rules
        .iter()
        .flat_map(|rule| made(rule, reader))
        .map(|(metric, _)| metric)
        .collect()
}

/// The query for a metric of this name, in any case; `None` where no rule makes it. As in the adapter the last rule
/// that does counts.
pub(super) fn query_for(
    rules: &[Arc<Rule>],
    reader: &Reader,
    name: &str,
    namespace: &str,
    selector: &Selector,
) -> Option<Result<String, QueryError>> {
    rules.iter().rev().find_map(|rule| {
        let made = made(rule, reader);
        let (_, series) = made
            .iter()
            .rfind(|(metric, _)| metric.eq_ignore_ascii_case(name))?;
        if !rule.sanitized {
            return Some(query(rule, series, namespace, selector));
        }
        let meant = sanitized::resolve(selector, std::slice::from_ref(&rule.series), reader);
        let meant = meant.map_err(QueryError::Execution);
        Some(meant.and_then(|selector| query(rule, series, namespace, &selector)))
    })
}

/// The same, where it can be told without a look into the store. `None` says nothing about the metric.
pub(super) fn query_if_known(
    rules: &[Arc<Rule>],
    name: &str,
    namespace: &str,
    selector: &Selector,
) -> Option<String> {
    for rule in rules.iter().rev() {
        let series = series_name(rule)?;
        let made = metric_name(rule, series);
        if made.is_some_and(|made| made.eq_ignore_ascii_case(name)) {
            let is_known = !rule.sanitized;
            return is_known.then(|| query(rule, series, namespace, selector).ok())?;
        }
    }
    None
}

/// The metric of a rule that names its series; `Some(None)`: a filter leaves it out. `None`: it depends on what was scraped.
#[expect(
    clippy::option_option,
    reason = "a name, none, and one that is not known are three cases"
)]
pub(super) fn fixed_name(rule: &Rule) -> Option<Option<String>> {
    Some(metric_name(rule, series_name(rule)?))
}

/// Each metric of a rule with the series that it is made of.
fn made(rule: &Rule, reader: &Reader) -> Vec<(String, String)> {
    let series = match series_name(rule) {
        Some(series) => vec![series.to_owned()],
        None => {
            let selectors = [rule.series.clone()];
            let query = SeriesQuery {
                selectors: &selectors,
                ..SeriesQuery::ALL
            };
            let found = reader.label_values(METRIC_NAME, query, &EvalOptions::default());
            found.unwrap_or_default() // nothing stops it
        }
    };
    let metric = |series: String| Some((metric_name(rule, &series)?, series));
    series.into_iter().filter_map(metric).collect()
}
