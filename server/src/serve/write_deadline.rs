//! A connection whose peer takes nothing any more ends: what it was told would be held for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Without a byte being taken: as long as a client may sleep, and a scaler's own timeout is shorter.
const IDLE_MS: u64 = 30_000;

/// A stream of which each write has to get on.
pub(super) struct WriteDeadline<S> {
    stream: S,
    sleep: Pin<Box<Sleep>>,
    waits: bool,
}

impl<S> WriteDeadline<S> {
    pub(super) fn new(stream: S) -> WriteDeadline<S> {
        WriteDeadline {
            stream,
            sleep: Box::pin(tokio::time::sleep(Duration::from_millis(IDLE_MS))),
            waits: false,
        }
    }

    /// Passes on what is ready; what is not for too long has failed.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.waits = false;
            return poll;
        }
        if !std::mem::replace(&mut self.waits, true) {
            let until = Instant::now() + Duration::from_millis(IDLE_MS);
            self.sleep.as_mut().reset(until);
        }
        ready!(self.sleep.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let (stream, mut peer) = tokio::io::duplex(10);
        let mut stream = WriteDeadline::new(stream);
        let slow = tokio::spawn(async move {
            let mut taken = [0; 5];
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(IDLE_MS - 1)).await;
                peer.read_exact(&mut taken).await.expect("it is there");
            }
            peer
        });
        stream.write_all(&[0; 25]).await.expect("somebody reads");
        let _peer = slow.await.expect("it ends");
        let error = stream.write_all(&[0; 100]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
