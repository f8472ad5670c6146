//! Which proxy a URL is reached through, by Go's rules (golang.org/x/net/http/httpproxy).

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::HttpError;
use super::url::{Scheme, Url};
use crate::config::{ProxyConfig, Secret};

/// A proxy of one URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    /// Where it is.
    pub(super) url: Url,
    /// The value of `Proxy-Authorization`, where its URL holds a name and password.
    pub(super) authorization: Option<Secret>,
}

/// Which URLs go through which proxy.
pub(super) struct ProxyRules {
    config: ProxyConfig,
    environment: fn(&str) -> Option<String>,
}

impl ProxyRules {
    pub(super) fn new(config: ProxyConfig) -> ProxyRules {
        ProxyRules {
            config,
            environment: |name| std::env::var(name).ok().filter(|value| !value.is_empty()),
        }
    }

    /// Headers of CONNECT.
    pub(super) fn connect_headers(&self) -> &[(String, Secret)] {
        &self.config.connect_headers
    }

    /// The proxy for `url`; `None` where it is reached directly.
    pub(super) fn of(&self, url: &Url) -> Result<Option<Proxy>, HttpError> {
        let (proxy, except) = if self.config.from_environment {
            let either = |upper: &str| {
                (self.environment)(upper)
                    .or_else(|| (self.environment)(&upper.to_ascii_lowercase()))
            };
            let name = match url.scheme {
                Scheme::Http => "HTTP_PROXY",
                Scheme::Https => "HTTPS_PROXY",
            };
            let Some(proxy) = either(name) else {
                return Ok(None);
            };
            (Secret::new(proxy), either("NO_PROXY").unwrap_or_default())
        } else {
            let given = self.config.url.clone();
            let Some(proxy) = given.filter(|url| !url.expose().is_empty()) else {
                return Ok(None);
            };
            (proxy, self.config.no_proxy.clone())
        };
        let (host, port) = url.host_port().map_err(HttpError::Redirect)?;
        let local = host == "localhost" || ip(host).is_some_and(|ip| ip.is_loopback());
        let by_rule = !except.is_empty() || self.config.from_environment;
        if (by_rule && local) || excepted(&except, host, port) {
            return Ok(None);
        }
        parse(proxy.expose()).map(Some)
    }
}

fn parse(text: &str) -> Result<Proxy, HttpError> {
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url = Url::parse(&whole).map_err(|_| {
        HttpError::Proxy("proxy_url is not like http://host:port".to_owned()) // it may hold a password
    })?;
    if url.scheme != Scheme::Http {
        return Err(HttpError::Proxy(
            "only proxies at http:// are built".to_owned(),
        ));
    }
    let rest = whole.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let authorization = user.map(|user| {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let decode = |text| stillwell_adapters::form::decode(text, false);
        let pair = format!("{}:{}", decode(name), decode(password));
        Secret::new(format!("Basic {}", STANDARD.encode(pair)))
    });
    Ok(Proxy { url, authorization })
}

/// Whether a comma-separated list of hosts, domains, addresses and networks names this host.
fn excepted(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    list.split(',').map(str::trim).any(|rule| {
        let rule = rule.to_ascii_lowercase();
        if rule == "*" {
            return true;
        }
        if let Some((network, bits)) = rule.split_once('/') {
            return in_network(&host, network, bits);
        }
        let (name, wanted_port) = match rule.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
            _ => (rule.as_str(), None),
        };
        if wanted_port.is_some_and(|wanted| wanted.parse() != Ok(port)) || name.is_empty() {
            return false;
        }
        let name = name.trim_matches(['[', ']']);
        if let Some(address) = ip(name) {
            return ip(&host) == Some(address);
        }
        let name = name.strip_prefix('*').unwrap_or(name);
        match name.strip_prefix('.') {
            Some(domain) => host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.')),
            None => {
                let inside = host.strip_suffix(name);
                inside.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    })
}

fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn in_network(host: &str, network: &str, bits: &str) -> bool {
    let bits: Option<u32> = bits.parse().ok();
    match (ip(host), ip(network), bits) {
        (Some(IpAddr::V4(host)), Some(IpAddr::V4(network)), Some(bits)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(host) & mask == u32::from(network) & mask
        }
        (Some(IpAddr::V6(host)), Some(IpAddr::V6(network)), Some(bits)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(host) & mask == u128::from(network) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_those_of_go() {
        for (list, host, port, out) in [
            ("", "a", 80, false),
            ("*", "a", 80, true),
            ("example.com", "example.com", 80, true),
            ("example.com", "x.example.com", 80, true),
            ("example.com", "notexample.com", 80, false),
            (".example.com", "example.com", 80, false),
            (".example.com", "x.example.com", 80, true),
            ("*.example.com", "x.example.com", 80, true),
            ("example.com:8080", "example.com", 80, false),
            ("example.com:8080", "example.com", 8080, true),
            ("a, 10.0.0.0/8", "10.2.3.4", 80, true),
            ("10.0.0.0/8", "11.2.3.4", 80, false),
            ("10.0.0.1", "10.0.0.1", 80, true),
            ("[::1]:80", "::1", 80, true),
            ("fd00::/8", "fd12::1", 80, true),
            ("0.0.0.0/0", "1.2.3.4", 80, true),
        ] {
            assert_eq!(excepted(list, host, port), out, "{list} {host}:{port}");
        }
    }

    #[test]
    fn the_environment_decides_where_it_is_asked() {
        let environment = |name: &str| {
            let value = match name {
                "HTTP_PROXY" => "http://u:p%40@proxy:3128",
                "https_proxy" => "secure:8080",
                "no_proxy" => ".svc",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let rules = ProxyRules {
            config: ProxyConfig {
                from_environment: true,
                ..ProxyConfig::default()
            },
            environment,
        };
        let of = |url: &str| {
            let url = Url::parse(url).expect("valid");
            rules.of(&url).expect("valid")
        };
        let plain = of("http://h:1/").expect("a proxy");
        assert_eq!(plain.url.authority, "proxy:3128");
        let authorization = plain.authorization.expect("a name and password");
        assert_eq!(authorization.expose(), "Basic dTpwQA==");
        assert_eq!(
            of("https://h:1/").map(|proxy| proxy.url.authority),
            Some("secure:8080".to_owned())
        );
        assert_eq!(of("http://a.svc:1/"), None);
        assert_eq!(of("http://127.0.0.1:1/"), None);
    }
}
