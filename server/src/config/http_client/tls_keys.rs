//! The keys of `tls_config`.

use super::super::schema::{Key, Shape, decode, read, unused};
use super::options::{TlsClientConfig, TlsVersion};
use super::secret_keys::{NO_SECRET_MANAGER, file, given, source};
use crate::yaml::{Entry, Report};

static TLS: &[Key<TlsClientConfig>] = &[
    read("ca", |entry, tls, report| {
        source(entry, &mut tls.ca, given, report);
    }),
    read("cert", |entry, tls, report| {
        source(entry, &mut tls.cert, given, report);
    }),
    read("key", |entry, tls, report| {
        source(entry, &mut tls.key, given, report);
    }),
    read("ca_file", |entry, tls, report| {
        source(entry, &mut tls.ca, file, report);
    }),
    read("cert_file", |entry, tls, report| {
        source(entry, &mut tls.cert, file, report);
    }),
    read("key_file", |entry, tls, report| {
        source(entry, &mut tls.key, file, report);
    }),
    unused("ca_ref", Shape::Text, NO_SECRET_MANAGER),
    unused("cert_ref", Shape::Text, NO_SECRET_MANAGER),
    unused("key_ref", Shape::Text, NO_SECRET_MANAGER),
    read("server_name", |entry, tls, report| {
        tls.server_name = report.string(entry);
    }),
    read("insecure_skip_verify", |entry, tls, report| {
        tls.insecure_skip_verify = report.flag(entry).unwrap_or(false);
    }),
    read("min_version", |entry, tls, report| {
        tls.min_version = report.parsed(entry, tls_version);
    }),
    read("max_version", |entry, tls, report| {
        tls.max_version = report.parsed(entry, tls_version);
    }),
];

/// Reads the section.
pub(super) fn tls(entry: &Entry, report: &mut Report) -> TlsClientConfig {
    let mut tls = TlsClientConfig::default();
    decode(&entry.value, "tls_config", &[&TLS], &mut tls, report);
    if tls.cert.is_some() != tls.key.is_some() {
        report.error(
            entry.line,
            "tls_config: a client certificate needs cert (or cert_file) and key (or key_file)",
        );
    }
    if let (Some(min), Some(max)) = (tls.min_version, tls.max_version)
        && max < min
    {
        report.error(entry.line, "tls_config: max_version is below min_version");
    }
    if tls.max_version.is_some_and(|max| max < TlsVersion::Tls12) {
        report.error(
            entry.line,
            "tls_config: max_version below TLS12: those versions are not spoken here",
        );
    }
    tls
}

fn tls_version(name: &str) -> Result<TlsVersion, String> {
    match name {
        "TLS10" => Ok(TlsVersion::Tls10),
        "TLS11" => Ok(TlsVersion::Tls11),
        "TLS12" => Ok(TlsVersion::Tls12),
        "TLS13" => Ok(TlsVersion::Tls13),
        _ => Err(format!("{name:?} is not TLS10, TLS11, TLS12 or TLS13")),
    }
}
