//! Options of an HTTP client: of a scrape job, of `http_sd_configs`, of an OAuth2 token endpoint.
//!
//! Names, defaults and what excludes what are those of Prometheus (common/config/http_config.go).

use std::path::{Path, PathBuf};

mod keys;

use super::secret::{Secret, SecretSource};
use crate::yaml::Report;
use keys::{JWT_BEARER, check_proxy};

pub(crate) use keys::HTTP;
pub(super) use keys::{RESERVED, UnusedHttp};

/// Options of an HTTP client.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpClientConfig {
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorization>,
    oauth2: Option<Box<OAuth2>>,
    bearer_token: Option<Secret>,
    bearer_token_file: Option<PathBuf>,
    /// How TLS servers are verified and what is shown to them.
    pub tls: TlsClientConfig,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Through which proxy.
    pub proxy: ProxyConfig,
    /// Added to every request.
    pub headers: Vec<Header>,
    /// What is asked for and not built, and where: requests cannot be made as configured.
    pub unsupported: Option<(String, usize)>,
    /// Where a problem of several options together is reported.
    line: usize,
}

/// Who the client is.
#[derive(Clone, Debug, PartialEq)]
pub enum Credentials {
    /// Nobody.
    None,
    /// A name and a password.
    Basic(BasicAuth),
    /// `Authorization: SCHEME CREDENTIALS`.
    Authorization(Authorization),
    /// A token that is fetched with client credentials.
    OAuth2(Box<OAuth2>),
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
    grant_type: String,
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
            line: 0,
        }
    }
}

impl HttpClientConfig {
    /// Who the client is.
    pub fn credentials(&self) -> Credentials {
        if let Some(basic) = &self.basic_auth {
            return Credentials::Basic(basic.clone());
        }
        if let Some(oauth2) = &self.oauth2 {
            return Credentials::OAuth2(oauth2.clone());
        }
        if let Some(authorization) = &self.authorization {
            return Credentials::Authorization(authorization.clone());
        }
        let bearer = match (&self.bearer_token, &self.bearer_token_file) {
            (Some(token), _) => SecretSource::Given(token.clone()),
            (None, Some(path)) => SecretSource::File(path.clone()),
            (None, None) => return Credentials::None,
        };
        Credentials::Authorization(Authorization {
            scheme: String::new(),
            credentials: Some(bearer),
        })
    }

    /// Takes the user and password that a URL names, where no credentials are given otherwise, as Go's client does.
    pub(super) fn take_user_of(&mut self, url: &str) {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        let Some((user, _)) = authority.rsplit_once('@') else {
            return;
        };
        if !matches!(self.credentials(), Credentials::None) {
            return;
        }
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let given = |text: &str| SecretSource::Given(Secret::new(percent_decoded(text)));
        self.basic_auth = Some(BasicAuth {
            username: Some(given(name)),
            password: Some(given(password)),
        });
    }

    /// Whether any option is given.
    pub(super) fn is_given(&self) -> bool {
        let default = HttpClientConfig {
            line: self.line,
            ..HttpClientConfig::default()
        };
        *self != default
    }

    /// Reports options that exclude one another.
    pub(super) fn check(&mut self, report: &mut Report) {
        let line = self.line;
        let bearers = [
            self.bearer_token.is_some(),
            self.bearer_token_file.is_some(),
        ];
        let bearer = bearers.contains(&true);
        let exclusive = [
            ("basic_auth", self.basic_auth.is_some()),
            ("authorization", self.authorization.is_some()),
            ("oauth2", self.oauth2.is_some()),
            ("bearer_token or bearer_token_file", bearer),
        ];
        let given: Vec<&str> = exclusive
            .iter()
            .filter_map(|(name, given)| given.then_some(*name))
            .collect();
        if given.len() > 1 {
            let given = given.join(" and ");
            report.error(line, format!("{given} exclude one another: keep one"));
        }
        if bearers == [true, true] {
            report.error(
                line,
                "bearer_token and bearer_token_file exclude one another: keep one",
            );
        }
        check_proxy(&self.proxy, line, report);
        if let Some(oauth2) = &self.oauth2 {
            if oauth2.grant_type == JWT_BEARER {
                let why = "oauth2 with the grant type jwt-bearer is not built";
                self.unsupported = Some((why.to_owned(), line));
            }
            check_proxy(&oauth2.proxy, line, report);
        }
        if let Some(url) = &self.proxy.url
            && !url.expose().is_empty()
            && !url.expose().starts_with("http://")
        {
            let why = "only proxies at http:// are built";
            self.unsupported = Some((why.to_owned(), line));
        }
    }

    /// Makes relative paths ones below `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
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

/// `%40` as `@`; what is no such escape stays.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let decoded = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match decoded.filter(|_| byte == b'%') {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
