//! The places of a listener: so many connections at a time, and who makes room for a new one.
//!
//! A listener that is full of connections which nobody uses must not refuse the API server, a probe or KEDA. So a new
//! connection is always taken: where no place is free, the one that has least reason to be there ends. Those are, in this
//! order, connections that have sent nothing for a while, or that have been idle for longer than scalers are between two reads;
//! then those that have just begun, those in the middle of a handshake among them, whose first request is not answered yet, or a later one not for a while, because its rest does not come or it takes long;
//! then those whose client was answered lately, once only before others, and the longest idle first. So whoever sends halves of requests displaces such
//! as himself. A client that showed a valid certificate keeps its place for as long as another can be found.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use stillwell_adapters::ClientAddress;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::fair_reads::FairReads;
use crate::clock::monotonic_ns;

/// How long a request may be under way before its connection may have to make room; a first request gets no time.
const BUSY_MS_MAX: u64 = 2_000;
/// How long a new connection, or the first request of one, is as good as one that was answered: an answer takes some
/// milliseconds, and a few hundred connections a second that are answered and stay must not end each new one.
const NEW_MS_MAX: u64 = 50;
/// How long a connection may be idle before it makes room before all others: HPAs read every 15 s, KEDA every 30 s.
const IDLE_MS_MAX: u64 = 60_000;

/// Which connections may end for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evicts {
    /// Whoever is idle: clients of HTTP/1 connect again.
    Idle,
    /// Whoever has never sent anything: streams stay open and silent for hours.
    Silent,
}

/// Nothing has been read yet, but for a handshake.
const SILENT: u8 = 0;
/// The last thing was a read: a request is coming in or under way.
const BUSY: u8 = 1;
/// The last thing was a write: the client has its answer.
const IDLE: u8 = 2;

/// What a connection is doing.
struct Activity {
    state: AtomicU8,
    since_ms: AtomicU64,
    /// A handshake is under way: what is read and written is no request and no answer.
    is_shaking_hands: AtomicBool,
    is_verified: AtomicBool,
    /// Requests of it that were answered.
    answered: AtomicU32,
}

fn now_ms() -> u64 {
    monotonic_ns() / 1_000_000
}

impl Activity {
    fn restart(&self) {
        self.is_shaking_hands.store(false, Ordering::Relaxed);
        self.state.store(SILENT, Ordering::Relaxed);
        self.answered.store(0, Ordering::Relaxed);
        self.since_ms.store(now_ms(), Ordering::Relaxed);
    }

    /// Something was read, or written in answer to it. What a server sends of itself (HTTP/2 begins with its settings)
    /// does not make a client less silent.
    fn is(&self, state: u8) {
        if state == IDLE && self.state.load(Ordering::Relaxed) == SILENT
            || self.is_shaking_hands.load(Ordering::Relaxed)
        {
            return;
        }
        if self.state.swap(state, Ordering::Relaxed) != state {
            if state == IDLE {
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
            self.since_ms.store(now_ms(), Ordering::Relaxed);
        }
    }
}

/// A connection that says what it is doing.
pub(super) struct Connection {
    stream: TcpStream,
    activity: Arc<Activity>,
    reads: FairReads,
}

impl Connection {
    /// Where its client is.
    pub(super) fn peer(&self) -> Option<ClientAddress> {
        let address = self.stream.peer_addr().ok()?;
        let own = self.stream.local_addr().ok();
        Some(ClientAddress::of(address.ip(), own.map(|own| own.ip())))
    }

    /// What is read and written from now on is a TLS handshake: it does not make the connection more than silent.
    pub(super) fn set_shaking_hands(&self) {
        self.activity
            .is_shaking_hands
            .store(true, Ordering::Relaxed);
    }

    /// What was read and written until now was a TLS handshake: no request yet, and no answer.
    pub(super) fn set_handshaken(&self) {
        self.activity.restart();
    }

    /// The client is known: it keeps its place for as long as another can be found.
    pub(super) fn set_verified(&self) {
        self.activity.is_verified.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(allowance) = self.reads.allowance(context) else {
            return Poll::Pending;
        };
        let length = buffer.remaining().min(allowance);
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(length));
        let polled = Pin::new(&mut self.stream).poll_read(context, &mut piece);
        let bytes = piece.filled().len();
        buffer.advance(bytes);
        self.reads.count(bytes);
        if bytes > 0 {
            self.activity.is(BUSY);
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if polled.is_ready() {
            self.activity.is(IDLE);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if polled.is_ready() {
            self.activity.is(IDLE);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The places of one listener.
pub(super) struct Places {
    places_max: usize,
    evicts: Evicts,
    taken: Mutex<Vec<Taken>>,
}

struct Taken {
    id: u64,
    activity: Arc<Activity>,
    /// Set once its task runs.
    task: Option<AbortHandle>,
}

/// One place; it is free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().retain(|taken| taken.id != self.id);
    }
}

impl Places {
    pub(super) fn new(places_max: usize, evicts: Evicts) -> Arc<Places> {
        Arc::new(Places {
            places_max,
            evicts,
            taken: Mutex::default(),
        })
    }

    /// A place for a new connection. Where none is free, another connection ends for it; `None` if none may.
    pub(super) fn take(
        self: &Arc<Self>,
        stream: TcpStream,
        id: u64,
    ) -> Option<(Connection, Place)> {
        let activity = Arc::new(Activity {
            state: AtomicU8::new(SILENT),
            since_ms: AtomicU64::new(now_ms()),
            is_shaking_hands: AtomicBool::new(false),
            is_verified: AtomicBool::new(false),
            answered: AtomicU32::new(0),
        });
        let mut taken = self.taken.lock();
        if taken.len() >= self.places_max && !evict(&mut taken, self.evicts) {
            return None;
        }
        taken.push(Taken {
            id,
            activity: Arc::clone(&activity),
            task: None,
        });
        drop(taken);
        let place = Place {
            places: Arc::clone(self),
            id,
        };
        Some((
            Connection {
                stream,
                activity,
                reads: FairReads::default(),
            },
            place,
        ))
    }

    /// Ends the connection that has least reason to be there, where the process has no descriptor for another. `false`: none may
    /// end.
    pub(super) fn make_room(&self) -> bool {
        evict(&mut self.taken.lock(), self.evicts)
    }

    /// The task that serves the connection, which ends with it.
    pub(super) fn served_by(&self, id: u64, task: AbortHandle) {
        let mut taken = self.taken.lock();
        match taken.iter_mut().find(|taken| taken.id == id) {
            Some(taken) => taken.task = Some(task),
            // It ended already, or had to make room.
            None => task.abort(),
        }
    }
}

/// Ends a connection for another. `false`: none may end.
fn evict(taken: &mut Vec<Taken>, evicts: Evicts) -> bool {
    let Some(at) = least_needed(taken, evicts, now_ms()) else {
        return false;
    };
    if let Some(task) = taken.swap_remove(at).task {
        task.abort();
    }
    true
}

/// The connection that is to end for another.
fn least_needed(taken: &[Taken], evicts: Evicts, now_ms: u64) -> Option<usize> {
    let rank = |taken: &Taken| {
        let activity = &taken.activity;
        let since_ms = activity.since_ms.load(Ordering::Relaxed);
        let for_ms = now_ms.saturating_sub(since_ms);
        let answered = activity.answered.load(Ordering::Relaxed);
        let is_new = answered == 0 && for_ms <= NEW_MS_MAX;
        let answered = if is_new { 2 } else { answered.min(2) };
        let class = match (activity.state.load(Ordering::Relaxed), evicts) {
            (SILENT, Evicts::Silent) => 0,
            (SILENT | BUSY, Evicts::Idle) if is_new => 2,
            (SILENT, Evicts::Idle) if for_ms > BUSY_MS_MAX => 0,
            // Beside those that have sent half a request, the oldest first: a new one is not pushed out by older halves.
            (SILENT, Evicts::Idle) => 1,
            (IDLE, Evicts::Idle) if for_ms > IDLE_MS_MAX => 0,
            (BUSY, Evicts::Idle) if answered == 0 || for_ms > BUSY_MS_MAX => 1,
            (IDLE, Evicts::Idle) => 2,
            _ => return None,
        };
        let is_verified = activity.is_verified.load(Ordering::Relaxed);
        // Who comes again has more reason to be there than who came once.
        Some((is_verified, class, answered, since_ms))
    };
    let ranked = taken.iter().enumerate();
    let ranked = ranked.filter_map(|(at, taken)| Some((rank(taken)?, at)));
    ranked.min().map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(state: u8, since_ms: u64, is_verified: bool) -> Taken {
        Taken {
            id: 0,
            activity: Arc::new(Activity {
                state: AtomicU8::new(state),
                since_ms: AtomicU64::new(since_ms),
                is_shaking_hands: AtomicBool::new(false),
                is_verified: AtomicBool::new(is_verified),
                answered: AtomicU32::new(u32::from(state == IDLE)),
            }),
            task: None,
        }
    }

    fn answered_before(taken: Taken) -> Taken {
        taken.activity.answered.fetch_add(1, Ordering::Relaxed);
        taken
    }

    #[test]
    fn a_handshake_is_no_request_that_was_answered() {
        let one = taken(SILENT, 0, false);
        for state in [BUSY, IDLE, BUSY, IDLE] {
            one.activity.is(state);
        }
        assert_eq!(one.activity.answered.load(Ordering::Relaxed), 2);
        one.activity.restart();
        assert_eq!(one.activity.answered.load(Ordering::Relaxed), 0);
        // What a server writes of itself then, as HTTP/2's settings, is no answer either.
        one.activity.is(IDLE);
        assert_eq!(one.activity.state.load(Ordering::Relaxed), SILENT);
    }

    /// Clients that asked once a second and stayed ended a tenth of all new connections before their first answer.
    #[test]
    fn whoever_has_just_connected_is_answered_before_he_goes() {
        let now_ms = 100_000;
        let all = [
            taken(SILENT, now_ms - 3, false),
            answered_before(taken(IDLE, now_ms - 900, false)),
            taken(BUSY, now_ms - 20, false),
            answered_before(taken(IDLE, now_ms - 100, false)),
        ];
        assert_eq!(least_needed(&all, Evicts::Idle, now_ms), Some(1));
        // ... and a little later before all of them.
        assert_eq!(least_needed(&all, Evicts::Idle, now_ms + 60), Some(2));
    }

    /// Half handshakes, which were answered, pushed out whoever had just connected.
    #[test]
    fn the_oldest_half_handshake_goes_first_and_not_the_newest_connection() {
        let now_ms = 100_000;
        let half = |since_ms| {
            let one = taken(SILENT, since_ms, false);
            one.activity.is_shaking_hands.store(true, Ordering::Relaxed);
            for state in [BUSY, IDLE] {
                one.activity.is(state);
            }
            one
        };
        let all = [
            taken(SILENT, 99_999, false),
            half(99_500),
            half(99_100),
            taken(BUSY, 99_800, false), // half a request after its handshake
            half(99_900),
        ];
        assert_eq!(least_needed(&all, Evicts::Idle, now_ms), Some(2));
        let long_ago = [half(99_000), half(90_000), taken(SILENT, 95_000, false)];
        assert_eq!(least_needed(&long_ago, Evicts::Idle, now_ms), Some(1));
    }

    #[test]
    fn who_is_needed_least_makes_room() {
        let now_ms = 100_000;
        // From who is needed least to who is needed most.
        let order = || {
            [
                taken(SILENT, 70_000, false), // never sent anything
                taken(IDLE, 10_000, false),   // for 90 s
                taken(BUSY, 99_900, false),   // half a first request
                answered_before(taken(BUSY, 20_000, false)),
                taken(IDLE, 61_000, false),                  // came once
                answered_before(taken(IDLE, 60_000, false)), // an HPA between two reads
                taken(IDLE, 50_000, true),
                answered_before(taken(BUSY, 99_000, false)), // being answered
            ]
        };
        for least in 0..7 {
            let mut left: Vec<Taken> = order().into_iter().skip(least).collect();
            left.reverse();
            let last = left.len() - 1;
            assert_eq!(least_needed(&left, Evicts::Idle, now_ms), Some(last));
        }
        assert_eq!(least_needed(&order()[7..], Evicts::Idle, now_ms), None);
        assert_eq!(least_needed(&order(), Evicts::Silent, now_ms), Some(0));
    }
}
