//! One request and its whole answer, for what is no page: lists of targets, tokens, answers of other servers.

use std::time::Duration;

use super::connect::{connect, request_head};
use super::error::HttpError;
use super::resolver::Resolver;
use super::transport::Transport;
use super::url::{Scheme, Url};
use crate::config::Secret;

/// As many redirects as Go follows.
const REDIRECTS_MAX: usize = 10;

/// A request.
pub struct Call {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Where to.
    pub url: Url,
    /// Lines of its head.
    pub headers: Secret,
    /// Lines of its head that no other host may see.
    pub shown: Secret,
    /// Whether redirects of a GET are followed.
    pub follow_redirects: bool,
    /// Its body; none where it is empty.
    pub body: Vec<u8>,
    /// For all of it.
    pub timeout_ms: u64,
    /// Of the answer's body.
    pub answer_bytes_max: u64,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Content-Type`, empty where there is none.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Makes the request on a connection of its own.
pub async fn call(
    call: Call,
    transport: &Transport,
    resolver: &Resolver,
) -> Result<Answer, HttpError> {
    let timeout_ms = call.timeout_ms;
    let calling = follow(call, transport, resolver);
    match tokio::time::timeout(Duration::from_millis(timeout_ms), calling).await {
        Ok(result) => result,
        Err(_) => Err(HttpError::Timeout(timeout_ms)),
    }
}

async fn follow(
    mut call: Call,
    transport: &Transport,
    resolver: &Resolver,
) -> Result<Answer, HttpError> {
    let mut ours = true;
    for _ in 0..=REDIRECTS_MAX {
        let shown = if ours { call.shown.expose() } else { "" };
        let request = request(&call, shown, transport)?;
        let mut connection = connect(&call.url, transport, resolver).await?;
        let head = connection.ask(&request).await?;
        let moved = matches!(head.status, 301 | 302 | 303 | 307 | 308);
        if let Some(location) = head
            .location
            .as_deref()
            .filter(|_| moved && call.method == "GET" && call.follow_redirects)
        {
            let next = call.url.join(location).map_err(HttpError::Redirect)?;
            ours = ours && same_host(&call.url, &next);
            call.url = next;
            continue;
        }
        if !matches!(head.content_encoding.as_str(), "" | "identity") {
            return Err(HttpError::Encoding(head.content_encoding));
        }
        let mut bytes = Vec::new();
        let mut body = connection.begin(head.framing, call.answer_bytes_max, &mut bytes)?;
        while !body.is_done() {
            connection.read_more(&mut body, &mut bytes).await?;
        }
        return Ok(Answer {
            status: head.status,
            content_type: head.content_type,
            body: bytes,
        });
    }
    Err(HttpError::Broken(format!(
        "stopped after {REDIRECTS_MAX} redirects"
    )))
}

/// Whether credentials for one URL may be shown to the other: not to another host, and not in the clear after TLS.
pub(crate) fn same_host(from: &Url, to: &Url) -> bool {
    let hosts = (from.host_port(), to.host_port());
    let same = matches!(hosts, (Ok((from, _)), Ok((to, _))) if from.eq_ignore_ascii_case(to));
    same && !(from.scheme == Scheme::Https && to.scheme == Scheme::Http)
}

fn request(call: &Call, shown: &str, transport: &Transport) -> Result<Vec<u8>, HttpError> {
    let head = request_head(call.method, &call.url, transport)?;
    let agent = concat!("stillwell/", env!("CARGO_PKG_VERSION"));
    let length = match (call.method, call.body.len()) {
        ("GET", 0) => String::new(),
        (_, length) => format!("content-length: {length}\r\n"),
    };
    let headers = call.headers.expose();
    let mut request =
        format!("{head}user-agent: {agent}\r\n{length}{headers}{shown}connection: close\r\n\r\n")
            .into_bytes();
    request.extend_from_slice(&call.body);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_with_their_host() {
        for (from, to, same) in [
            ("http://a/x", "http://a/y", true),
            ("http://a:1/x", "http://A:2/y", true),
            ("http://a/x", "https://a/y", true),
            ("https://a/x", "http://a/y", false),
            ("http://a/x", "http://b/x", false),
            ("http://a/x", "http://x.a/x", false),
        ] {
            let url = |text| Url::parse(text).expect("valid");
            assert_eq!(same_host(&url(from), &url(to)), same, "{from} {to}");
        }
    }
}
