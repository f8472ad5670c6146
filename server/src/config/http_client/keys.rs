//! The keys of an HTTP client and of its credentials: how each is read, and what of it is not built.

use super::super::schema::{Inline, Inlined, Key, Keys, Shape, decode, read, unused};
use super::header_keys::{connect_headers, headers};
use super::options::{Authorization, BasicAuth, HttpClientConfig, OAuth2, ProxyConfig};
use super::secret_keys::{NO_SECRET_MANAGER, file, given, path, secret, source};
use super::tls_keys::tls;
use crate::yaml::{Entry, Kind, Line, Report};

/// The keys, for `inline` among others.
pub(crate) static HTTP: &[Key<HttpClientConfig>] = &[
    read("basic_auth", |entry, http, report| {
        http.line = Line(entry.line);
        let mut basic = BasicAuth::default();
        decode(&entry.value, "basic_auth", &[&BASIC], &mut basic, report);
        http.basic_auth = present(entry).then_some(basic);
    }),
    read("authorization", |entry, http, report| {
        http.line = Line(entry.line);
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
        http.line = Line(entry.line);
        http.oauth2 = present(entry).then(|| Box::new(oauth2(entry, report)));
    }),
    read("bearer_token", |entry, http, report| {
        http.line = Line(entry.line);
        http.bearer_token = secret(entry, report);
    }),
    read("bearer_token_file", |entry, http, report| {
        http.line = Line(entry.line);
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
        http.line = Line(entry.line);
        http.proxy.url = secret(entry, report);
    }),
    read("no_proxy", |entry, http, report| {
        http.line = Line(entry.line);
        http.proxy.no_proxy = report.string(entry);
    }),
    read("proxy_from_environment", |entry, http, report| {
        http.line = Line(entry.line);
        http.proxy.from_environment = report.flag(entry).unwrap_or(false);
    }),
    read("proxy_connect_header", |entry, http, report| {
        http.line = Line(entry.line);
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

fn present(entry: &Entry) -> bool {
    !matches!(entry.value.kind, Kind::Null)
}

fn pairs(entry: &Entry, report: &mut Report) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for pair in report.entries(&entry.value, &entry.key) {
        let value = report.text(&pair.value, &pair.key).unwrap_or("");
        pairs.push((pair.key.clone(), value.to_owned()));
    }
    pairs
}
