//! `/api/v1/metadata`: type and help of metric families.

use stillwell_engine::exposition::FamilyMetadata;

use super::lookup::{held, look_up};
use super::params;
use crate::api_error::ApiError;
use crate::form::Form;
use crate::host::Host;
use crate::json;

/// Walking the families of all targets and writing them is work like that of a query.
pub(super) async fn metadata(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let limit = params::limit_of_metadata(form)?;
    let per_metric = match form.get("limit_per_metric") {
        "" => usize::MAX,
        text => match text.parse::<i64>() {
            Ok(number) if number <= 0 => usize::MAX,
            Ok(number) => usize::try_from(number).unwrap_or(usize::MAX),
            Err(_) => return Err(ApiError::bad_data("limit_per_metric must be a number")),
        },
    };
    let (reader, wanted) = (host.reader().clone(), form.get("metric").to_owned());
    look_up(host, move |within| {
        let families = reader.metadata();
        let shown = families
            .iter()
            .filter(|(name, _)| wanted.is_empty() || **name == wanted)
            .take(limit);
        let texts = |(name, variants): (&String, &Vec<FamilyMetadata>)| {
            let texts = variants.iter().map(|one| one.help.len() + one.unit.len());
            name.len() + texts.sum::<usize>()
        };
        let _memory = held(within, shown.clone().map(texts))?;
        Ok(written(shown, per_metric))
    })
    .await
}

fn written<'f>(
    families: impl Iterator<Item = (&'f String, &'f Vec<FamilyMetadata>)>,
    per_metric: usize,
) -> String {
    let mut out = String::from("{\"status\":\"success\",\"data\":{");
    json::joined(&mut out, families, |out, (name, variants)| {
        json::string(out, name);
        out.push_str(":[");
        json::joined(out, variants.iter().take(per_metric), |out, variant| {
            json::object(
                out,
                [
                    ("type", variant.family_type.as_str()),
                    ("help", variant.help.as_str()),
                    ("unit", variant.unit.as_str()),
                ],
            );
        });
        out.push(']');
    });
    out.push_str("}}");
    out
}
