//! Which of our forms a client takes.

use axum::http::{HeaderMap, header};

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Plain JSON.
    Json,
    /// JSON as well, under the name of YAML, of which it is a part.
    Yaml,
    /// Kubernetes' protobuf; of lists of values only.
    Protobuf,
    /// A table, as `kubectl get` asks for it; of lists of values only.
    Table,
    /// Aggregated discovery; of `/apis` only.
    AggregatedDiscovery(Discovery),
}

impl Form {
    /// Of anything but aggregated discovery.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Protobuf => PROTOBUF,
            Form::Yaml => YAML,
            Form::Json | Form::Table | Form::AggregatedDiscovery(_) => crate::reply::JSON,
        }
    }
}

/// A version of aggregated discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discovery {
    V2,
    V2Beta1,
}

impl Discovery {
    /// As in `apiVersion`.
    pub(super) fn version(self) -> &'static str {
        match self {
            Discovery::V2 => "v2",
            Discovery::V2Beta1 => "v2beta1",
        }
    }

    /// The content type.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Discovery::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Discovery::V2Beta1 => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
        }
    }
}

/// What can be answered with, beside JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Json,
    AggregatedDiscovery,
    /// Lists of values, and tables of them.
    Protobuf,
}

/// The content type of YAML.
pub(super) const YAML: &str = "application/yaml";

/// The content type of protobuf.
pub(super) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The first form in the `Accept` header that is offered; JSON where there is no header. An item of weight 0 is one that
/// the client does not take; other weights are as little looked at as in an API server.
pub(super) fn negotiate(headers: &HeaderMap, offer: Offer) -> Option<Form> {
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
                Some(("q", weight)) if weight.parse() == Ok(0.0) => return None,
                _ => {}
            }
        }
        match (media.as_str(), kind) {
            ("application/json", Some("APIGroupDiscoveryList"))
                if offer == Offer::AggregatedDiscovery =>
            {
                match version {
                    Some("v2") => Some(Form::AggregatedDiscovery(Discovery::V2)),
                    Some("v2beta1") => Some(Form::AggregatedDiscovery(Discovery::V2Beta1)),
                    _ => None,
                }
            }
            ("application/json", Some("Table"))
                if offer == Offer::Protobuf && version == Some("v1") =>
            {
                Some(Form::Table)
            }
            (YAML, None) => Some(Form::Yaml),
            (PROTOBUF, None) if offer == Offer::Protobuf => Some(Form::Protobuf),
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
    fn every_known_client_gets_the_first_form_that_it_takes() {
        let (v2, beta) = (Discovery::V2, Discovery::V2Beta1);
        for (accept, offer, form) in [
            (
                "application/vnd.kubernetes.protobuf, */*",
                Offer::Json,
                Some(Form::Json),
            ),
            (
                "application/vnd.kubernetes.protobuf, */*",
                Offer::Protobuf,
                Some(Form::Protobuf),
            ),
            (
                "application/json, application/vnd.kubernetes.protobuf",
                Offer::Protobuf,
                Some(Form::Json),
            ),
            (PROTOBUF, Offer::Protobuf, Some(Form::Protobuf)),
            (PROTOBUF, Offer::Json, None),
            (
                "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
                Offer::Protobuf,
                None,
            ),
            ("*/*;q=0", Offer::Json, None),
            ("application/json", Offer::Protobuf, Some(Form::Json)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Offer::Json,
                Some(Form::Json),
            ),
            (
                "application/json;as=Table;g=meta.k8s.io;v=v1",
                Offer::Json,
                None,
            ),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Offer::Protobuf,
                Some(Form::Table),
            ),
            ("application/cbor", Offer::Protobuf, None),
            (YAML, Offer::Json, Some(Form::Yaml)),
            (
                "application/yaml, application/json",
                Offer::Protobuf,
                Some(Form::Yaml),
            ),
            (
                v2.content_type(),
                Offer::AggregatedDiscovery,
                Some(Form::AggregatedDiscovery(v2)),
            ),
            (
                beta.content_type(),
                Offer::AggregatedDiscovery,
                Some(Form::AggregatedDiscovery(beta)),
            ),
            (v2.content_type(), Offer::Json, None),
            (
                "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json",
                Offer::AggregatedDiscovery,
                Some(Form::Json),
            ),
            ("", Offer::Json, Some(Form::Json)),
            (", ,;;q", Offer::Json, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(negotiate(&headers, offer), form, "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new(), Offer::Json), Some(Form::Json));
    }
}
