//! The options.

use std::path::{Path, PathBuf};

use super::super::secret::{Secret, SecretSource};
use crate::yaml::Line;

/// Options of an HTTP client.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpClientConfig {
    pub(super) basic_auth: Option<BasicAuth>,
    pub(super) authorization: Option<Authorization>,
    pub(super) oauth2: Option<Box<OAuth2>>,
    pub(super) bearer_token: Option<Secret>,
    pub(super) bearer_token_file: Option<PathBuf>,
    /// How TLS servers are verified and what is shown to them.
    pub tls: TlsClientConfig,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Through which proxy.
    pub proxy: ProxyConfig,
    /// Added to every request.
    pub headers: Vec<Header>,
    /// What is asked for and not built, and where: requests cannot be made as configured.
    pub unsupported: Option<(String, Line)>,
    /// Where a problem of several options together is reported.
    pub(super) line: Line,
}

/// A name and a password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasicAuth {
    /// The name.
    pub username: Option<SecretSource>,
    /// The password.
    pub password: Option<SecretSource>,
}

/// A scheme and credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorization {
    /// `Bearer` where it is empty.
    pub scheme: String,
    /// What follows it.
    pub credentials: Option<SecretSource>,
}

/// OAuth 2.0 client credentials (RFC 6749, 4.4).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OAuth2 {
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<SecretSource>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Where tokens are had.
    pub token_url: String,
    /// More parameters of the request.
    pub endpoint_params: Vec<(String, String)>,
    /// For the token endpoint.
    pub tls: TlsClientConfig,
    /// For the token endpoint.
    pub proxy: ProxyConfig,
    pub(super) grant_type: String,
}

/// TLS towards a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsClientConfig {
    /// Whom to trust; the system's roots where it is left out.
    pub ca: Option<SecretSource>,
    /// Our certificate.
    pub cert: Option<SecretSource>,
    /// Its key.
    pub key: Option<SecretSource>,
    /// The name that the server's certificate must have; the host where it is empty.
    pub server_name: String,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
    /// The oldest version that is spoken.
    pub min_version: Option<TlsVersion>,
    /// The newest.
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// Not spoken here; as a lower bound it means 1.2.
    Tls10,
    /// Not spoken here; as a lower bound it means 1.2.
    Tls11,
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

/// A proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// `http://[user:password@]host:port`.
    pub url: Option<Secret>,
    /// Hosts that are reached without it, comma-separated.
    pub no_proxy: String,
    /// Whether `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` decide.
    pub from_environment: bool,
    /// Headers of CONNECT.
    pub connect_headers: Vec<(String, Secret)>,
}

/// A header of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its values, in order.
    pub values: Vec<SecretSource>,
}

impl Default for HttpClientConfig {
    fn default() -> HttpClientConfig {
        HttpClientConfig {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            bearer_token: None,
            bearer_token_file: None,
            tls: TlsClientConfig::default(),
            follow_redirects: true,
            proxy: ProxyConfig::default(),
            headers: Vec::new(),
            unsupported: None,
            line: Line::default(),
        }
    }
}

impl HttpClientConfig {
    /// Whether any option is given.
    pub(in crate::config) fn is_given(&self) -> bool {
        *self != HttpClientConfig::default()
    }

    /// Makes relative paths ones below `base`.
    pub(in crate::config) fn resolve(&mut self, base: &Path) {
        let basic = self.basic_auth.iter_mut();
        let mut sources: Vec<&mut Option<SecretSource>> = basic
            .flat_map(|basic| [&mut basic.username, &mut basic.password])
            .collect();
        sources.extend(
            self.authorization
                .iter_mut()
                .map(|auth| &mut auth.credentials),
        );
        let TlsClientConfig { ca, cert, key, .. } = &mut self.tls;
        sources.extend([ca, cert, key]);
        if let Some(oauth2) = &mut self.oauth2 {
            let TlsClientConfig { ca, cert, key, .. } = &mut oauth2.tls;
            sources.extend([&mut oauth2.client_secret, ca, cert, key]);
        }
        let headers = self
            .headers
            .iter_mut()
            .flat_map(|header| &mut header.values);
        for source in sources.into_iter().flatten().chain(headers) {
            source.resolve(base);
        }
        if let Some(path) = &mut self.bearer_token_file {
            *path = base.join(&*path);
        }
    }
}
