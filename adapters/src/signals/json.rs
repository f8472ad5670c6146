//! Signals as JSON.

use std::fmt::Write as _;

use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;
use stillwell_engine::signal::{Element, State, TargetState, Transition};

use super::{number, reason, scalers, state_name, text};
use crate::host::{Asker, Description, GuardedRefusal, Outline, ScalersReport};
use crate::json;
use crate::time::rfc3339;

/// Every signal with what explains it, what `/guarded` refused, and who reads.
pub(super) fn all(
    descriptions: &[Description],
    scalers: &ScalersReport,
    refusals: &[GuardedRefusal],
    now: Timestamp,
) -> String {
    let mut out = String::from("{\"signals\":[");
    json::joined(&mut out, descriptions, |out, one| signal(out, one, now));
    out.push_str("],\"guardedRefusals\":[");
    json::joined(&mut out, refusals, refusal);
    out.push_str("],");
    scalers::json(&mut out, scalers);
    out.push_str("}\n");
    out
}

/// Every signal in one line, with `now`, against which a reader works out ages: the text may be some hundred milliseconds
/// old when it is read.
pub(super) fn brief(
    outlines: &[Outline],
    scalers: &ScalersReport,
    refusals: &[GuardedRefusal],
    now: Timestamp,
) -> String {
    let mut out = String::from("{");
    text(&mut out, "\"now\":", &rfc3339(now));
    list(&mut out, "signals", outlines, outline);
    list(&mut out, "guardedRefusals", refusals, refusal);
    out.push(',');
    scalers::json(&mut out, scalers);
    out.push_str("}\n");
    out
}

fn outline(out: &mut String, one: &Outline) {
    text(out, "{\"name\":", &one.name);
    asker(out, one.asker.as_ref());
    text(out, ",\"query\":", &one.about.query);
    state(out, &one.reading.state);
    let elements = &one.reading.elements;
    let _ = write!(out, ",\"elementCount\":{}", elements.len());
    if let [element] = elements.as_slice() {
        text(out, ",\"value\":", &number(element.value));
    }
    if let Some(oldest) = elements.iter().map(|element| element.time).min() {
        text(out, ",\"time\":", &rfc3339(oldest));
    }
    list(out, "warnings", &one.about.warnings, |out, warning| {
        json::string(out, warning);
    });
    last_read(out, one.last_read.as_ref());
    out.push('}');
}

/// Who asks, where the query depends on that.
fn asker(out: &mut String, asker: Option<&Asker>) {
    if let Some(asker) = asker {
        text(out, ",\"asker\":{\"api\":", asker.api);
        for (key, value) in [
            (",\"namespace\":", &asker.namespace),
            (",\"object\":", &asker.object),
            (",\"selector\":", &asker.selector),
        ] {
            text(out, key, value);
        }
        out.push('}');
    }
}

fn state(out: &mut String, state: &State) {
    text(out, ",\"state\":", state_name(state));
    text(out, ",\"reason\":", reason(state));
    if let State::Held { age_ms, .. } = state {
        let _ = write!(out, ",\"heldAgeSeconds\":{}", *age_ms as f64 / 1000.0);
    }
}

fn last_read(out: &mut String, last_read: Option<&(Timestamp, String)>) {
    if let Some((time, told)) = last_read {
        text(out, ",\"lastRead\":{\"time\":", &rfc3339(*time));
        text(out, ",\"told\":", told);
        out.push('}');
    }
}

fn signal(out: &mut String, one: &Description, now: Timestamp) {
    let explained = &one.explanation;
    text(out, "{\"name\":", &one.name);
    asker(out, one.asker.as_ref());
    text(out, ",\"query\":", &explained.query);
    text(out, ",\"kind\":", explained.kind);
    text(out, ",\"plan\":", explained.plan);
    text(out, ",\"planReason\":", &explained.plan_reason);
    state(out, &one.reading.state);
    list(out, "elements", &one.reading.elements, |out, one| {
        element(out, one, now);
    });
    list(out, "measured", &explained.measured, |out, one| {
        measured(out, &one.0, one.1);
    });
    list(out, "warnings", &explained.warnings, |out, warning| {
        json::string(out, warning);
    });
    list(out, "missing", &one.missing, |out, (name, why)| {
        text(out, "{\"object\":", name);
        text(out, ",\"reason\":", why);
        out.push('}');
    });
    list(out, "targets", &explained.targets, target);
    list(out, "series", &explained.series, |out, one| {
        series(out, &one.0, one.1, now.since_ms(one.2));
    });
    let _ = write!(out, ",\"seriesCount\":{}", explained.series_count);
    last_read(out, one.last_read.as_ref());
    list(out, "transitions", &one.transitions, transition);
    out.push('}');
}

fn element(out: &mut String, element: &Element, now: Timestamp) {
    labels(out, "labels", &element.labels);
    text(out, ",\"value\":", &number(element.value));
    text(out, ",\"time\":", &rfc3339(element.time));
    age(out, now.since_ms(element.time));
}

fn measured(out: &mut String, of: &Labels, value: f64) {
    labels(out, "labels", of);
    text(out, ",\"value\":", &number(value));
    out.push('}');
}

fn target(out: &mut String, target: &TargetState) {
    labels(out, "labels", &target.labels);
    let _ = write!(
        out,
        ",\"counts\":{},\"fresh\":{}",
        target.counts, target.fresh
    );
    if let Some(time) = target.last_good {
        text(out, ",\"lastGood\":", &rfc3339(time));
    }
    text(out, ",\"error\":", &target.error);
    out.push('}');
}

fn series(out: &mut String, of: &Labels, value: f64, age_ms: i64) {
    labels(out, "metric", of);
    text(out, ",\"value\":", &number(value));
    age(out, age_ms);
}

fn transition(out: &mut String, transition: &Transition) {
    text(out, "{\"time\":", &rfc3339(transition.time));
    text(out, ",\"state\":", state_name(&transition.state));
    if let Some(value) = transition.value {
        text(out, ",\"value\":", &number(value));
    }
    text(out, ",\"reason\":", reason(&transition.state));
    out.push('}');
}

fn refusal(out: &mut String, one: &GuardedRefusal) {
    text(out, "{\"query\":", &one.query);
    text(out, ",\"reason\":", &one.reason);
    let _ = write!(out, ",\"count\":{}", one.count);
    text(out, ",\"last\":", &rfc3339(one.last));
    out.push('}');
}

/// A key with a list of items, after another key.
fn list<T>(out: &mut String, key: &str, items: &[T], item: impl FnMut(&mut String, &T)) {
    let _ = write!(out, ",\"{key}\":[");
    json::joined(out, items, item);
    out.push(']');
}

/// The first key of an object, with labels as its value.
fn labels(out: &mut String, key: &str, labels: &Labels) {
    let _ = write!(out, "{{\"{key}\":");
    json::object(out, labels.iter());
}

/// The last key of an object.
fn age(out: &mut String, age_ms: i64) {
    let _ = write!(out, ",\"ageSeconds\":{}}}", age_ms as f64 / 1000.0);
}
