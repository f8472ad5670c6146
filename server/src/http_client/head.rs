//! The head of a response: its status, the few headers that matter here, and how its body ends.

use httparse::{EMPTY_HEADER, Response, Status};

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
        let length = match response.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(error) => return Err(format!("the answer is not HTTP/1: {error}")),
        };
        let mut head = Head {
            status: response.code.unwrap_or(0),
            reason: response.reason.unwrap_or("").to_owned(),
            framing: Framing::Close,
            keep_alive: response.version == Some(1),
            content_type: String::new(),
            content_encoding: String::new(),
            location: None,
            retry_after: None,
            written: [None; 3],
        };
        let mut body = BodyHeaders::default();
        for header in response.headers.iter() {
            let value = String::from_utf8_lossy(header.value);
            head.take(&mut body, header.name, value.trim())?;
        }
        head.framing = body.framing(head.status)?;
        head.keep_alive &= head.framing != Framing::Close;
        Ok(Some((head, length)))
    }

    fn take(&mut self, body: &mut BodyHeaders, name: &str, value: &str) -> Result<(), String> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("content-length") {
            body.lengths(value)?;
        } else if is("transfer-encoding") {
            body.transfer_encoding = Some(value.to_ascii_lowercase());
        } else if is("connection") {
            let says = |word: &str| {
                value
                    .split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(word))
            };
            self.keep_alive = !says("close") && (self.keep_alive || says("keep-alive"));
        } else if is("content-type") {
            value.clone_into(&mut self.content_type);
        } else if is("content-encoding") {
            self.content_encoding = value.to_ascii_lowercase();
        } else if is("location") {
            self.location = Some(value.to_owned());
        } else if is("retry-after") {
            self.retry_after = Some(value.to_owned());
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

/// What the headers say of the body's length.
#[derive(Default)]
struct BodyHeaders {
    length: Option<u64>,
    transfer_encoding: Option<String>,
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
        ] {
            let error = parsed(head).expect_err(head);
            assert!(error.contains(says), "{error} should say {says}");
        }
    }

    #[test]
    fn half_a_head_is_not_an_error() {
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\nContent-"), Ok(None));
    }
}
