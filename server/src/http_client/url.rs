//! The little of URLs that a client of HTTP needs: `http[s]://host:port/path?query`, and where a redirect leads.
//!
//! The path of a target is escaped exactly as Go's `net/url` does it, for that is what Prometheus sends and shows.

use std::fmt;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As written in front of a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port of a URL that names none.
    const fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }

    fn from_name(name: &str) -> Result<Scheme, UrlError> {
        match name.to_ascii_lowercase().as_str() {
            "http" => Ok(Scheme::Http),
            "https" => Ok(Scheme::Https),
            _ => Err(UrlError::Scheme(name.to_owned())),
        }
    }
}

/// An absolute URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    /// How it is reached.
    pub scheme: Scheme,
    /// `host`, `host:port` or `[v6]:port`, as written.
    pub authority: String,
    /// Path and query, beginning with `/`.
    pub path_and_query: String,
}

impl Url {
    /// From the labels of a target: the path is no part of a URL yet and is escaped, the query is one already.
    pub fn from_parts(
        scheme: &str,
        address: &str,
        path: &str,
        query: &str,
    ) -> Result<Url, UrlError> {
        let mut path_and_query = String::with_capacity(path.len() + query.len() + 2);
        if !path.starts_with('/') {
            path_and_query.push('/');
        }
        escape(path, IN_PATH, &mut path_and_query);
        if !query.is_empty() {
            path_and_query.push('?');
            path_and_query.push_str(query);
        }
        Url::new(Scheme::from_name(scheme)?, address, path_and_query)
    }

    /// That of a target whose labels make none: it is shown, and nobody connects to it.
    pub fn that_is_never_asked(address: &str, path: &str) -> Url {
        Url {
            scheme: Scheme::Http,
            authority: address.to_owned(),
            path_and_query: path.to_owned(),
        }
    }

    /// From a text like `http://host:port/path`. A user and password in it are passed over.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| UrlError::NotAbsolute(text.to_owned()))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let authority = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let target = rest.split('#').next().unwrap_or("");
        Url::new(Scheme::from_name(scheme)?, authority, written(target))
    }

    fn new(scheme: Scheme, authority: &str, path_and_query: String) -> Result<Url, UrlError> {
        check_authority(authority)?;
        Ok(Url {
            scheme,
            authority: authority.to_owned(),
            path_and_query,
        })
    }

    /// Where a `Location` header leads from here.
    pub fn join(&self, location: &str) -> Result<Url, UrlError> {
        if location.contains("://") {
            return Url::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("{}://{rest}", self.scheme.as_str()));
        }
        let location = location.split('#').next().unwrap_or("");
        let path = self.path_and_query.split('?').next().unwrap_or("/");
        let target = if location.starts_with('/') {
            location.to_owned()
        } else if location.is_empty() || location.starts_with('?') {
            format!("{path}{location}")
        } else {
            let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
            format!("{folder}{location}")
        };
        Url::new(
            self.scheme,
            &self.authority,
            written(&without_dots(&target)),
        )
    }

    /// Host (without the brackets of an IPv6 address) and port.
    pub fn host_port(&self) -> Result<(&str, u16), UrlError> {
        split_authority(&self.authority, self.scheme.port())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.as_str();
        write!(f, "{scheme}://{}{}", self.authority, self.path_and_query)
    }
}

/// Percent-encodes one name or value of a query.
pub fn encode_query(text: &str, out: &mut String) {
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            out.push('+');
        }
        escape(word, b"", out);
    }
}

/// What Go leaves as it is in a path, beside letters, digits and `-_.~`.
const IN_PATH: &[u8] = b"$&+,/:;=@";
/// What a target as somebody else wrote it may hold: it is escaped already where it has to be.
const AS_WRITTEN: &[u8] = b"$&+,/:;=@%?!'()*[]";

fn escape(text: &str, left: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || left.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Path and query as somebody wrote them, without what no request line may hold.
fn written(target: &str) -> String {
    let mut out = String::with_capacity(target.len() + 1);
    if !target.starts_with('/') {
        out.push('/');
    }
    escape(target, AS_WRITTEN, &mut out);
    out
}

/// Why a text is no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// Neither http nor https.
    Scheme(String),
    /// Without scheme or host.
    NotAbsolute(String),
    /// The host and port do not parse.
    Authority(String),
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::Scheme(scheme) => write!(f, "scheme {scheme:?} is neither http nor https"),
            UrlError::NotAbsolute(text) => write!(f, "{text:?} is not an absolute URL"),
            UrlError::Authority(text) => write!(f, "{text:?} is not host:port"),
        }
    }
}

impl std::error::Error for UrlError {}

fn check_authority(authority: &str) -> Result<(), UrlError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~[]:%".contains(&b);
    if authority.bytes().all(legal) {
        split_authority(authority, 0).map(|_| ())
    } else {
        Err(UrlError::Authority(authority.to_owned()))
    }
}

fn split_authority(authority: &str, default_port: u16) -> Result<(&str, u16), UrlError> {
    let refuse = || UrlError::Authority(authority.to_owned());
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(refuse)?;
        match port {
            "" => (host, None),
            _ => (host, Some(port.strip_prefix(':').ok_or_else(refuse)?)),
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match port {
        Some(text) => text.parse().map_err(|_| refuse())?,
        None => default_port,
    };
    if host.is_empty() {
        Err(refuse())
    } else {
        Ok((host, port))
    }
}

/// Resolves `.` and `..` in the path.
fn without_dots(target: &str) -> String {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(p, q)| (p, Some(q)));
    let mut parts: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for part in path.split('/').skip(1) {
        ends_in_folder = matches!(part, "" | "." | "..");
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    let mut clean = format!("/{}", parts.join("/"));
    if ends_in_folder && clean.len() > 1 {
        clean.push('/');
    }
    if let Some(query) = query {
        clean.push('?');
        clean.push_str(query);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        let base = Url::parse("http://a:1/x/y?q=1").expect("valid");
        for (location, url) in [
            ("http://b/z", "http://b/z"),
            ("HTTP://b:2", "http://b:2/"),
            ("//c/m", "http://c/m"),
            ("https://b/", "https://b/"),
            ("/a b", "http://a:1/a%20b"),
            ("/a%20b?c=\u{e9}|", "http://a:1/a%20b?c=%C3%A9%7C"),
            ("/m", "http://a:1/m"),
            ("m", "http://a:1/x/m"),
            ("../m", "http://a:1/m"),
            ("./m/", "http://a:1/x/m/"),
            ("?p=2", "http://a:1/x/y?p=2"),
            ("", "http://a:1/x/y"),
            ("/m#part", "http://a:1/m"),
        ] {
            assert_eq!(
                base.join(location).map(|u| u.to_string()),
                Ok(url.to_owned()),
                "{location}"
            );
        }
    }

    #[test]
    fn host_and_port_are_found_and_nonsense_is_refused() {
        for (address, host_port) in [
            ("a:1", Some(("a", 1))),
            ("a", Some(("a", 80))),
            ("[::1]:9090", Some(("::1", 9090))),
            ("[::1]", Some(("::1", 80))),
            ("", None),
            (":80", None),
            ("a:", None),
            ("a:99999", None),
            ("a b:1", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]9", None),
        ] {
            let url = Url::from_parts("http", address, "/metrics", "");
            let found = url.as_ref().ok().and_then(|url| url.host_port().ok());
            assert_eq!(found, host_port, "{address}");
        }
    }

    #[test]
    fn a_path_is_escaped_as_go_does() {
        for (path, escaped) in [
            ("/metrics", "/metrics"),
            ("metrics", "/metrics"),
            ("", "/"),
            ("/a b", "/a%20b"),
            ("/\u{fc}", "/%C3%BC"),
            ("/{}|^\"#\\<>", "/%7B%7D%7C%5E%22%23%5C%3C%3E"),
            ("/50%", "/50%25"),
            ("/m?x=1", "/m%3Fx=1"),
            ("/a$&+,:;=@-_.~b", "/a$&+,:;=@-_.~b"),
            ("/!'()*", "/%21%27%28%29%2A"),
        ] {
            let url = Url::from_parts("HTTP", "h:1", path, "").expect("valid");
            assert_eq!(url.to_string(), format!("http://h:1{escaped}"), "{path}");
        }
        assert_eq!(
            Url::from_parts("ftp", "h", "/", ""),
            Err(UrlError::Scheme("ftp".to_owned()))
        );
        let url = Url::parse("https://h").expect("valid");
        assert_eq!(url.host_port(), Ok(("h", 443)));
    }

    #[test]
    fn a_query_is_encoded() {
        let mut out = String::new();
        encode_query("name[] é&", &mut out);
        assert_eq!(out, "name%5B%5D+%C3%A9%26");
    }
}
