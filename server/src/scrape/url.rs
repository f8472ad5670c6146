//! The little of URLs that scraping needs: `http://host:port/path?query`, and where a redirect leads.

use std::fmt;

/// The port of a URL that names none.
const HTTP_PORT: u16 = 80;

/// An absolute http URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    /// `host`, `host:port` or `[v6]:port`, as written.
    pub authority: String,
    /// Path and query, beginning with `/`.
    pub path_and_query: String,
}

impl Url {
    /// From the labels of a target.
    pub fn from_parts(
        scheme: &str,
        address: &str,
        path: &str,
        query: &str,
    ) -> Result<Url, UrlError> {
        match scheme {
            "http" => {}
            "https" => return Err(UrlError::Https),
            _ => return Err(UrlError::Scheme(scheme.to_owned())),
        }
        check_authority(address)?;
        let mut path_and_query = String::with_capacity(path.len() + query.len() + 2);
        if !path.starts_with('/') {
            path_and_query.push('/');
        }
        path_and_query.push_str(path);
        if !query.is_empty() {
            path_and_query.push(if path.contains('?') { '&' } else { '?' });
            path_and_query.push_str(query);
        }
        check_target(&path_and_query)?;
        Ok(Url {
            authority: address.to_owned(),
            path_and_query,
        })
    }

    /// From a text like `http://host:port/path`.
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
        Url::from_parts(&scheme.to_ascii_lowercase(), authority, target, "")
    }

    /// Where a `Location` header leads from here.
    pub fn join(&self, location: &str) -> Result<Url, UrlError> {
        if location.contains("://") {
            return Url::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("http://{rest}"));
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
        Url::from_parts("http", &self.authority, &without_dots(&target), "")
    }

    /// Host (without the brackets of an IPv6 address) and port.
    pub fn host_port(&self) -> Result<(&str, u16), UrlError> {
        split_authority(&self.authority)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path_and_query)
    }
}

/// Percent-encodes one name or value of a query.
pub fn encode_query(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// Why a text is no URL that can be scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// https is not built yet.
    Https,
    /// Neither http nor https.
    Scheme(String),
    /// Without scheme or host.
    NotAbsolute(String),
    /// The host and port do not parse.
    Authority(String),
    /// The path or query has characters that no URL has.
    Target(String),
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::Https => f.write_str("https is not built yet"),
            UrlError::Scheme(scheme) => write!(f, "scheme {scheme:?} is neither http nor https"),
            UrlError::NotAbsolute(text) => write!(f, "{text:?} is not an absolute URL"),
            UrlError::Authority(text) => write!(f, "{text:?} is not host:port"),
            UrlError::Target(text) => write!(f, "{text:?} is not the path of a URL"),
        }
    }
}

impl std::error::Error for UrlError {}

fn check_authority(authority: &str) -> Result<(), UrlError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~[]:%".contains(&b);
    if authority.bytes().all(legal) {
        split_authority(authority).map(|_| ())
    } else {
        Err(UrlError::Authority(authority.to_owned()))
    }
}

fn split_authority(authority: &str) -> Result<(&str, u16), UrlError> {
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
        None => HTTP_PORT,
    };
    if host.is_empty() {
        Err(refuse())
    } else {
        Ok((host, port))
    }
}

/// What `hyper` would refuse is refused here, with a name.
fn check_target(target: &str) -> Result<(), UrlError> {
    if target
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b))
    {
        Ok(())
    } else {
        Err(UrlError::Target(target.to_owned()))
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
        assert_eq!(base.join("https://b/"), Err(UrlError::Https));
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
    fn a_query_is_encoded() {
        let mut out = String::new();
        encode_query("name[] é&", &mut out);
        assert_eq!(out, "name%5B%5D+%C3%A9%26");
    }
}
