//! What KEDA's ScaledObjects ask for, and warnings, as a table and as JSON.

use std::fmt::Write as _;

use stillwell_engine::Timestamp;

use super::{age, aligned, number, text as json_text};
use crate::host::{ScaledObject, ScalersReport};
use crate::json;
use crate::time::rfc3339;

/// Below the table of signals; nothing where nobody asks and all is well.
pub(super) fn text(report: &ScalersReport, now: Timestamp) -> String {
    let mut out = String::new();
    for warning in &report.warnings {
        let _ = writeln!(out, "\nwarning: {warning}"); // writing to a String cannot fail
    }
    if report.objects.is_empty() {
        return out;
    }
    let head = [
        "SCALED OBJECT",
        "TRIGGER",
        "STATE",
        "VALUE",
        "ACTIVE",
        "STREAMS",
        "ASKED",
        "REASON",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(report.objects.iter().map(|object| row(object, now)));
    out.push('\n');
    out.push_str(&aligned(&rows));
    if report.more > 0 {
        let _ = writeln!(out, "and {} more triggers", report.more);
    }
    out
}

fn row(object: &ScaledObject, now: Timestamp) -> [String; 8] {
    let active = match (object.active, object.latched_until) {
        (None, _) => "-".to_owned(),
        (Some(false), _) => "no".to_owned(),
        (Some(true), None) => "yes".to_owned(),
        (Some(true), Some(until)) => format!("latched, {} more at most", age(until, now)),
    };
    let trigger = match object.trigger.as_str() {
        "" => "-",
        trigger => trigger,
    };
    [
        format!("{}/{}", object.namespace, object.name),
        trigger.to_owned(),
        object.state.to_owned(),
        object.value.map_or("-".to_owned(), number),
        active,
        object.streams.to_string(),
        format!("{} ago", age(now, object.last_call)),
        object.reason.clone(),
    ]
}

/// Two members of an object.
pub(super) fn json(out: &mut String, report: &ScalersReport) {
    out.push_str("\"scaledObjects\":[");
    json::joined(out, &report.objects, |out, object| {
        json_text(out, "{\"namespace\":", &object.namespace);
        json_text(out, ",\"name\":", &object.name);
        let _ = write!(out, ",\"authenticated\":{}", object.authenticated);
        json_text(out, ",\"trigger\":", &object.trigger);
        json_text(out, ",\"state\":", object.state);
        json_text(out, ",\"reason\":", &object.reason);
        for (key, value) in [
            ("value", object.value),
            ("threshold", object.threshold),
            ("activationThreshold", object.activation_threshold),
        ] {
            if let Some(value) = value {
                json_text(out, &format!(",\"{key}\":"), &number(value));
            }
        }
        if let Some(active) = object.active {
            let _ = write!(out, ",\"active\":{active}");
        }
        if let Some(until) = object.latched_until {
            json_text(out, ",\"latchedUntil\":", &rfc3339(until));
        }
        let _ = write!(out, ",\"streams\":{}", object.streams);
        json_text(out, ",\"lastCall\":", &rfc3339(object.last_call));
        out.push('}');
    });
    let _ = write!(out, "],\"scaledObjectsMore\":{},\"warnings\":", report.more);
    json::strings(out, report.warnings.iter().map(String::as_str));
}
