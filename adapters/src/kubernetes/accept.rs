//! Which of our forms a client takes.

use axum::http::{HeaderMap, header};

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Plain JSON.
    Json,
    /// Aggregated discovery, version 2; of `/apis` only.
    AggregatedDiscovery,
}

/// The content type of aggregated discovery.
pub(super) const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The first form in the `Accept` header that we have; JSON where there is no header.
pub(super) fn negotiate(headers: &HeaderMap, has_aggregated: bool) -> Option<Form> {
    let mut items = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .peekable();
    if items.peek().is_none() {
        return Some(Form::Json);
    }
    items.find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let media = parts.next().unwrap_or("").to_ascii_lowercase();
        let (mut kind, mut version) = (None, None);
        for part in parts {
            match part.split_once('=') {
                Some(("as", value)) => kind = Some(value),
                Some(("v", value)) => version = Some(value),
                _ => {}
            }
        }
        match (media.as_str(), kind) {
            ("application/json", Some("APIGroupDiscoveryList"))
                if has_aggregated && version == Some("v2") =>
            {
                Some(Form::AggregatedDiscovery)
            }
            ("*/*" | "application/*" | "application/json", None) => Some(Form::Json),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn every_known_client_gets_json_and_the_aggregator_its_form() {
        for (accept, of_apis, form) in [
            (
                "application/vnd.kubernetes.protobuf, */*",
                false,
                Some(Form::Json),
            ),
            ("application/json", false, Some(Form::Json)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                false,
                Some(Form::Json),
            ),
            ("application/json;as=Table;g=meta.k8s.io;v=v1", false, None),
            ("application/cbor", false, None),
            ("application/vnd.kubernetes.protobuf", false, None),
            (AGGREGATED, true, Some(Form::AggregatedDiscovery)),
            (AGGREGATED, false, None),
            (
                "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json",
                true,
                Some(Form::Json),
            ),
            ("", false, Some(Form::Json)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(negotiate(&headers, of_apis), form, "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new(), false), Some(Form::Json));
    }
}
