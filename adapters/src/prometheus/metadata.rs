//! `/api/v1/metadata`: type and help of metric families.

use super::params;
use crate::api_error::ApiError;
use crate::form::Form;
use crate::host::Host;
use crate::json;

pub(super) fn metadata(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let limit = params::limit_of_metadata(form)?;
    let per_metric = match form.get("limit_per_metric") {
        "" => usize::MAX,
        text => match text.parse::<i64>() {
            Ok(number) if number <= 0 => usize::MAX,
            Ok(number) => usize::try_from(number).unwrap_or(usize::MAX),
            Err(_) => return Err(ApiError::bad_data("limit_per_metric must be a number")),
        },
    };
    let wanted = form.get("metric");
    let families = host.reader().metadata();
    let shown = families
        .iter()
        .filter(|(name, _)| wanted.is_empty() || *name == wanted)
        .take(limit);
    let mut out = String::from("{\"status\":\"success\",\"data\":{");
    json::joined(&mut out, shown, |out, (name, variants)| {
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
    Ok(out)
}
