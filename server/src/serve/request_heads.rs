//! What has come of requests whose URL and headers are not whole yet holds memory, and so does a whole one until it is answered:
//! half a megabyte at most each, which is a quarter of a gigabyte for all connections of a listener. Those of all connections
//! together have a bound. Where it is reached, whoever has taken longer than a head takes gives way, the oldest first, and
//! without such the newest is refused. Heads of usual length are not counted: places for connections bound them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Bytes of heads that are counted.
const HEADS_BYTES_MAX: usize = 32 << 20;
/// Of a head so much is not counted: a query in a URL, and what a browser sends beside it.
const UNCOUNTED_BYTES: usize = 16 << 10;
/// What permits count.
const UNIT_BYTES: usize = 1 << 10;
/// A head that has not come whole within this gives way to others.
const STALLED: Duration = Duration::from_secs(1);

/// One bound for all listeners of the process.
static HEADS: LazyLock<Arc<RequestHeads>> =
    LazyLock::new(|| Arc::new(RequestHeads::new(HEADS_BYTES_MAX)));

/// Heads that are counted.
struct RequestHeads {
    room: Arc<Semaphore>,
    /// Held for a look at each of them, of which a connection has one.
    heads: Mutex<Vec<Weak<Mutex<Head>>>>,
}

/// What has come of the head of a connection's next request.
struct Head {
    bytes: usize,
    /// When its first byte came.
    began: Instant,
    permit: Option<OwnedSemaphorePermit>,
    /// A request is under way: what comes is its body.
    is_whole: bool,
    has_given_way: bool,
    /// Of whoever reads on.
    waker: Option<Waker>,
}

/// A connection of which the heads are counted.
pub(super) struct CountedHeads<S> {
    inner: S,
    of: Arc<RequestHeads>,
    head: Arc<Mutex<Head>>,
}

/// Tells whoever counts that heads are whole, and are answered. Cheap to clone.
#[derive(Clone)]
pub(super) struct Heads(Arc<Mutex<Head>>);

/// A request under way, which keeps what its head takes.
pub(super) struct UnderWay {
    of: Heads,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Heads {
    /// The head has come: from now on its body does, until the request is answered.
    pub(super) fn whole(&self) -> UnderWay {
        let mut head = self.0.lock();
        head.is_whole = true;
        head.bytes = 0;
        UnderWay {
            of: self.clone(),
            _permit: head.permit.take(),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.of.0.lock().is_whole = false;
    }
}

impl RequestHeads {
    fn new(bytes_max: usize) -> RequestHeads {
        RequestHeads {
            room: Arc::new(Semaphore::new(bytes_max / UNIT_BYTES)),
            heads: Mutex::default(),
        }
    }

    /// Room for so many units, after heads that stand still have given way.
    fn room_for(&self, units: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(units).ok()?;
        let take = || Arc::clone(&self.room).try_acquire_many_owned(units).ok();
        if let Some(permit) = take() {
            return Some(permit);
        }
        let now = Instant::now();
        let heads = self.heads.lock().clone();
        let mut stalled: Vec<(Instant, Arc<Mutex<Head>>)> = heads
            .iter()
            .filter_map(|one| {
                let one = one.upgrade()?;
                let head = one.lock();
                let (began, holds) = (head.began, head.permit.is_some());
                drop(head);
                (holds && now - began >= STALLED).then_some((began, one))
            })
            .collect();
        stalled.sort_by_key(|(began, _)| *began);
        stalled.into_iter().find_map(|(_, one)| {
            one.lock().give_way();
            take()
        })
    }
}

impl Head {
    fn give_way(&mut self) {
        self.permit = None;
        self.has_given_way = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// So many bytes have come. Returns how many units are needed beyond those that it has.
    fn note(&mut self, bytes: usize) -> usize {
        if self.is_whole {
            return 0;
        }
        if self.bytes == 0 {
            self.began = Instant::now();
        }
        self.bytes += bytes;
        let counted = self.bytes.saturating_sub(UNCOUNTED_BYTES);
        let has = self
            .permit
            .as_ref()
            .map_or(0, |permit| permit.num_permits());
        counted.div_ceil(UNIT_BYTES).saturating_sub(has)
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
    }
}

impl<S> CountedHeads<S> {
    /// A connection, with what its requests have to be told to.
    pub(super) fn new(inner: S) -> (CountedHeads<S>, Heads) {
        CountedHeads::among(Arc::clone(&HEADS), inner)
    }

    fn among(of: Arc<RequestHeads>, inner: S) -> (CountedHeads<S>, Heads) {
        let head = Arc::new(Mutex::new(Head {
            bytes: 0,
            began: Instant::now(),
            permit: None,
            is_whole: false,
            has_given_way: false,
            waker: None,
        }));
        let mut heads = of.heads.lock();
        heads.retain(|one| one.strong_count() > 0);
        heads.push(Arc::downgrade(&head));
        drop(heads);
        let told = Heads(Arc::clone(&head));
        (CountedHeads { inner, of, head }, told)
    }
}

fn gave_way() -> io::Error {
    io::Error::other("the head of a request was long and not whole, and others needed its room")
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedHeads<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        {
            let mut head = this.head.lock();
            if head.has_given_way {
                return Poll::Ready(Err(gave_way()));
            }
            head.waker = Some(context.waker().clone());
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
        let needed = this.head.lock().note(buffer.filled().len() - before);
        if needed > 0 {
            // Not under the head's lock: others' are looked at.
            let Some(more) = this.of.room_for(needed) else {
                return Poll::Ready(Err(gave_way()));
            };
            this.head.lock().add(more);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedHeads<S> {
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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const ROOM: usize = 1 << 20;
    const HEAD: usize = 100 << 10;

    /// A client that has sent so much, and its connection, which has read all of that or ended.
    async fn sent(
        of: &Arc<RequestHeads>,
        bytes: usize,
    ) -> (DuplexStream, CountedHeads<DuplexStream>, Heads, bool) {
        let (mut client, server) = duplex(2 * HEAD);
        let (mut connection, heads) = CountedHeads::among(Arc::clone(of), server);
        client.write_all(&vec![b'a'; bytes]).await.expect("it fits");
        let read = connection.read_exact(&mut vec![0; bytes]).await;
        (client, connection, heads, read.is_ok())
    }

    /// 480 halves of heads of 500 KiB held 250 MB for half a minute.
    #[tokio::test(start_paused = true)]
    async fn heads_that_do_not_come_whole_have_a_bound_and_give_way() {
        let of = Arc::new(RequestHeads::new(ROOM));
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(sent(&of, HEAD).await);
        }
        let fits = held.iter().filter(|(.., fits)| *fits).count();
        assert_eq!(fits, ROOM / (HEAD - UNCOUNTED_BYTES));
        assert!(sent(&of, UNCOUNTED_BYTES).await.3, "as most are");
        let (_client, mut oldest, ..) = held.swap_remove(0);
        let mut read = pin!(oldest.read_u8());
        tokio::select! {
            biased;
            _ = &mut read => panic!("its client is silent"),
            () = tokio::time::sleep(STALLED) => {}
        }
        assert!(sent(&of, HEAD).await.3, "the oldest gives way");
        assert!(read.await.is_err());
    }

    #[tokio::test]
    async fn a_request_keeps_what_its_head_takes_until_it_is_answered_and_bodies_do_not_count() {
        let of = Arc::new(RequestHeads::new(HEAD));
        let (mut client, mut connection, heads, fits) = sent(&of, HEAD).await;
        assert!(fits);
        let under_way = heads.whole();
        client.write_all(&[b'b'; HEAD]).await.expect("it fits");
        let mut body = vec![0; HEAD];
        connection.read_exact(&mut body).await.expect("it is read");
        assert!(!sent(&of, HEAD).await.3);
        drop(under_way);
        assert!(sent(&of, HEAD).await.3);
    }
}
