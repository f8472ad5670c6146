//! Which series a rule is about, and what the metric made of one is called.

use stillwell_engine::labels::{METRIC_NAME, MatchOp, expand};

use super::file::Rule;

/// The one series name that the rule's `seriesQuery` fits, where it names it.
pub fn series_name(rule: &Rule) -> Option<&str> {
    let named = |matcher: &&stillwell_engine::labels::Matcher| {
        matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal
    };
    rule.series
        .iter()
        .find(named)
        .map(|matcher| matcher.value())
}

/// The metric that this series makes; `None` where a filter or `name.matches` leaves it out.
///
/// In the adapter `$0` is what `matches` fits; here it is the whole series name, which is the same for every pattern
/// that fits from end to end.
pub fn metric_name(rule: &Rule, series: &str) -> Option<String> {
    if rule
        .filters
        .iter()
        .any(|(regex, wanted)| regex.is_match(series) != *wanted)
    {
        return None;
    }
    let captures = rule.matches.captures(series)?;
    let mut name = String::new();
    expand(&rule.name, series, &captures, usize::MAX, &mut name);
    Some(name).filter(|name| !name.is_empty())
}
