//! What the file sets, once it has passed every check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::http::{HeaderName, HeaderValue};

use crate::files;
use crate::yaml::Line;

/// Larger than any seen.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A certificate, key or CA bundle: where it is, or what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// A PEM file.
    File(PathBuf),
    /// PEM text in the file itself.
    Text(String),
}

/// What is asked of clients; Go's names for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate.
    #[default]
    None,
    /// A certificate if there is one; it is not looked at.
    Request,
    /// Some certificate; it is not looked at.
    RequireAny,
    /// A certificate if there is one, and then one of the CA's.
    VerifyIfGiven,
    /// One of the CA's.
    RequireAndVerify,
}

/// `tls_server_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSection {
    /// The serving certificate.
    pub certificate: Material,
    /// Its key.
    pub key: Material,
    /// Who may connect.
    pub client_auth: ClientAuth,
    /// CAs of clients.
    pub client_ca: Option<Material>,
    /// One of these names must be among those of the client's certificate; empty is any.
    pub client_allowed_sans: Vec<String>,
    /// Suites to offer, in Go's names; empty is all.
    pub cipher_suites: Vec<String>,
    /// Curves to offer, in Go's names; empty is all.
    pub curves: Vec<String>,
    /// Whether TLS 1.2 is offered.
    pub tls12: bool,
    /// Whether TLS 1.3 is offered.
    pub tls13: bool,
    /// Where it stands.
    pub line: Line,
}

/// A file that passed every check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebConfig {
    /// TLS; plain HTTP without.
    pub tls: Option<TlsSection>,
    /// Put on every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// User to bcrypt hash.
    pub users: BTreeMap<String, String>,
    /// A token that lets in as well.
    pub bearer_token_file: Option<PathBuf>,
}

/// Reads a file that is named in the file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    files::read_bytes(path, FILE_BYTES_MAX as u64)
        .map_err(|error| format!("{}: {error}", path.display()))
}
