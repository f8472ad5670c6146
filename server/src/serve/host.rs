//! The `Host` header of requests, by which whoever forwards them may choose where they go.

use std::net::Ipv6Addr;

use axum::http::{HeaderMap, header};

/// Refuses a request with several hosts, which are two requests to whoever forwards them (RFC 9112, section 3.2), or with one
/// that is none.
pub(super) fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err("more than one Host header");
    }
    match host {
        Some(host) if !host.to_str().is_ok_and(is_host) => Err("malformed Host header"),
        _ => Ok(()),
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port` (RFC 9110, section 7.2). An empty one is what a client sends that knows none.
fn is_host(text: &str) -> bool {
    let is_port = |rest: &str| match rest.strip_prefix(':') {
        None => rest.is_empty(),
        Some("") => true,
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else {
            return false;
        };
        let address = address
            .split_once('%')
            .map_or(address, |(before, _)| before);
        return address.parse::<Ipv6Addr>().is_ok() && is_port(rest);
    }
    let end = text.find(':').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&b);
    name.bytes().all(legal) && (!name.is_empty() || rest.is_empty()) && is_port(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port() {
        for (host, is_one) in [
            ("", true),
            ("x", true),
            ("stillwell.monitoring.svc:9090", true),
            ("a_b.c:", true),
            ("10.0.0.1:80", true),
            ("[::1]", true),
            ("[::1]:18080", true),
            ("[fe80::1%25eth0]:1", true),
            ("[::1", false),
            ("::1", false),
            ("[]", false),
            ("[::1]:99999", false),
            ("[::1]x", false),
            ("a:b:c", false),
            ("a:+1", false),
            (":80", false),
            ("a/b", false),
            ("a b", false),
        ] {
            assert_eq!(is_host(host), is_one, "{host:?}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(check(&headers), Ok(()));
        headers.append(header::HOST, "a".parse().expect("a value"));
        assert_eq!(check(&headers), Ok(()));
        headers.append(header::HOST, "a".parse().expect("a value"));
        assert_eq!(check(&headers), Err("more than one Host header"));
    }
}
