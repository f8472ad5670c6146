//! Rules, and the alerts that they send.

use super::family::{Families, Family, Kind};
use crate::alertmanager::Counts;
use crate::serve::app::App;

pub(super) fn rules(page: &mut Families, app: &App) {
    let (evaluations, failures, missed) = app.rules().counts();
    page.counter(
        "stillwell_rule_group_evaluations_total",
        "Evaluations of rule groups.",
        evaluations as f64,
    );
    page.counter(
        "stillwell_rule_failures_total",
        "Rules that failed in them.",
        failures as f64,
    );
    page.counter(
        "stillwell_rule_group_evaluations_missed_total",
        "Evaluations that were left out, because those before took too long.",
        missed as f64,
    );
}

/// How sending to each Alertmanager goes; nothing where there is none.
pub(super) fn notifications(page: &mut Families, counts: &[Counts]) {
    type Read = fn(&Counts) -> f64;
    let families: [(&str, Kind, &str, Read); 4] = [
        (
            "stillwell_notifications_sent_total",
            Kind::Counter,
            "Alerts that the Alertmanager has taken.",
            |one| one.sent as f64,
        ),
        (
            "stillwell_notifications_errors_total",
            Kind::Counter,
            "Alerts in requests to it that failed; they are sent again.",
            |one| one.failed as f64,
        ),
        (
            "stillwell_notifications_dropped_total",
            Kind::Counter,
            "Alerts that it will never get: its queue was full, or it refused them.",
            |one| one.dropped as f64,
        ),
        (
            "stillwell_notifications_queue_length",
            Kind::Gauge,
            "Alerts that wait for it.",
            |one| one.waiting as f64,
        ),
    ];
    for (name, kind, help, read) in families {
        let mut family = Family::new(name, kind, help);
        for one in counts {
            family.add(&[("alertmanager", &one.url)], read(one));
        }
        page.push(family);
    }
}
