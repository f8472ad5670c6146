//! The keys of an HTTP client: how each is read, and what of it is not built.

use std::path::PathBuf;

use super::super::schema::{Inline, Inlined, Key, Keys, Shape, decode, read, unused};
use super::super::secret::{Secret, SecretSource};
use super::{
    Authorization, BasicAuth, Header, HttpClientConfig, OAuth2, ProxyConfig, TlsClientConfig,
    TlsVersion,
};
use crate::yaml::{Entry, Kind, Report};

/// The grant type of RFC 7523.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const NO_SECRET_MANAGER: &str =
    "there is no secret manager, as in Prometheus itself; give the value or a file";

/// The keys, for `inline` among others.
pub(crate) static HTTP: &[Key<HttpClientConfig>] = &[
    read("basic_auth", |entry, http, report| {
        http.line = entry.line;
        let mut basic = BasicAuth::default();
        decode(&entry.value, "basic_auth", &[&BASIC], &mut basic, report);
        http.basic_auth = present(entry).then_some(basic);
    }),
    read("authorization", |entry, http, report| {
        http.line = entry.line;
        let mut auth = Authorization::default();
        decode(
            &entry.value,
            "authorization",
            &[&AUTHORIZATION],
            &mut auth,
            report,
        );
        if auth.scheme.eq_ignore_ascii_case("basic") {
            report.error(
                entry.line,
                "authorization cannot have the type Basic; use basic_auth",
            );
        }
        http.authorization = present(entry).then_some(auth);
    }),
    read("oauth2", |entry, http, report| {
        http.line = entry.line;
        http.oauth2 = present(entry).then(|| Box::new(oauth2(entry, report)));
    }),
    read("bearer_token", |entry, http, report| {
        http.line = entry.line;
        http.bearer_token = secret(entry, report);
    }),
    read("bearer_token_file", |entry, http, report| {
        http.line = entry.line;
        http.bearer_token_file = path(entry, report);
    }),
    read("tls_config", |entry, http, report| {
        http.tls = tls(entry, report);
    }),
    read("follow_redirects", |entry, http, report| {
        http.follow_redirects = report.flag(entry).unwrap_or(true);
    }),
    // HTTP/2 gains nothing for one request at a time; a server that speaks it speaks HTTP/1.1 too.
    read("enable_http2", |entry, _, report| {
        report.flag(entry);
    }),
    read("http_headers", |entry, http, report| {
        http.headers = headers(entry, report);
    }),
    read("proxy_url", |entry, http, report| {
        http.line = entry.line;
        http.proxy.url = secret(entry, report);
    }),
    read("no_proxy", |entry, http, report| {
        http.line = entry.line;
        http.proxy.no_proxy = report.string(entry);
    }),
    read("proxy_from_environment", |entry, http, report| {
        http.line = entry.line;
        http.proxy.from_environment = report.flag(entry).unwrap_or(false);
    }),
    read("proxy_connect_header", |entry, http, report| {
        http.line = entry.line;
        http.proxy.connect_headers = connect_headers(entry, report);
    }),
];

/// The same keys where nobody reads them: what they say is checked and dropped.
pub(in crate::config) struct UnusedHttp;

impl Inlined for UnusedHttp {
    fn check<'e>(
        &self,
        mut entries: Vec<&'e Entry>,
        what: &str,
        report: &mut Report,
    ) -> Vec<&'e Entry> {
        let mut scratch = HttpClientConfig::default();
        entries.retain(|entry| !HTTP.take(entry, what, &mut scratch, report));
        scratch.check(report);
        entries
    }

    fn names(&self) -> Vec<&'static str> {
        HTTP.names()
    }
}

static BASIC: &[Key<BasicAuth>] = &[
    read("username", |entry, basic, report| {
        source(entry, &mut basic.username, given, report);
    }),
    read("username_file", |entry, basic, report| {
        source(entry, &mut basic.username, file, report);
    }),
    unused("username_ref", Shape::Text, NO_SECRET_MANAGER),
    read("password", |entry, basic, report| {
        source(entry, &mut basic.password, given, report);
    }),
    read("password_file", |entry, basic, report| {
        source(entry, &mut basic.password, file, report);
    }),
    unused("password_ref", Shape::Text, NO_SECRET_MANAGER),
];

static AUTHORIZATION: &[Key<Authorization>] = &[
    read("type", |entry, auth, report| {
        auth.scheme = report.string(entry).trim().to_owned();
    }),
    read("credentials", |entry, auth, report| {
        source(entry, &mut auth.credentials, given, report);
    }),
    read("credentials_file", |entry, auth, report| {
        source(entry, &mut auth.credentials, file, report);
    }),
    unused("credentials_ref", Shape::Text, NO_SECRET_MANAGER),
];

const NO_JWT: &str = "the grant type jwt-bearer is not built";

static OAUTH2: &[Key<OAuth2>] = &[
    read("client_id", |entry, oauth2, report| {
        oauth2.client_id = report.string(entry);
    }),
    read("client_secret", |entry, oauth2, report| {
        source(entry, &mut oauth2.client_secret, given, report);
    }),
    read("client_secret_file", |entry, oauth2, report| {
        source(entry, &mut oauth2.client_secret, file, report);
    }),
    unused("client_secret_ref", Shape::Text, NO_SECRET_MANAGER),
    unused("client_certificate_key_id", Shape::Text, NO_JWT),
    unused("client_certificate_key", Shape::Text, NO_JWT),
    unused("client_certificate_key_file", Shape::Text, NO_JWT),
    unused("client_certificate_key_ref", Shape::Text, NO_JWT),
    read("grant_type", |entry, oauth2, report| {
        oauth2.grant_type = report.string(entry);
    }),
    unused(
        "signature_algorithm",
        Shape::OneOf(&["RS256", "RS384", "RS512"]),
        NO_JWT,
    ),
    unused("iss", Shape::Text, NO_JWT),
    unused("audience", Shape::Text, NO_JWT),
    unused("claims", Shape::Any, NO_JWT),
    read("scopes", |entry, oauth2, report| {
        oauth2.scopes = report.texts(entry);
    }),
    read("token_url", |entry, oauth2, report| {
        oauth2.token_url = report.string(entry);
    }),
    read("endpoint_params", |entry, oauth2, report| {
        oauth2.endpoint_params = pairs(entry, report);
    }),
    read("tls_config", |entry, oauth2, report| {
        oauth2.tls = tls(entry, report);
    }),
];

static PROXY: &[Key<ProxyConfig>] = &[
    read("proxy_url", |entry, proxy, report| {
        proxy.url = secret(entry, report);
    }),
    read("no_proxy", |entry, proxy, report| {
        proxy.no_proxy = report.string(entry);
    }),
    read("proxy_from_environment", |entry, proxy, report| {
        proxy.from_environment = report.flag(entry).unwrap_or(false);
    }),
    read("proxy_connect_header", |entry, proxy, report| {
        proxy.connect_headers = connect_headers(entry, report);
    }),
];

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

static HEADER: &[Key<Header>] = &[
    read("values", |entry, header, report| {
        let texts = report.texts(entry).into_iter();
        header.values.extend(texts.map(given));
    }),
    read("secrets", |entry, header, report| {
        let texts = report.texts(entry).into_iter();
        header.values.extend(texts.map(given));
    }),
    read("files", |entry, header, report| {
        let texts = report.texts(entry).into_iter();
        header.values.extend(texts.map(file));
    }),
];

/// Headers that belong to the connection or are set by the client itself.
pub(in crate::config) const RESERVED: [&str; 18] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

fn oauth2(entry: &Entry, report: &mut Report) -> OAuth2 {
    let mut oauth2 = OAuth2::default();
    let proxy = Inline {
        keys: PROXY,
        part: |oauth2: &mut OAuth2| &mut oauth2.proxy,
    };
    decode(
        &entry.value,
        "oauth2",
        &[&OAUTH2, &proxy],
        &mut oauth2,
        report,
    );
    for (name, value) in [
        ("client_id", &oauth2.client_id),
        ("token_url", &oauth2.token_url),
    ] {
        if value.is_empty() {
            report.error(entry.line, format!("oauth2 needs a {name}"));
        }
    }
    oauth2
}

fn tls(entry: &Entry, report: &mut Report) -> TlsClientConfig {
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

fn headers(entry: &Entry, report: &mut Report) -> Vec<Header> {
    let mut headers = Vec::new();
    for named in report.entries(&entry.value, "http_headers") {
        let mut header = Header {
            name: named.key.clone(),
            values: Vec::new(),
        };
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if RESERVED
            .iter()
            .any(|name| named.key.eq_ignore_ascii_case(name))
        {
            let name = &named.key;
            report.error(
                named.line,
                format!("http_headers: {name} is set by the client and cannot be given"),
            );
        } else if named.key.is_empty() || !named.key.bytes().all(legal) {
            let name = &named.key;
            report.error(
                named.line,
                format!("http_headers: {name:?} is no name of a header"),
            );
        }
        decode(
            &named.value,
            "a header of http_headers",
            &[&HEADER],
            &mut header,
            report,
        );
        headers.push(header);
    }
    headers
}

fn connect_headers(entry: &Entry, report: &mut Report) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for named in report.entries(&entry.value, &entry.key) {
        for value in report.list(&named.value, &named.key) {
            let value = report.text(value, &named.key).unwrap_or("");
            headers.push((named.key.clone(), Secret::new(value)));
        }
    }
    headers
}

pub(super) fn check_proxy(proxy: &ProxyConfig, line: usize, report: &mut Report) {
    let url = proxy
        .url
        .as_ref()
        .is_some_and(|url| !url.expose().is_empty());
    if !proxy.connect_headers.is_empty() && !url && !proxy.from_environment {
        report.error(
            line,
            "proxy_connect_header needs proxy_url or proxy_from_environment",
        );
    }
    if proxy.from_environment && (url || !proxy.no_proxy.is_empty()) {
        report.error(
            line,
            "proxy_from_environment excludes proxy_url and no_proxy: keep one",
        );
    }
    if !proxy.no_proxy.is_empty() && !url && !proxy.from_environment {
        report.error(line, "no_proxy needs a proxy_url");
    }
}

fn present(entry: &Entry) -> bool {
    !matches!(entry.value.kind, Kind::Null)
}

fn secret(entry: &Entry, report: &mut Report) -> Option<Secret> {
    report.text(&entry.value, &entry.key).map(Secret::new)
}

fn path(entry: &Entry, report: &mut Report) -> Option<PathBuf> {
    let text = report.string(entry);
    if text.is_empty() {
        return None;
    }
    report.names_file(entry, &text);
    Some(PathBuf::from(text))
}

fn given(text: String) -> SecretSource {
    SecretSource::Given(Secret::new(text))
}

fn file(text: String) -> SecretSource {
    SecretSource::File(PathBuf::from(text))
}

/// One of the keys that give the same secret; a second one is an error.
fn source(
    entry: &Entry,
    into: &mut Option<SecretSource>,
    make: fn(String) -> SecretSource,
    report: &mut Report,
) {
    let Some(text) = report.text(&entry.value, &entry.key) else {
        return;
    };
    if text.is_empty() {
        return;
    }
    if into.is_some() {
        let stem = entry.key.trim_end_matches("_file");
        report.error(
            entry.line,
            format!("{stem} and {stem}_file exclude one another: keep one"),
        );
    }
    let source = make(text.to_owned());
    if let SecretSource::File(_) = &source {
        report.names_file(entry, text);
    }
    *into = Some(source);
}

fn pairs(entry: &Entry, report: &mut Report) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for pair in report.entries(&entry.value, &entry.key) {
        let value = report.text(&pair.value, &pair.key).unwrap_or("");
        pairs.push((pair.key.clone(), value.to_owned()));
    }
    pairs
}
