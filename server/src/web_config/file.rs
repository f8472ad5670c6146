//! The file as text to the file as data: every key that Prometheus knows, no other, each error with its line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::http::{HeaderName, HeaderValue};

use super::settings::{ClientAuth, FILE_BYTES_MAX, Material, TlsSection, WebConfig};
use crate::yaml::{self, Entry, Kind, Line, Node};
use crate::yaml::{Problem, Report, Table};

/// Users; each costs a hash of tens of milliseconds at its first request.
const USERS_MAX: usize = 10_000;

const TOP: Table = Table {
    read: &[
        "tls_server_config",
        "http_server_config",
        "basic_auth_users",
        "bearer_token_file",
    ],
    ignored: &[("rate_limit", "requests are not limited by rate")],
    refused: &[],
};

const TLS: Table = Table {
    read: &[
        "cert",
        "key",
        "client_ca",
        "cert_file",
        "key_file",
        "client_auth_type",
        "client_ca_file",
        "client_allowed_sans",
        "cipher_suites",
        "curve_preferences",
        "min_version",
        "max_version",
    ],
    ignored: &[(
        "prefer_server_cipher_suites",
        "the client's preference counts, as in Go since 1.18",
    )],
    refused: &[],
};

const HTTP: Table = Table {
    read: &["headers", "http2"],
    ignored: &[],
    refused: &[],
};

/// Headers that may be set, with the values that some are bound to: Prometheus' list.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// Reads the text; paths in it are relative to `base`. With errors there is no configuration; warnings come either way.
pub fn parse(text: &str, base: &Path) -> (Option<WebConfig>, Report) {
    let mut report = Report::default();
    if text.len() > FILE_BYTES_MAX {
        report.error(
            1,
            format!("{} bytes; at most {FILE_BYTES_MAX} are read", text.len()),
        );
        return (None, report);
    }
    let tree = match yaml::parse(text) {
        Ok(tree) => tree,
        Err(problem) => {
            report.errors.push(problem);
            return (None, report);
        }
    };
    let mut config = WebConfig::default();
    for entry in report.fields(&tree, "the web configuration", &TOP) {
        match entry.key.as_str() {
            "tls_server_config" => config.tls = tls(&entry.value, base, &mut report),
            "http_server_config" => config.headers = http(&entry.value, &mut report),
            "basic_auth_users" => config.users = users(entry, &mut report),
            _ => config.bearer_token_file = path(entry, base, &mut report),
        }
    }
    report.errors.sort_by_key(|problem| problem.line);
    (report.errors.is_empty().then_some(config), report)
}

fn path(entry: &Entry, base: &Path, report: &mut Report) -> Option<PathBuf> {
    let text = report.text(&entry.value, &entry.key)?;
    (!text.is_empty()).then(|| base.join(text))
}

fn tls(node: &Node, base: &Path, report: &mut Report) -> Option<TlsSection> {
    let mut section = TlsSection {
        certificate: Material::Text(String::new()),
        key: Material::Text(String::new()),
        client_auth: ClientAuth::None,
        client_ca: None,
        client_allowed_sans: Vec::new(),
        cipher_suites: Vec::new(),
        curves: Vec::new(),
        tls12: true,
        tls13: true,
        line: Line(node.line),
    };
    let (mut certificate, mut key) = (None, None);
    let (mut lowest, mut highest) = (2, 3);
    for entry in report.fields(node, "tls_server_config", &TLS) {
        match entry.key.as_str() {
            "cert" | "cert_file" => material(entry, base, &mut certificate, report),
            "key" | "key_file" => material(entry, base, &mut key, report),
            "client_ca" | "client_ca_file" => {
                material(entry, base, &mut section.client_ca, report);
            }
            "client_auth_type" => {
                section.client_auth = report.parsed(entry, client_auth).unwrap_or_default();
            }
            "client_allowed_sans" => section.client_allowed_sans = report.texts(entry),
            "cipher_suites" => {
                section.cipher_suites = report.texts(entry);
                super::tls::check_suites(entry.line, &section.cipher_suites, report);
            }
            "curve_preferences" => {
                section.curves = report.texts(entry);
                super::tls::check_curves(entry.line, &section.curves, report);
            }
            "min_version" => lowest = version(entry, lowest, report),
            _ => {
                highest = version(entry, highest, report);
                if highest < 2 {
                    let why = "max_version: TLS 1.2 is the oldest that is served";
                    report.error(entry.line, why);
                }
            }
        }
    }
    section.tls12 = lowest <= 2 && highest >= 2;
    section.tls13 = lowest <= 3 && highest >= 3;
    if !section.tls12 && !section.tls13 {
        report.error(node.line, "min_version is newer than max_version");
    }
    served(section, certificate, key, node, report)
}

/// A file, or the text itself: which of them the key's end says.
fn material(entry: &Entry, base: &Path, slot: &mut Option<Material>, report: &mut Report) {
    let text = report.text(&entry.value, &entry.key);
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return;
    };
    if slot.is_some() {
        let (file, inline) = (&entry.key, entry.key.trim_end_matches("_file"));
        report.error(
            entry.line,
            format!("{file}: give one of {inline} and {inline}_file"),
        );
    }
    *slot = Some(match entry.key.ends_with("_file") {
        true => Material::File(base.join(text)),
        false => Material::Text(text.to_owned()),
    });
}

/// The section with its certificate; `None` where it asks for nothing, which is no TLS.
fn served(
    mut section: TlsSection,
    certificate: Option<Material>,
    key: Option<Material>,
    node: &Node,
    report: &mut Report,
) -> Option<TlsSection> {
    let nothing = certificate.is_none() && key.is_none() && section.client_ca.is_none();
    if nothing && section.client_auth == ClientAuth::None {
        if !matches!(&node.kind, Kind::Null) {
            report.warn(
                node.line,
                "tls_server_config: no cert_file, so there is no TLS",
            );
        }
        return None;
    }
    check_clients(&section, node.line, report);
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            section.certificate = certificate;
            section.key = key;
        }
        (None, _) => report.error(
            node.line,
            "tls_server_config: missing one of cert or cert_file",
        ),
        (_, None) => report.error(
            node.line,
            "tls_server_config: missing one of key or key_file",
        ),
    }
    Some(section)
}

fn check_clients(section: &TlsSection, line: usize, report: &mut Report) {
    let verifies = matches!(
        section.client_auth,
        ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify
    );
    if section.client_ca.is_some() && section.client_auth == ClientAuth::None {
        report.error(
            line,
            "client_ca is given without client_auth_type: nobody would be asked for a certificate; set \
             client_auth_type: RequireAndVerifyClientCert",
        );
    }
    if verifies && section.client_ca.is_none() {
        report.warn(
            line,
            "client_auth_type without client_ca_file: as in Prometheus the CAs of the system decide, so whoever has a \
             certificate of one of them is let in",
        );
    }
    if !section.client_allowed_sans.is_empty() && !verifies {
        report.error(
            line,
            "client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert; a name in an unverified \
             certificate proves nothing",
        );
    }
}

fn client_auth(text: &str) -> Result<ClientAuth, String> {
    match text {
        "" | "NoClientCert" => Ok(ClientAuth::None),
        "RequestClientCert" => Ok(ClientAuth::Request),
        "RequireAnyClientCert" | "RequireClientCert" => Ok(ClientAuth::RequireAny),
        "VerifyClientCertIfGiven" => Ok(ClientAuth::VerifyIfGiven),
        "RequireAndVerifyClientCert" => Ok(ClientAuth::RequireAndVerify),
        _ => Err(format!(
            "{text:?} is not NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or \
             RequireAndVerifyClientCert"
        )),
    }
}

/// The second digit of TLS 1.x.
fn version(entry: &Entry, default: u8, report: &mut Report) -> u8 {
    let parsed = report.parsed(entry, |text| match text {
        "TLS10" => Ok(0),
        "TLS11" => Ok(1),
        "TLS12" => Ok(2),
        "TLS13" => Ok(3),
        _ => Err(format!("{text:?} is not TLS10, TLS11, TLS12 or TLS13")),
    });
    let version = parsed.unwrap_or(default);
    if version < 2 && entry.key == "min_version" {
        report.warn(
            entry.line,
            "min_version: TLS 1.2 is the oldest that is served",
        );
    }
    version
}

fn http(node: &Node, report: &mut Report) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for entry in report.fields(node, "http_server_config", &HTTP) {
        if entry.key == "http2" {
            report.flag(entry); // HTTP/1.1 is served either way; clients agree on it in the handshake
            continue;
        }
        for header in pairs(entry, report) {
            headers.extend(one_header(header, report));
        }
    }
    headers
}

fn one_header(entry: &Entry, report: &mut Report) -> Option<(HeaderName, HeaderValue)> {
    let text = report.text(&entry.value, &entry.key)?.to_owned();
    let known = HEADERS.iter().find(|(name, _)| entry.key == *name);
    let Some((name, allowed)) = known else {
        let names = HEADERS.map(|(name, _)| name).join(", ");
        report.error(
            entry.line,
            format!(
                "headers: {:?} cannot be configured; these can: {names}",
                entry.key
            ),
        );
        return None;
    };
    if !allowed.is_empty() && !allowed.contains(&text.as_str()) {
        let allowed = allowed.join(", ");
        report.error(
            entry.line,
            format!("headers: {name}: {text:?} is not one of: {allowed}"),
        );
        return None;
    }
    match HeaderValue::from_str(&text) {
        Ok(value) => Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value)),
        Err(_) => {
            report.error(
                entry.line,
                format!("headers: {name}: {text:?} cannot be sent in a header"),
            );
            None
        }
    }
}

fn users(entry: &Entry, report: &mut Report) -> BTreeMap<String, String> {
    let mut users = BTreeMap::new();
    for user in pairs(entry, report) {
        let Some(hash) = report
            .text(&user.value, "a password's hash")
            .map(str::to_owned)
        else {
            report.error(
                user.line,
                format!("basic_auth_users: {:?} has no hash", user.key),
            );
            continue;
        };
        if hash.parse::<bcrypt::HashParts>().is_err() {
            report.error(
                user.line,
                format!(
                    "basic_auth_users: what {:?} has is no bcrypt hash; make one with: htpasswd -nBC 10 \"\" | tr -d ':\\n'",
                    user.key
                ),
            );
        }
        if user.key.contains(':') {
            let why = "no client can send a user's name with a colon";
            report.warn(
                user.line,
                format!("basic_auth_users: {:?}: {why}", user.key),
            );
        }
        users.insert(user.key.clone(), hash);
    }
    if users.len() > USERS_MAX {
        report.error(
            entry.line,
            format!("basic_auth_users: more than {USERS_MAX}"),
        );
    }
    users
}

fn pairs<'n>(entry: &'n Entry, report: &mut Report) -> &'n [Entry] {
    match &entry.value.kind {
        Kind::Map(entries) => entries,
        Kind::Null => &[],
        _ => {
            let found = entry.value.describe();
            report.errors.push(Problem::new(
                entry.line,
                format!("{} must be a mapping, not {found}", entry.key),
            ));
            &[]
        }
    }
}
