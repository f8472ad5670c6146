//! One metric in one namespace: the call that the HPA makes.

use stillwell_engine::Timestamp;

use super::discovery::VERSION;
use super::quantity::quantity;
use super::selector::Selector;
use super::status::Status;
use crate::form::Form;
use crate::host::{Element, Host, Reading};
use crate::json;
use crate::time::rfc3339_seconds;

/// An HPA worker waits without a deadline of its own; the availability probe of the aggregator gives 5 s.
const TIMEOUT_MS: u64 = 4_000;

pub(super) async fn answer(
    host: &dyn Host,
    group: &str,
    namespace: &str,
    metric: &str,
    form: &Form,
) -> Result<String, Status> {
    if matches!(form.get("watch"), "true" | "1") {
        return Err(Status::method_not_allowed(
            "watch is not supported on resources of this kind",
        ));
    }
    let selector = Selector::parse(form.get("labelSelector"))
        .map_err(|error| Status::bad_request(error.to_string()))?;
    let signals = host.signals();
    let (now, names) = (host.now(), signals.names());
    let (name, space) = (metric.to_owned(), namespace.to_owned());
    let reading = host
        .queries()
        .run(TIMEOUT_MS, move |_| {
            Ok(signals.read(&name, &space, &selector, now))
        })
        .await
        .map_err(|error| Status::unavailable(format!("{metric}: {error}")))?;
    match reading {
        None => Err(Status::not_found(unknown(metric, &names))),
        Some(Reading::Forbidden) => Err(Status::forbidden(format!(
            "{metric} is not for namespace {namespace} (signals[].namespaces)"
        ))),
        Some(Reading::Unknown(why)) => {
            Err(Status::unavailable(format!("{metric} is unknown: {why}")))
        }
        Some(Reading::NoneFits(elements)) => {
            let selector = form.get("labelSelector");
            Err(Status::not_found(format!(
                "{metric}: none of its {elements} elements fits labelSelector {selector:?}"
            )))
        }
        Some(Reading::Value(elements) | Reading::Held { elements, .. }) => {
            list(group, metric, &elements)
        }
    }
}

fn unknown(metric: &str, names: &[String]) -> String {
    if names.is_empty() {
        return format!("there is no metric {metric}: no signals are configured");
    }
    format!(
        "there is no metric {metric}; there are {}",
        names.join(", ")
    )
}

fn list(group: &str, metric: &str, elements: &[Element]) -> Result<String, Status> {
    let mut out = r#"{"kind":"ExternalMetricValueList","apiVersion":"#.to_owned();
    json::string(&mut out, &format!("{group}/{VERSION}"));
    out.push_str(",\"metadata\":{},\"items\":[");
    for (index, element) in elements.iter().enumerate() {
        // The HPA adds the items up: one that cannot be told spoils the sum.
        let value = quantity(element.value).map_err(|error| {
            Status::unavailable(format!("{metric}{} is unknown: {error}", element.labels))
        })?;
        if index > 0 {
            out.push(',');
        }
        item(&mut out, metric, element, element.at, &value);
    }
    out.push_str("]}\n");
    Ok(out)
}

fn item(out: &mut String, metric: &str, element: &Element, at: Timestamp, value: &str) {
    out.push_str("{\"metricName\":");
    json::string(out, metric);
    out.push_str(",\"metricLabels\":");
    json::object(out, element.labels.iter());
    out.push_str(",\"timestamp\":");
    json::string(out, &rfc3339_seconds(at));
    out.push_str(",\"value\":");
    json::string(out, value);
    out.push('}');
}
