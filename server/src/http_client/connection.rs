//! One connection: a request out, a head in, a body into the page.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::chunks::Chunks;
use super::error::HttpError;
use super::head::{Framing, Head};
use super::url::Url;

/// Bytes of a response's head; Go's servers send a few hundred.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Held by a connection between scrapes, for the next head; what comes with it is copied once.
const HEAD_BYTES_KEPT: usize = 1 << 10;
/// Room for a read whose size is not known.
const READ_BYTES_MIN: usize = 64 << 10;
/// Of one read: others have their turn in between.
const READ_BYTES_MAX: usize = 256 << 10;
/// Interim answers (1xx) before the one that counts. Go's client takes 5.
const INTERIM_MAX: usize = 16;

/// A connection that may be asked again and again.
pub struct Connection<S> {
    /// Whom it leads to: scheme and authority of the URLs that it serves.
    origin: String,
    stream: S,
    /// The head under way, and what came after it.
    head: Vec<u8>,
}

fn broken(during: &str, error: &io::Error) -> HttpError {
    HttpError::Broken(format!("{during}: {error}"))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Over a stream that was just opened.
    pub fn new(origin: String, stream: S) -> Connection<S> {
        Connection {
            origin,
            stream,
            head: Vec::new(),
        }
    }

    /// Whether requests for this URL may go over it.
    pub fn leads_to(&self, url: &Url) -> bool {
        let rest = self.origin.strip_prefix(url.scheme.as_str());
        rest.and_then(|rest| rest.strip_prefix("://")) == Some(url.authority.as_str())
    }

    /// Sends a request and reads the head of its answer; the start of the body may be there with it.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Head, HttpError> {
        self.head.clear();
        self.head.reserve(HEAD_BYTES_KEPT);
        let sent = self.stream.write_all(request).await;
        sent.map_err(|error| broken("sending the request", &error))?;
        let mut interim = 0;
        loop {
            let before = self.head.len();
            let read = self.stream.read_buf(&mut self.head).await;
            let read = read.map_err(|error| broken("reading the answer", &error))?;
            if read == 0 {
                let got = self.head.len();
                return Err(HttpError::Broken(format!(
                    "the connection ended {got} bytes into the answer's head"
                )));
            }
            // It ends with an end of a line: one of 60 kB that comes byte by byte is not parsed for each of them.
            let may_end = before == 0 || self.head[before..].contains(&b'\n');
            while may_end
                && let Some((head, length)) = Head::parse(&self.head).map_err(HttpError::Broken)?
            {
                self.head.drain(..length);
                if !matches!(head.status, 100..=199) {
                    return Ok(head);
                }
                interim += 1;
                if interim > INTERIM_MAX {
                    return Err(HttpError::Broken(format!(
                        "more than {INTERIM_MAX} interim answers (status 1xx) came before the answer"
                    )));
                }
            }
            if self.head.len() >= HEAD_BYTES_MAX {
                return Err(HttpError::Broken(format!(
                    "the answer's head is longer than {HEAD_BYTES_MAX} bytes"
                )));
            }
            self.head.reserve(HEAD_BYTES_KEPT);
        }
    }

    /// Begins to read the body that `framing` announces, with what of it came with the head, into an empty `page`.
    pub fn begin(
        &mut self,
        framing: Framing,
        limit_bytes: u64,
        page: &mut Vec<u8>,
    ) -> Result<Body, HttpError> {
        let mut body = Body {
            framing,
            chunks: Chunks::default(),
            limit_bytes,
            is_done: false,
        };
        if let Framing::Length(length) = framing
            && length > limit_bytes
        {
            return Err(body.too_large());
        }
        page.clear();
        page.extend_from_slice(&self.head);
        self.head.clear();
        self.head.shrink_to(2 * HEAD_BYTES_KEPT);
        body.take(page, 0)?;
        Ok(body)
    }

    /// One read more, where the body is not done. Nothing is lost where it is given up while it waits.
    pub async fn read_more(
        &mut self,
        body: &mut Body,
        page: &mut Vec<u8>,
    ) -> Result<(), HttpError> {
        let from = page.len();
        let more = body.make_room(page).min(READ_BYTES_MAX);
        let read = (&mut self.stream).take(more as u64).read_buf(page).await;
        match read.map_err(|error| broken("reading the page", &error))? {
            0 => body.end(page.len()),
            _ => body.take(page, from),
        }
    }
}

/// A body under way.
#[derive(Debug)]
pub struct Body {
    framing: Framing,
    chunks: Chunks,
    limit_bytes: u64,
    is_done: bool,
}

impl Body {
    /// Whether it is complete.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    fn limit(&self) -> usize {
        usize::try_from(self.limit_bytes).unwrap_or(usize::MAX)
    }

    fn too_large(&self) -> HttpError {
        HttpError::TooLarge {
            limit_bytes: self.limit_bytes,
            inflated: false,
        }
    }

    /// Takes what was read, `page[from..]`.
    fn take(&mut self, page: &mut Vec<u8>, from: usize) -> Result<(), HttpError> {
        if self.framing == Framing::Chunked {
            let taken = self.chunks.take_off(page, from);
            taken.map_err(|why| HttpError::Broken(format!("reading the page: {why}")))?;
        }
        let have = page.len();
        if have > self.limit() {
            return Err(self.too_large());
        }
        self.is_done = match self.framing {
            Framing::Length(length) if have as u64 > length => {
                return Err(HttpError::Broken(format!(
                    "{have} bytes came where Content-Length is {length}"
                )));
            }
            Framing::Length(length) => have as u64 == length,
            Framing::Chunked => self.chunks.is_done(),
            Framing::Close => false,
        };
        Ok(())
    }

    /// Bytes that the page's buffer will have for the next read. They double, for an announced length alone must not reserve
    /// the whole limit, but not past what was announced: a pooled buffer then holds a page and no more.
    pub fn room(&self, page: &Vec<u8>) -> usize {
        let (have, wanted) = (page.len(), self.wanted(page.len()));
        match page.capacity() - have < wanted.min(READ_BYTES_MIN) {
            true => have + wanted.min(READ_BYTES_MIN.max(have)),
            false => page.capacity(),
        }
    }

    /// What may still come, with `have` bytes there.
    fn wanted(&self, have: usize) -> usize {
        match self.framing {
            Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX) - have,
            // One byte past the limit tells a page that ends there from one that does not.
            Framing::Chunked | Framing::Close => self.limit().saturating_add(1) - have,
        }
    }

    /// Makes room for the next read; how much of it to use.
    fn make_room(&self, page: &mut Vec<u8>) -> usize {
        let (have, wanted) = (page.len(), self.wanted(page.len()));
        page.reserve_exact(self.room(page) - have);
        // Sizes and ends of chunks are read beside the data.
        let coding = match self.framing {
            Framing::Chunked => READ_BYTES_MIN,
            Framing::Length(_) | Framing::Close => 0,
        };
        wanted.saturating_add(coding).min(page.capacity() - have)
    }

    /// The connection ended with the page `have` bytes long.
    fn end(&mut self, have: usize) -> Result<(), HttpError> {
        let missing = match self.framing {
            Framing::Close => {
                self.is_done = true;
                return Ok(());
            }
            Framing::Length(length) => format!("after {have} of {length} bytes of the page"),
            Framing::Chunked => format!("{have} bytes into the page, before its last chunk"),
        };
        Err(HttpError::Broken(format!("the connection ended {missing}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten targets that sent as fast as they could took half of the scrapes of others.
    #[tokio::test]
    async fn one_read_takes_no_more_than_its_turn() {
        let sent = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'#'; 2 << 20]].concat();
        let stream = tokio::io::join(&sent[..], tokio::io::sink());
        let mut connection = Connection::new(String::new(), stream);
        let head = connection.ask(b"").await.expect("a head");
        let mut page = Vec::new();
        let begun = connection.begin(head.framing, 64 << 20, &mut page);
        let mut body = begun.expect("it fits");
        while !body.is_done() {
            let (before, room) = (page.len(), body.room(&page));
            let read = connection.read_more(&mut body, &mut page).await;
            read.expect("it ends well");
            assert!(page.len() - before <= READ_BYTES_MAX);
            assert!(page.capacity() <= room, "{} {room}", page.capacity());
        }
        assert_eq!(page.len(), 2 << 20);
    }
}
