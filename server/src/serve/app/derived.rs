//! What follows from the configuration and the flags together.

use stillwell_adapters::host::QuerySettings;
use tracing::warn;

use super::settings::Settings;
use crate::config::Config;
use crate::config::units::duration_ms;
use crate::rule_groups::RuleOptions;

/// The step of a subquery that names none, in milliseconds: the interval of rules, as in Prometheus.
pub(super) fn subquery_step_ms(config: &Config) -> i64 {
    i64::try_from(config.global.evaluation_interval_ms).unwrap_or(i64::MAX)
}

/// How rules are evaluated.
pub(super) fn rule_options(settings: &Settings, config: &Config) -> RuleOptions {
    RuleOptions {
        query: QuerySettings {
            subquery_step_ms: subquery_step_ms(config),
            ..settings.query
        },
        external_labels: config.global.external_labels.clone(),
        external_url: settings.external_url.clone(),
        interval_ms: config.global.evaluation_interval_ms,
        query_offset_ms: config.global.rule_query_offset_ms,
        resend_ms: settings.alerts.resend_ms,
        restore: settings
            .storage_path
            .as_ref()
            .map(|_| settings.alerts.restore),
    }
}

/// Says which signals read further back than samples are kept.
pub(super) fn warn_of_short_history(config: &Config, settings: &Settings) {
    let retention_ms = duration_ms(&settings.retention).unwrap_or(0);
    let Some(retention_ms) = i64::try_from(retention_ms).ok().filter(|ms| *ms > 0) else {
        return; // it is checked where it is given
    };
    for signal in &config.signals {
        if let Some(why) = signal.longer_than(retention_ms) {
            warn!(line = signal.line.0, "signal {:?}: {why}", signal.name);
        }
    }
}
