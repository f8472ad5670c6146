//! What has come of requests whose URL and headers are not whole yet holds memory, and so does a whole one until it is answered:
//! half a megabyte at most each, which is a quarter of a gigabyte for all connections of a listener. Those of all connections
//! together have a bound, and so have those of one address, whose requests may be under way for as long as their bodies do not
//! come. Where the first is reached, whoever has taken longer than a head takes gives way, the oldest first, and without such the
//! newest is refused. Heads of usual length are not counted: places for connections bound them.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use stillwell_adapters::ClientAddress;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Bytes of heads that are counted.
const HEADS_BYTES_MAX: usize = 32 << 20;
/// Of these one address has at most such a part: some sixteen of the greatest length.
const OF_ADDRESS_PART: usize = 4;
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
    /// Units that one address may hold.
    of_address_max: usize,
    /// Units that addresses hold; only of those that hold some.
    addresses: Mutex<HashMap<Option<ClientAddress>, usize>>,
    /// Held for a look at each of them, of which a connection has one.
    heads: Mutex<Vec<Weak<Mutex<Head>>>>,
}

/// What an address holds of the room.
struct HeadRoom {
    permit: OwnedSemaphorePermit,
    of: Arc<RequestHeads>,
    address: Option<ClientAddress>,
}

impl HeadRoom {
    /// More of the same connection.
    fn merge(&mut self, mut more: HeadRoom) {
        // What `more` gives back is nothing then.
        if let Some(all) = more.permit.split(more.permit.num_permits()) {
            self.permit.merge(all);
        }
    }
}

impl Drop for HeadRoom {
    fn drop(&mut self) {
        let mut addresses = self.of.addresses.lock();
        if let Some(held) = addresses.get_mut(&self.address) {
            *held -= self.permit.num_permits();
            if *held == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// What has come of the head of a connection's next request.
struct Head {
    bytes: usize,
    /// When its first byte came.
    began: Instant,
    room: Option<HeadRoom>,
    /// A request is under way: what comes is its body.
    is_whole: bool,
    has_given_way: bool,
    /// Of whoever reads on.
    waker: Option<Waker>,
}

/// A connection of which the heads are counted.
pub(super) struct CountedHeads<S> {
    inner: S,
    address: Option<ClientAddress>,
    of: Arc<RequestHeads>,
    head: Arc<Mutex<Head>>,
}

/// Tells whoever counts that heads are whole, and are answered. Cheap to clone.
#[derive(Clone)]
pub(super) struct Heads(Arc<Mutex<Head>>);

/// A request under way, which keeps what its head takes.
pub(super) struct UnderWay {
    of: Heads,
    _room: Option<HeadRoom>,
}

impl Heads {
    /// The head has come: from now on its body does, until the request is answered.
    pub(super) fn whole(&self) -> UnderWay {
        let mut head = self.0.lock();
        head.is_whole = true;
        head.bytes = 0;
        UnderWay {
            of: self.clone(),
            _room: head.room.take(),
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
            of_address_max: bytes_max / UNIT_BYTES / OF_ADDRESS_PART,
            addresses: Mutex::default(),
            heads: Mutex::default(),
        }
    }

    /// Room for so many units of an address, after heads that stand still have given way.
    fn room_for(
        self: &Arc<RequestHeads>,
        address: Option<ClientAddress>,
        units: usize,
    ) -> Option<HeadRoom> {
        {
            let mut addresses = self.addresses.lock();
            let held = addresses.get(&address).copied().unwrap_or(0) + units;
            if held > self.of_address_max {
                return None;
            }
            addresses.insert(address, held);
        }
        let permit = u32::try_from(units)
            .ok()
            .and_then(|units| self.permits(units));
        let Some(permit) = permit else {
            let mut addresses = self.addresses.lock();
            if let Some(held) = addresses.get_mut(&address) {
                *held -= units;
            }
            addresses.retain(|_, held| *held > 0);
            return None;
        };
        Some(HeadRoom {
            permit,
            of: Arc::clone(self),
            address,
        })
    }

    fn permits(&self, units: u32) -> Option<OwnedSemaphorePermit> {
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
                let (began, holds) = (head.began, head.room.is_some());
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
    /// Nothing where it has come whole meanwhile: its request is under way.
    fn give_way(&mut self) {
        if self.room.take().is_none() {
            return;
        }
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
        let room = self.room.as_ref();
        let has = room.map_or(0, |room| room.permit.num_permits());
        counted.div_ceil(UNIT_BYTES).saturating_sub(has)
    }

    fn add(&mut self, more: HeadRoom) {
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
    }
}

impl<S> CountedHeads<S> {
    /// A connection, with what its requests have to be told to.
    pub(super) fn new(inner: S, address: Option<ClientAddress>) -> (CountedHeads<S>, Heads) {
        CountedHeads::among(Arc::clone(&HEADS), address, inner)
    }

    fn among(
        of: Arc<RequestHeads>,
        address: Option<ClientAddress>,
        inner: S,
    ) -> (CountedHeads<S>, Heads) {
        let head = Arc::new(Mutex::new(Head {
            bytes: 0,
            began: Instant::now(),
            room: None,
            is_whole: false,
            has_given_way: false,
            waker: None,
        }));
        let mut heads = of.heads.lock();
        heads.retain(|one| one.strong_count() > 0);
        heads.push(Arc::downgrade(&head));
        drop(heads);
        let told = Heads(Arc::clone(&head));
        let counted = CountedHeads {
            inner,
            address,
            of,
            head,
        };
        (counted, told)
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
            let Some(more) = this.of.room_for(this.address, needed) else {
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
    async fn sent_by(
        (of, host): (&Arc<RequestHeads>, u8),
        bytes: usize,
    ) -> (DuplexStream, CountedHeads<DuplexStream>, Heads, bool) {
        let (mut client, server) = duplex(2 * HEAD);
        let address = Some(ClientAddress::of([10, 0, 0, host], None));
        let (mut connection, heads) = CountedHeads::among(Arc::clone(of), address, server);
        client.write_all(&vec![b'a'; bytes]).await.expect("it fits");
        let read = connection.read_exact(&mut vec![0; bytes]).await;
        (client, connection, heads, read.is_ok())
    }

    /// 480 halves of heads of 500 KiB held 250 MB for half a minute.
    #[tokio::test(start_paused = true)]
    async fn heads_that_do_not_come_whole_have_a_bound_and_give_way() {
        let of = Arc::new(RequestHeads::new(ROOM));
        let mut held = Vec::new();
        for host in 0..20 {
            held.push(sent_by((&of, host), HEAD).await);
        }
        let fits = held.iter().filter(|(.., fits)| *fits).count();
        assert_eq!(fits, ROOM / (HEAD - UNCOUNTED_BYTES));
        let usual = sent_by((&of, 20), UNCOUNTED_BYTES).await;
        assert!(usual.3, "as most are");
        let (_client, mut oldest, ..) = held.swap_remove(0);
        let mut read = pin!(oldest.read_u8());
        tokio::select! {
            biased;
            _ = &mut read => panic!("its client is silent"),
            () = tokio::time::sleep(STALLED) => {}
        }
        let newest = sent_by((&of, 21), HEAD).await;
        assert!(newest.3, "the oldest gives way");
        assert!(read.await.is_err());
        drop((held, newest));
        let counted = of.addresses.lock().len();
        assert_eq!(counted, 0, "of nobody anything is left");
    }

    #[tokio::test]
    async fn a_request_keeps_what_its_head_takes_until_it_is_answered_and_bodies_do_not_count() {
        let of = Arc::new(RequestHeads::new(OF_ADDRESS_PART * HEAD));
        let (mut client, mut connection, heads, fits) = sent_by((&of, 1), HEAD).await;
        assert!(fits);
        let under_way = heads.whole();
        client.write_all(&[b'b'; HEAD]).await.expect("it fits");
        let mut body = vec![0; HEAD];
        connection.read_exact(&mut body).await.expect("it is read");
        assert!(!sent_by((&of, 1), HEAD).await.3);
        drop(under_way);
        assert!(sent_by((&of, 1), HEAD).await.3);
    }

    /// 64 requests with heads of 512 KiB, whose bodies did not come, refused everybody's long head.
    #[tokio::test]
    async fn requests_of_one_address_leave_room_for_the_heads_of_others() {
        let of = Arc::new(RequestHeads::new(ROOM));
        let mut held = Vec::new();
        for _ in 0..20 {
            let (client, connection, heads, fits) = sent_by((&of, 1), HEAD).await;
            if fits {
                held.push((heads.whole(), client, connection));
            }
        }
        assert_eq!(
            held.len(),
            ROOM / OF_ADDRESS_PART / (HEAD - UNCOUNTED_BYTES)
        );
        assert!(sent_by((&of, 2), HEAD).await.3);
    }

    /// It was looked at while its head was not whole, and ended when it was: the request failed as its body came.
    #[tokio::test]
    async fn a_request_whose_head_has_come_meanwhile_does_not_give_way() {
        let of = Arc::new(RequestHeads::new(ROOM));
        let (mut client, mut connection, heads, fits) = sent_by((&of, 1), HEAD).await;
        assert!(fits);
        let _under_way = heads.whole();
        heads.0.lock().give_way();
        client.write_all(b"b").await.expect("it fits");
        assert_eq!(connection.read_u8().await.expect("its body"), b'b');
    }
}
