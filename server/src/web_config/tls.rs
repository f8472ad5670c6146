//! What rustls needs, from the section.

use std::sync::Arc;

use rustls::crypto::ring::{self, cipher_suite, kx_group, sign::any_supported_type};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, version};

use super::settings::{ClientAuth, Material, TlsSection, read_file};
use super::verifier::ByPolicy;
use crate::config::Report;

/// Go's names of the suites that rustls has.
const SUITES: [(&str, &SupportedCipherSuite); 9] = [
    (
        "TLS_AES_128_GCM_SHA256",
        &cipher_suite::TLS13_AES_128_GCM_SHA256,
    ),
    (
        "TLS_AES_256_GCM_SHA384",
        &cipher_suite::TLS13_AES_256_GCM_SHA384,
    ),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        &cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        &cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        &cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        &cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        &cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        &cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        &cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The others that Prometheus knows: CBC, which rustls does not have.
const OTHER_SUITES: [&str; 4] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

const CURVES: [(&str, &dyn SupportedKxGroup); 3] = [
    ("CurveP256", kx_group::SECP256R1),
    ("CurveP384", kx_group::SECP384R1),
    ("X25519", kx_group::X25519),
];

/// Prometheus' other curve.
const OTHER_CURVES: [&str; 1] = ["CurveP521"];

pub(super) fn check_suites(line: usize, names: &[String], report: &mut Report) {
    let ours = SUITES.map(|(name, _)| name);
    check("cipher_suites", line, names, &ours, &OTHER_SUITES, report);
}

pub(super) fn check_curves(line: usize, names: &[String], report: &mut Report) {
    let ours = CURVES.map(|(name, _)| name);
    check(
        "curve_preferences",
        line,
        names,
        &ours,
        &OTHER_CURVES,
        report,
    );
}

/// Every name is known, and one is offered here at least.
fn check(
    key: &str,
    line: usize,
    names: &[String],
    ours: &[&str],
    others: &[&str],
    report: &mut Report,
) {
    let mut offered = names.is_empty();
    for name in names {
        if ours.contains(&name.as_str()) {
            offered = true;
        } else if others.contains(&name.as_str()) {
            report.warn(line, format!("{key}: {name} is not offered here"));
        } else {
            report.error(
                line,
                format!("{key}: unknown {name:?}; there are: {}", ours.join(", ")),
            );
            offered = true; // said enough
        }
    }
    if !offered {
        report.error(
            line,
            format!(
                "{key}: none of them is offered here (the TLS library has no other), so nobody could connect; there are: {}",
                ours.join(", ")
            ),
        );
    }
}

/// A configuration that offers these application protocols, and whether clients' certificates are verified.
pub(super) fn server_config(
    section: &TlsSection,
    protocols: &[&[u8]],
) -> Result<ServerConfig, String> {
    let provider = Arc::new(provider(section));
    let mut versions = Vec::new();
    if section.tls12 {
        versions.push(&version::TLS12);
    }
    if section.tls13 {
        versions.push(&version::TLS13);
    }
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| format!("cipher_suites and versions do not go together: {error}"))?;
    let builder = match section.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        policy => {
            let verifier = match &section.client_ca {
                Some(bundle) => Some(client_verifier(bundle, &provider)?),
                None => system_verifier(&provider),
            };
            let names = section.client_allowed_sans.clone();
            builder.with_client_cert_verifier(Arc::new(ByPolicy::new(
                policy, verifier, names, &provider,
            )))
        }
    };
    let key = certified_key(section)?;
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn provider(section: &TlsSection) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !section.cipher_suites.is_empty() {
        // As in Go the list is about TLS 1.2; the suites of 1.3 are not chosen.
        let chosen = |suite: &SupportedCipherSuite| {
            suite.tls13().is_some()
                || SUITES.iter().any(|(name, known)| {
                    *known == suite && section.cipher_suites.iter().any(|one| one == name)
                })
        };
        provider.cipher_suites.retain(chosen);
    }
    if !section.curves.is_empty() {
        let wanted = section.curves.iter();
        let found = wanted.filter_map(|curve| CURVES.iter().find(|(name, _)| name == curve));
        provider.kx_groups = found.map(|(_, group)| *group).collect();
    }
    provider
}

fn client_verifier(
    bundle: &Material,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(bundle)? {
        roots
            .add(certificate)
            .map_err(|error| format!("{}: {error}", name(bundle)))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| format!("{}: {error}", name(bundle)))
}

/// By the CAs of the system, as Go does where none are named; `None` where there are none, and nobody is let in.
fn system_verifier(
    provider: &Arc<CryptoProvider>,
) -> Option<Arc<dyn rustls::server::danger::ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    // The list of a hundred names would be told to each client.
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder.clear_root_hint_subjects().build().ok()
}

fn certified_key(section: &TlsSection) -> Result<CertifiedKey, String> {
    let chain = certificates(&section.certificate)?;
    let key_name = name(&section.key);
    let key = PrivateKeyDer::from_pem_slice(&bytes(&section.key)?)
        .map_err(|error| format!("{key_name}: {error}"))?;
    let signer = any_supported_type(&key).map_err(|error| format!("{key_name}: {error}"))?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|error| {
        let certificate = name(&section.certificate);
        format!("{certificate} and {key_name} do not belong together: {error}")
    })?;
    Ok(certified)
}

fn certificates(material: &Material) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = name(material);
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(material)?).collect();
    let all = all.map_err(|error| format!("{name}: {error}"))?;
    match all.is_empty() {
        true => Err(format!("{name}: there is no certificate in it")),
        false => Ok(all),
    }
}

fn bytes(material: &Material) -> Result<Vec<u8>, String> {
    match material {
        Material::Text(text) => Ok(text.as_bytes().to_vec()),
        Material::File(path) => read_file(path),
    }
}

fn name(material: &Material) -> String {
    match material {
        Material::Text(_) => "the certificate or key in the file".to_owned(),
        Material::File(path) => path.display().to_string(),
    }
}
