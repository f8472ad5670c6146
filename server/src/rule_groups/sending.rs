//! From alerts to what Alertmanagers are told of them (rules/alerting.go, `sendAlerts`; cmd/prometheus, `SendAlerts`).

use std::sync::Arc;

use stillwell_adapters::prometheus::print_query;
use stillwell_engine::Timestamp;

use super::alert::Alerts;
use super::file::RuleSpec;
use super::notification::Notification;
use crate::http_client::encode_query;

/// An alert that is not sent again within so many delays is over: two evaluations or requests may fail.
const DELAYS_VALID: u64 = 4;

/// When and how alerts are sent.
pub(super) struct Terms<'a> {
    /// Of the evaluation.
    pub(super) at: Timestamp,
    /// Between two messages about an alert that fires on.
    pub(super) resend_ms: u64,
    /// Of the group.
    pub(super) interval_ms: u64,
    /// From the process' clock to the wall clock.
    pub(super) wall_offset_ms: i64,
    /// Of this server.
    pub(super) external_url: &'a str,
}

/// Takes what has to be sent of one rule.
pub(super) fn take_due(
    alerts: &mut Alerts,
    spec: &RuleSpec,
    terms: &Terms<'_>,
) -> Vec<Notification> {
    let wall = |ms: i64| Timestamp::from_ms(ms.saturating_add(terms.wall_offset_ms));
    let valid_ms = terms.interval_ms.max(terms.resend_ms) * DELAYS_VALID;
    let valid_until_ms = terms.at.ms() + i64::try_from(valid_ms).unwrap_or(i64::MAX / 2);
    let mut url: Option<Arc<str>> = None;
    let due = alerts.take_due(terms.at.ms(), terms.resend_ms);
    due.map(|due| Notification {
        labels: due.labels.clone(),
        annotations: due.annotations.clone(),
        starts_at: wall(due.fired_at_ms),
        ends_at: wall(due.resolved_at_ms.unwrap_or(valid_until_ms)),
        generator_url: Arc::clone(url.get_or_insert_with(|| table_link(terms.external_url, spec))),
    })
    .collect()
}

/// Where the rule's query can be looked at.
fn table_link(external_url: &str, spec: &RuleSpec) -> Arc<str> {
    let query = spec.query.as_ref();
    let text = query.map_or(spec.expr.clone(), |query| print_query(query, &spec.expr));
    let mut link = format!("{}/graph?g0.expr=", external_url.trim_end_matches('/'));
    encode_query(&text, &mut link);
    link.push_str("&g0.tab=1");
    link.into()
}
