//! One metric in one namespace: the call that the HPA makes for `type: External`.

use super::groups::Content;
use super::list::{Item, List};
use super::quantity::quantity;
use super::read::{Question, read};
use super::selected::Selected;
use super::status::Status;
use crate::form::Form;
use crate::host::Host;

pub(super) async fn answer(
    host: &dyn Host,
    group: &str,
    namespace: &str,
    metric: &str,
    form: &Form,
) -> Result<List, Status> {
    let question = Question {
        metric,
        namespace,
        selected: Selected::of_metric(form, "labelSelector")?,
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
