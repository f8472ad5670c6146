//! Recording rules as signals read them: what a signal asks of a recorded series, it asks of the rule's expression.

use stillwell_engine::promql::{RecordedRule, RecordedRules};

use super::file::{RuleFile, RuleKindSpec};

/// The recording rules of these files, in their order.
pub fn recorded<'f>(
    files: impl Iterator<Item = &'f RuleFile>,
    default_interval_ms: u64,
) -> RecordedRules {
    let mut recorded = RecordedRules::default();
    for group in files.flat_map(|file| &file.groups) {
        let interval_ms = group.interval_ms.unwrap_or(default_interval_ms).max(1) as i64;
        for rule in &group.rules {
            if let (RuleKindSpec::Record, Some(query)) = (&rule.kind, &rule.query) {
                let one = RecordedRule {
                    labels: rule.labels.clone(),
                    query: query.clone(),
                    interval_ms,
                };
                recorded.add(&rule.name, one);
            }
        }
    }
    recorded
}
