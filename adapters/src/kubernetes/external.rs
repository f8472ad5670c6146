//! One metric in one namespace: the call that the HPA makes for `type: External`.

use super::groups::Content;
use super::list::{Item, List};
use super::quantity::quantity;
use super::read::{Question, read};
use super::status::Status;
use crate::form::Form;
use crate::host::Host;
use crate::objects::Selector;

pub(super) async fn answer(
    host: &dyn Host,
    group: &str,
    namespace: &str,
    metric: &str,
    form: &Form,
) -> Result<List, Status> {
    let selector_text = form.get("labelSelector");
    let selector = Selector::parse_of_metric(selector_text)
        .map_err(|error| Status::bad_request(format!("labelSelector: {error}")))?;
    let question = Question {
        metric,
        namespace,
        selector,
        selector_text,
    };
    let elements = read(host, question).await?;
    // The HPA adds the items up: one that cannot be told spoils the sum.
    let items: Result<Vec<Item>, Status> = elements
        .into_iter()
        .map(|element| {
            let value = quantity(element.value).map_err(|error| {
                Status::unavailable(format!("{metric}{} is unknown: {error}", element.labels))
            })?;
            Ok(Item {
                metric: metric.to_owned(),
                labels: element.labels,
                object: None,
                at: element.at,
                value,
            })
        })
        .collect();
    Ok(List {
        group: group.to_owned(),
        content: Content::External,
        version: Content::External.version(),
        items: items?,
    })
}
