//! What excludes what.

use super::options::{HttpClientConfig, ProxyConfig};
use crate::yaml::{Line, Report};

/// The grant type of RFC 7523.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl HttpClientConfig {
    /// Reports options that exclude one another.
    pub(in crate::config) fn check(&mut self, report: &mut Report) {
        let line = self.line.0;
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
                self.unsupported = Some((why.to_owned(), Line(line)));
            }
            check_proxy(&oauth2.proxy, line, report);
        }
        if let Some(url) = &self.proxy.url
            && !url.expose().is_empty()
            && !url.expose().starts_with("http://")
        {
            let why = "only proxies at http:// are built";
            self.unsupported = Some((why.to_owned(), Line(line)));
        }
    }
}

fn check_proxy(proxy: &ProxyConfig, line: usize, report: &mut Report) {
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
