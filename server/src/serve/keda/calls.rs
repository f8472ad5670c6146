//! Calls under way on KEDA's port, streams among them: of all connections together, and by the address of their client.
//!
//! Anybody who reaches the port may open a stream, and one takes some 7 kB here and in HTTP/2. An address may hold as many as
//! are left for others: a stranger who opens all that he can leaves half, the next one a quarter, and KEDA, which was there
//! before or comes later, finds a place.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

/// Calls at a time: 280 MB at most, and half of that from one address. KEDA's are as many as there are ScaledObjects.
pub(super) const CALLS_MAX: usize = 40_000;
/// Streams on the first connection of an address: KEDA sends all of a cluster's over one, and whatever is past the limit waits
/// unseen.
const STREAMS_MAX: u32 = 20_000;
/// On one of those that follow, which is a connection per ScaledObject or a stranger's: what a refused stream takes until its
/// client reads that, is bounded by this.
const FURTHER_STREAMS_MAX: u32 = 1_000;
/// So many connections of an address may have that.
const FURTHER_MAX: usize = 16;
/// On each beyond.
const MANY_STREAMS_MAX: u32 = 100;
/// A deadline that is further away is none.
const DEADLINE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// All of them. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    open: usize,
    /// Only those that hold something.
    peers: HashMap<IpAddr, Held>,
}

#[derive(Clone, Copy, Default)]
struct Held {
    connections: usize,
    calls: usize,
}

/// A connection's client, for as long as the connection lives.
pub(super) struct Peer {
    calls: Calls,
    address: IpAddr,
    /// Streams that it may have at a time.
    pub(super) streams_max: u32,
}

/// One call, for as long as it is under way.
pub(super) struct Call(Arc<Peer>);

impl Calls {
    /// A connection from an address; one that is not known counts with the others of which it is not.
    pub(super) fn connected(&self, address: Option<IpAddr>) -> Arc<Peer> {
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let mut state = self.0.lock();
        let held = state.peers.entry(address).or_default();
        held.connections += 1;
        Arc::new(Peer {
            calls: self.clone(),
            address,
            streams_max: match held.connections {
                1 => STREAMS_MAX,
                2..=FURTHER_MAX => FURTHER_STREAMS_MAX,
                _ => MANY_STREAMS_MAX,
            },
        })
    }
}

impl State {
    fn change(&mut self, address: IpAddr, change: impl FnOnce(&mut Held)) {
        let held = self.peers.entry(address).or_default();
        change(held);
        if held.connections == 0 && held.calls == 0 {
            self.peers.remove(&address);
        }
    }
}

impl Peer {
    /// A call more; `None`: there are too many.
    pub(super) fn call(self: &Arc<Peer>) -> Option<Call> {
        let state = &mut *self.calls.0.lock();
        let own = state.peers.get(&self.address).map_or(0, |held| held.calls);
        if own >= CALLS_MAX - state.open {
            return None;
        }
        state.open += 1;
        state.change(self.address, |held| held.calls += 1);
        Some(Call(Arc::clone(self)))
    }
}

impl Call {
    /// Whose it is.
    pub(super) fn address(&self) -> IpAddr {
        self.0.address
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut state = self.calls.0.lock();
        state.change(self.address, |held| held.connections -= 1);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let state = &mut *self.0.calls.0.lock();
        state.open -= 1;
        state.change(self.0.address, |held| held.calls -= 1);
    }
}

/// Said to whoever has too many calls.
pub(super) fn too_many() -> Status {
    Status::resource_exhausted(
        "there are too many streams and calls under way from this address, or in all; end some, or come later",
    )
}

/// Said where `grpc-timeout` has passed.
pub(super) fn too_late() -> Status {
    Status::deadline_exceeded("the time that the client gave has passed (grpc-timeout)")
}

/// When the client wants no answer any more: `grpc-timeout`, at most eight digits and a unit
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub(super) fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(Instant::now() + timeout.min(DEADLINE_MAX))
}

/// The body of an answer, which is a call until it has ended, and ends at its deadline.
pub(super) struct Answer {
    body: Body,
    call: Option<Call>,
    deadline: Option<Pin<Box<Sleep>>>,
    is_late: bool,
}

impl Answer {
    pub(super) fn new(body: Body, call: Option<Call>, deadline: Option<Instant>) -> Answer {
        let deadline = deadline.filter(|_| !body.is_end_stream());
        Answer {
            body,
            call,
            deadline: deadline.map(|at| Box::pin(sleep_until(at))),
            is_late: false,
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_late {
            return Poll::Ready(None);
        }
        let late = self.deadline.as_mut();
        if late.is_some_and(|late| late.as_mut().poll(context).is_ready()) {
            self.is_late = true;
            self.body = Body::empty();
            self.call = None;
            let mut trailers = HeaderMap::new();
            too_late().add_header(&mut trailers).ok(); // its text is ASCII
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.is_late || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.deadline {
            Some(_) => SizeHint::default(),
            None => self.body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)))
    }

    fn open_all(peer: &Arc<Peer>) -> Vec<Call> {
        std::iter::from_fn(|| peer.call()).collect()
    }

    /// Two strangers who open all that they can.
    #[test]
    fn a_stranger_leaves_as_many_calls_as_he_holds() {
        let calls = Calls::default();
        let peers = [1, 2, 3].map(|last| calls.connected(address(last)));
        let held = peers.each_ref().map(open_all);
        let counts = held.each_ref().map(Vec::len);
        assert_eq!(counts, [CALLS_MAX / 2, CALLS_MAX / 4, CALLS_MAX / 8]);
        let again = calls.connected(address(1));
        assert_eq!(again.streams_max, FURTHER_STREAMS_MAX);
        assert!(
            again.call().is_none(),
            "another connection is no other address"
        );
        drop((held, again, peers));
        let state = calls.0.lock();
        assert_eq!((state.open, state.peers.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_at_its_deadline_with_the_status_of_it() {
        let mut headers = HeaderMap::new();
        for (text, expected) in [
            ("1m", Some(Duration::from_millis(1))),
            ("20S", Some(Duration::from_secs(20))),
            ("99999999H", Some(DEADLINE_MAX)),
            ("123456789m", None),
            ("m", None),
            ("-1S", None),
            ("1x", None),
            ("", None),
        ] {
            headers.insert("grpc-timeout", text.parse().expect("a value"));
            let expected = expected.map(|after| Instant::now() + after);
            assert_eq!(
                deadline(&headers),
                expected.filter(|_| text != "m"),
                "{text}"
            );
        }
        headers.insert("grpc-timeout", "100m".parse().expect("a value"));
        let calls = Calls::default();
        let call = calls.connected(address(1)).call();
        let open = futures_util::stream::pending::<Result<Bytes, axum::Error>>();
        let body = Body::from_stream(open);
        let mut answer = Answer::new(body, call, deadline(&headers));
        assert_eq!(calls.0.lock().open, 1);
        let began = Instant::now();
        let frame = poll_fn(|context| Pin::new(&mut answer).poll_frame(context)).await;
        assert_eq!(began.elapsed().as_millis(), 100);
        let trailers = frame.expect("one").expect("no error").into_trailers();
        let trailers = trailers.expect("trailers");
        assert_eq!(trailers.get("grpc-status").expect("a status"), "4");
        assert!(answer.is_end_stream());
        assert_eq!(calls.0.lock().open, 0);
    }
}
