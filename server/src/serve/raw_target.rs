//! URLs as people type them: `curl -g 'http://h/api/v1/query?query=up{job="a"}'` sends quotes as they are, Go's server
//! takes them, and hyper refuses the request. Such characters are escaped in the first request line of a connection;
//! a client that sends more than one request on it is a library and escapes by itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A request line that is longer is left to hyper.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Read at a time while the line is not there.
const READ_BYTES: usize = 4 << 10;

/// A connection whose first request line may hold what no URL does.
pub(super) struct RawTarget<S> {
    inner: S,
    /// The line so far, with what came behind it; then what of that is not handed on yet.
    line: Vec<u8>,
    given: usize,
    is_whole: bool,
}

impl<S> RawTarget<S> {
    pub(super) fn new(inner: S) -> RawTarget<S> {
        RawTarget {
            inner,
            line: Vec::new(),
            given: 0,
            is_whole: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RawTarget<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.is_whole {
            let mut piece = [0; READ_BYTES];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut piece))?;
            this.line.extend_from_slice(piece.filled());
            let ended = piece.filled().is_empty();
            if ended || this.line.contains(&b'\n') || this.line.len() > LINE_BYTES_MAX {
                this.is_whole = true;
                escape_first_line(&mut this.line);
            }
        }
        let rest = &this.line[this.given..];
        if rest.is_empty() {
            this.line = Vec::new();
            this.given = 0;
            return Pin::new(&mut this.inner).poll_read(context, buffer);
        }
        let take = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..take]);
        this.given += take;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RawTarget<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

/// Escapes what hyper would refuse in the first line; everything else stays as it is.
fn escape_first_line(bytes: &mut Vec<u8>) {
    const REFUSED: &[u8] = b"\"<>\\^`|";
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let Some(end) = end.filter(|end| bytes[..*end].iter().any(|byte| REFUSED.contains(byte)))
    else {
        return;
    };
    let rest = bytes.split_off(end);
    let line = std::mem::take(bytes);
    for byte in line {
        match REFUSED.contains(&byte) {
            true => bytes.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            false => bytes.push(byte),
        }
    }
    bytes.extend_from_slice(&rest);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, join, sink};

    use super::*;

    async fn through(sent: &[u8]) -> Vec<u8> {
        let mut stream = RawTarget::new(join(sent, sink()));
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.expect("memory reads");
        read
    }

    #[tokio::test]
    async fn only_the_first_line_is_escaped_and_all_of_it_arrives() {
        for (sent, arrives) in [
            (
                "GET /q?query=up{a=\"b\"}>0 HTTP/1.1\r\nX: \"y\"\r\n\r\n",
                "GET /q?query=up{a=%22b%22}%3E0 HTTP/1.1\r\nX: \"y\"\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\r\n\r\n<body>",
                "GET / HTTP/1.1\r\n\r\n<body>",
            ),
            ("no line's end \"", "no line's end \""),
            ("", ""),
        ] {
            let read = through(sent.as_bytes()).await;
            assert_eq!(String::from_utf8_lossy(&read), arrives);
        }
        let long = [b"POST / HTTP/1.1\r\n\r\n".to_vec(), vec![b'"'; 300 << 10]].concat();
        assert_eq!(through(&long).await, long);
        let endless = vec![b'"'; LINE_BYTES_MAX * 2];
        assert_eq!(through(&endless).await, endless);
    }
}
