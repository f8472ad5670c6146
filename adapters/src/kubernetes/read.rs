//! Reads a signal for one request of the external metrics API.

use stillwell_engine::nearest::nearest;

use super::selected::Selected;
use super::status::Status;
use crate::host::{Element, Host, Reading};
use crate::pool::{Kind, Within};

/// An HPA worker waits without a deadline of its own; the availability probe of the aggregator gives 5 s.
pub(super) const TIMEOUT_MS: u64 = 4_000;
/// Metrics that an error lists: an HPA copies it into its status and into events.
pub(super) const LISTED_MAX: usize = 20;

/// A question for a metric.
pub(super) struct Question<'q> {
    pub(super) metric: &'q str,
    pub(super) namespace: &'q str,
    pub(super) selected: Selected,
}

/// The elements that were asked for; never none.
pub(super) async fn read(host: &dyn Host, question: Question<'_>) -> Result<Vec<Element>, Status> {
    let Question {
        metric,
        namespace,
        selected,
    } = question;
    let (signals, now) = (host.signals(), host.now());
    // Mostly a copy of what was published, which no other thread has to be woken for.
    let reading = match signals.read_if_ready(metric, namespace, &selected.selector, now) {
        Some(reading) => Ok(reading),
        None => {
            let (name, space) = (metric.to_owned(), namespace.to_owned());
            let selector = selected.selector.clone();
            let read = move |_: &Within| {
                let reading = signals.read(&name, &space, &selector, now);
                Ok(reading.ok_or_else(|| signals.names()))
            };
            let reading = host.queries().run(Kind::Scaler, TIMEOUT_MS, read).await;
            reading.map_err(|error| Status::unavailable(format!("{metric}: {error}")))?
        }
    };
    match reading {
        Err(names) => Err(Status::not_found(unknown(metric, &names))),
        Ok(Reading::Forbidden) => Err(Status::forbidden(format!(
            "{metric} is not for namespace {namespace} (signals[].namespaces)"
        ))),
        Ok(Reading::Unknown(why)) => {
            Err(Status::unavailable(format!("{metric} is unknown: {why}")))
        }
        Ok(Reading::NoneFits(none)) => Err(Status::not_found(format!(
            "{metric}: {}",
            selected.excludes(&none)
        ))),
        Ok(Reading::NotThere(why)) => Err(Status::not_found(format!("{metric}: {why}"))),
        Ok(Reading::Value(elements) | Reading::Held { elements, .. }) if elements.is_empty() => {
            Err(Status::not_found(format!(
                "{metric}: the comparison of its query leaves nothing of what was measured, and an HPA takes a number: add \
                 `or vector(0)`, or compare with `bool`"
            )))
        }
        Ok(Reading::Value(mut elements) | Reading::Held { mut elements, .. }) => {
            for element in &mut elements {
                element.at = element.at.plus_ms(host.wall_offset_ms());
            }
            Ok(elements)
        }
    }
}

fn unknown(metric: &str, names: &[String]) -> String {
    if names.is_empty() {
        return format!("there is no metric {metric}: no signals are configured");
    }
    let hint = nearest(metric, names.iter().map(String::as_str));
    let hint = hint.map_or(String::new(), |near| format!("; did you mean {near}?"));
    let listed = &names[..names.len().min(LISTED_MAX)];
    let more = match names.len() - listed.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "there is no metric {metric}{hint}; there are {}{more}",
        listed.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An HPA copies the message into its status and an event every 15 s: of 6,000 names it was 281 kB.
    #[test]
    fn of_many_names_the_nearest_and_some_are_listed() {
        let names: Vec<String> = (0..6_000).map(|at| format!("queue_{at:04}")).collect();
        let told = unknown("queue_5999x", &names);
        assert!(told.len() < 400, "{told}");
        assert!(told.contains("did you mean queue_5999?"), "{told}");
        assert!(told.ends_with("queue_0019 and 5980 more"), "{told}");
        let few = unknown("x", &names[..2]);
        assert_eq!(
            few,
            "there is no metric x; there are queue_0000, queue_0001"
        );
    }
}
