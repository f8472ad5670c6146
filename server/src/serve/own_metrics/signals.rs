//! What each signal of the configuration says, as series: its state always, its numbers only where one may be told. A signal
//! that is removed takes its series with it, and so does a number that nobody measures any more: Prometheus then shows a
//! gap, not a 0 (rule S5, keda#6617).

use stillwell_engine::Timestamp;
use stillwell_engine::labels::{Labels, LabelsBuilder, METRIC_NAME};
use stillwell_engine::signal::{Reading, State};

use super::family::{Families, Family, Kind, Point};

/// The states, in the words of `/signals`.
const STATES: [&str; 4] = ["value", "held", "configured", "unknown"];

pub(super) fn signals(page: &mut Families, readings: &[(String, Reading)], now: Timestamp) {
    for family in families(readings, now) {
        page.push(family);
    }
}

/// The same as samples.
pub(in super::super) fn signal_samples(
    readings: &[(String, Reading)],
    now: Timestamp,
) -> Vec<(Labels, f64)> {
    let mut samples = Vec::new();
    for family in families(readings, now) {
        for metric in &family.metrics {
            let Point::Value(value) = metric.point else {
                continue;
            };
            let mut labels = LabelsBuilder::default();
            labels.set(METRIC_NAME, family.name);
            for (name, value) in &metric.labels {
                labels.set(name, value);
            }
            samples.push((labels.build(), value));
        }
    }
    samples
}

fn families(readings: &[(String, Reading)], now: Timestamp) -> [Family; 3] {
    let mut states = Family::new(
        "stillwell_signal_state",
        Kind::Gauge,
        "1 for the state that the signal is in, 0 for the others.",
    );
    let mut values = Family::new(
        "stillwell_signal_value",
        Kind::Gauge,
        "The numbers that autoscalers are told; none while the signal is unknown.",
    );
    let mut ages = Family::new(
        "stillwell_signal_age_seconds",
        Kind::Gauge,
        "How long ago the number was measured, its oldest part; none while the signal is unknown.",
    );
    for (name, reading) in readings {
        let is_in = state(reading);
        for state in STATES {
            let labels = [("signal", name.as_str()), ("state", state)];
            states.add(&labels, f64::from(u8::from(state == is_in)));
        }
        for element in &reading.elements {
            // As a scrape would rename them: the signal's name is ours.
            let renamed = |label: &str| match label {
                "signal" => "exported_signal".to_owned(),
                "__name__" => "metric".to_owned(),
                other => other.to_owned(),
            };
            let own = element.labels.iter();
            let own: Vec<(String, &str)> =
                own.map(|(label, value)| (renamed(label), value)).collect();
            let own = own.iter().map(|(label, value)| (label.as_str(), *value));
            let labels: Vec<(&str, &str)> = std::iter::once(("signal", name.as_str()))
                .chain(own)
                .collect();
            values.add(&labels, element.value);
        }
        let oldest = reading.elements.iter().map(|element| element.time).min();
        if let Some(oldest) = oldest {
            let age_s = now.since_ms(oldest).max(0) as f64 / 1000.0;
            ages.add(&[("signal", name)], age_s);
        }
    }
    [states, values, ages]
}

fn state(reading: &Reading) -> &'static str {
    match reading.state {
        State::Value => "value",
        State::Held { .. } => "held",
        State::Configured { .. } => "configured",
        State::Unknown { .. } => "unknown",
    }
}
