//! The head of a response: its status, the few headers that matter here, and how its body ends. Read as Go's net/http reads it,
//! through which Prometheus scrapes: of a header that comes twice the first counts, and a line that begins with a blank goes on
//! with the value of the line before (RFC 9112, 5.2).

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, ParserConfig, Response, Status};

use super::told::shortened;

/// Headers of one response; more are not a gateway's.
const HEADERS_MAX: usize = 64;

/// How a body ends (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// What a response's head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The words beside it.
    pub reason: String,
    /// How the body ends.
    pub framing: Framing,
    /// Whether another request may follow on the connection.
    pub keep_alive: bool,
    /// `Content-Type`, empty where there is none.
    pub content_type: String,
    /// `Content-Encoding`, in lower case, empty where there is none.
    pub content_encoding: String,
    /// `Location`.
    pub location: Option<String>,
    /// `Age`: for how long a cache has had the answer, in seconds (RFC 9111, 5.1).
    pub age_s: Option<u64>,
    /// `Retry-After`, as it stands there.
    pub retry_after: Option<String>,
    /// What a receiver of remote write 2.0 says that it has written: samples, histograms, exemplars.
    pub written: [Option<u64>; 3],
}

/// The headers of `written`, without what all begin with.
const WRITTEN_PREFIX: &str = "x-prometheus-remote-write-";
const WRITTEN: [&str; 3] = ["samples-written", "histograms-written", "exemplars-written"];

impl Head {
    /// Reads the head at the start of `bytes`, with its length; `None` where it is not all there yet.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut headers);
        let mut config = ParserConfig::default();
        config.allow_obsolete_multiline_headers_in_responses(true);
        let length = match config.parse_response(&mut response, bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(error) => return Err(format!("the answer is not HTTP/1: {error}")),
        };
        let mut head = Head {
            status: response.code.unwrap_or(0),
            reason: shortened(response.reason.unwrap_or("")).to_owned(),
            framing: Framing::Close,
            keep_alive: response.version == Some(1),
            content_type: String::new(),
            content_encoding: String::new(),
            location: None,
            age_s: None,
            retry_after: None,
            written: [None; 3],
        };
        let mut body = BodyHeaders::default();
        for header in response.headers.iter() {
            let value = String::from_utf8_lossy(header.value);
            head.take(&mut body, header.name, unfolded(value.trim()).as_ref())?;
        }
        head.content_type = body.content_type.take().unwrap_or_default();
        head.content_encoding = body.content_encoding.take().unwrap_or_default();
        head.keep_alive = !body.says_close && (head.keep_alive || body.says_keep_alive);
        head.framing = body.framing(head.status)?;
        head.keep_alive &= head.framing != Framing::Close;
        Ok(Some((head, length)))
    }

    fn take(&mut self, body: &mut BodyHeaders, name: &str, value: &str) -> Result<(), String> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("content-length") {
            body.lengths(value)?;
        } else if is("transfer-encoding") {
            if body.transfer_encoding.is_some() {
                return Err("there are two transfer encodings".to_owned());
            }
            body.transfer_encoding = Some(value.to_ascii_lowercase());
        } else if is("connection") {
            let says = |word: &str| {
                value
                    .split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(word))
            };
            body.says_close |= says("close");
            body.says_keep_alive |= says("keep-alive");
        } else if is("content-type") {
            body.content_type.get_or_insert_with(|| value.to_owned());
        } else if is("content-encoding") {
            let first = || value.to_ascii_lowercase();
            body.content_encoding.get_or_insert_with(first);
        } else if is("location") {
            self.location.get_or_insert_with(|| value.to_owned());
        } else if is("age") {
            self.age_s = self.age_s.or(value.parse().ok());
        } else if is("retry-after") {
            self.retry_after.get_or_insert_with(|| value.to_owned());
        } else if let Some((prefix, rest)) = name.split_at_checked(WRITTEN_PREFIX.len())
            && prefix.eq_ignore_ascii_case(WRITTEN_PREFIX)
            && let Some(at) = WRITTEN
                .iter()
                .position(|one| rest.eq_ignore_ascii_case(one))
        {
            self.written[at] = value.parse().ok();
        }
        Ok(())
    }
}

/// The value of a header whose lines go on with blanks, on one line: each break with the blanks around it is one blank.
fn unfolded(value: &str) -> Cow<'_, str> {
    if !value.contains('\n') {
        return Cow::Borrowed(value);
    }
    let lines: Vec<&str> = value.lines().map(str::trim).collect();
    Cow::Owned(lines.join(" "))
}

/// What the headers say of the body and of the connection.
#[derive(Default)]
struct BodyHeaders {
    length: Option<u64>,
    transfer_encoding: Option<String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    says_close: bool,
    says_keep_alive: bool,
}

impl BodyHeaders {
    /// `Content-Length`, once or several times the same.
    fn lengths(&mut self, value: &str) -> Result<(), String> {
        for part in value.split(',').map(str::trim) {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let length = digits.then(|| part.parse().ok()).flatten();
            let Some(length) = length else {
                return Err(format!("Content-Length is {part:?}, not a number of bytes"));
            };
            if self.length.is_some_and(|have| have != length) {
                return Err("two Content-Lengths differ".to_owned());
            }
            self.length = Some(length);
        }
        Ok(())
    }

    fn framing(self, status: u16) -> Result<Framing, String> {
        if matches!(status, 100..=199 | 204 | 304) {
            return Ok(Framing::Length(0));
        }
        match (self.transfer_encoding.as_deref(), self.length) {
            (Some("chunked"), _) => Ok(Framing::Chunked),
            (Some("identity") | None, Some(length)) => Ok(Framing::Length(length)),
            (Some("identity") | None, None) => Ok(Framing::Close),
            (Some(other), _) => Err(format!("transfer encoding {other:?} was not asked for")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Result<(Framing, bool), String> {
        let text = format!("{head}\r\n\r\n");
        let (head, length) = Head::parse(text.as_bytes())?.expect("a whole head");
        assert_eq!(length, text.len());
        Ok((head.framing, head.keep_alive))
    }

    #[test]
    fn a_body_ends_where_its_headers_say() {
        for (headers, framing, keep_alive) in [
            (
                "1.1 200 OK\r\nContent-Length: 12",
                Framing::Length(12),
                true,
            ),
            (
                "1.1 200 OK\r\ncontent-length: 3, 3",
                Framing::Length(3),
                true,
            ),
            (
                "1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 3",
                Framing::Chunked,
                true,
            ),
            (
                "1.1 200 OK\r\nContent-Length: 1\r\nConnection: Close",
                Framing::Length(1),
                false,
            ),
            ("1.1 200", Framing::Close, false),
            ("1.0 200 OK\r\nContent-Length: 1", Framing::Length(1), false),
            (
                "1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive",
                Framing::Length(1),
                true,
            ),
            (
                "1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\nConnection: keep-alive",
                Framing::Length(1),
                false,
            ),
            (
                "1.1 200 OK\r\nContent-Length:\r\n 12",
                Framing::Length(12),
                true,
            ),
            ("1.1 204 No Content", Framing::Length(0), true),
        ] {
            assert_eq!(
                parsed(&format!("HTTP/{headers}")),
                Ok((framing, keep_alive)),
                "{headers}"
            );
        }
    }

    #[test]
    fn a_head_that_lies_is_refused() {
        for (head, says) in [
            ("SSH-2.0-OpenSSH", "not HTTP/1"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4",
                "differ",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: -3", "\"-3\""),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999",
                "not a number",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
                "gzip, chunked",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                "two transfer encodings",
            ),
            ("HTTP/1.1 200 OK\r\n Content-Length: 3", "not HTTP/1"),
        ] {
            let error = parsed(head).expect_err(head);
            assert!(error.contains(says), "{error} should say {says}");
        }
    }

    /// A gateway behind a proxy that adds a Content-Type of its own was refused for the second one, which nobody else looks at.
    #[test]
    fn headers_count_as_in_go() {
        let text = "text/plain; version=0.0.4";
        for (headers, content_type) in [
            (
                "Content-Type: text/plain; version=0.0.4\r\nContent-Type: text/html",
                text,
            ),
            ("Content-Type: text/plain;\r\n version=0.0.4", text),
            (
                "Content-Type: text/plain; \r\n\t  version=0.0.4  \r\nX: y",
                text,
            ),
            (
                "Content-Type:\r\n text/plain;\r\n \r\n version=0.0.4",
                "text/plain;  version=0.0.4",
            ),
            (
                "X: a\r\n Content-Type: text/html\r\nContent-Type: text/plain; version=0.0.4",
                text,
            ),
            ("Content-Type:\r\nContent-Type: text/html", ""),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n");
            let head = Head::parse(head.as_bytes())
                .expect(headers)
                .expect("whole")
                .0;
            assert_eq!(head.content_type, content_type, "{headers}");
        }
        let twice = "HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nContent-Encoding: GZIP\r\n\
                     Content-Encoding: br\r\nRetry-After: 1\r\nRetry-After: 2\r\n\r\n";
        let head = Head::parse(twice.as_bytes())
            .expect("valid")
            .expect("whole")
            .0;
        assert_eq!(
            (
                head.location.as_deref(),
                head.content_encoding.as_str(),
                head.retry_after.as_deref()
            ),
            (Some("/a"), "gzip", Some("1"))
        );
    }

    #[test]
    fn half_a_head_is_not_an_error() {
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\nContent-"), Ok(None));
    }
}
