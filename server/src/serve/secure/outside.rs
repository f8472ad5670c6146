//! What comes from outside, read and nothing done: for fuzz targets, which must not find an input that harms.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use rustls::pki_types::CertificateDer;

use super::attributes::RequestPath;
use super::identity::Authorities;
use super::options::SecureOptions;
use super::subject::subject;
use super::trust::Trust;
use crate::cluster::read_api_service;

/// Reads a request as the secure listener does: its path, its identity headers, its client certificate. Answers the
/// headers that are left: none that names an identity may be.
pub fn request(path: &str, headers: &[(String, String)], certificate: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            map.append(name, value);
        }
    }
    if let Some(path) = RequestPath::parse(path) {
        for method in [Method::GET, Method::DELETE, Method::OPTIONS] {
            let _ = path.attributes(&method, path.is_discovery());
        }
    }
    let _ = subject(certificate);
    let chain = [CertificateDer::from(certificate.to_vec())];
    let known = Authorities::default().identify(&chain, &mut map, 0);
    assert!(known.is_err(), "nobody is known where no CA is");
    map
}

/// Reads the data of an authentication ConfigMap.
pub fn authentication_config(data: BTreeMap<String, String>) -> Result<(), String> {
    Trust::new(SecureOptions::default(), true)?.hear(Ok(data))
}

/// Reads an APIService, and works out what writing a CA into it would change.
pub fn api_service(object: &str) -> bool {
    match serde_json::from_str::<APIService>(object) {
        Ok(found) => read_api_service(&found),
        Err(_) => false,
    }
}
