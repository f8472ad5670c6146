//! Calls under way on KEDA's port, streams among them: of all connections together, and by the address of their client.
//!
//! Anybody who reaches the port may open a stream, and one takes some 7 kB here and in HTTP/2. Nobody is refused while there is
//! room. Where there is none, the newest call of the address that has most ends for an address that has fewer: a stranger who
//! opens all that he can leaves KEDA as many as he keeps, whoever came first. A call that was ended holds what it takes until its
//! client has read that: until then it counts for its address, and a client that does not read it loses its connection.

mod answer;
mod incomplete;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use stillwell_adapters::ClientAddress;
use tokio::sync::Notify;

pub(super) use answer::{Answer, answered, deadline, too_many};

/// Calls at a time: 280 MB at most. KEDA's are as many as there are ScaledObjects.
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
/// A call that was ended, and of which that is not read within this, ends the connection: it takes its memory as long.
const UNREAD_MAX: Duration = Duration::from_secs(5);

/// All of them. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    open: usize,
    /// Only those that hold something.
    peers: HashMap<ClientAddress, Held>,
    incomplete: usize,
    /// The number of the next call.
    next: u64,
}

#[derive(Default)]
struct Held {
    connections: usize,
    incomplete: usize,
    /// Those that have not ended for others.
    calls: BTreeMap<u64, Arc<Ending>>,
    /// Those that have, and whose clients have not read that.
    ended: usize,
}

/// Tells a call that it ends for others.
struct Ending {
    has_come: AtomicBool,
    waker: AtomicWaker,
    /// Of its connection.
    unread: Arc<Unread>,
}

/// Calls of a connection that were ended, until their client has read that.
#[derive(Default)]
struct Unread {
    calls: Mutex<BTreeSet<u64>>,
    /// There are some.
    some: Notify,
}

/// A connection's client, for as long as the connection lives.
pub(super) struct Peer {
    calls: Calls,
    pub(super) address: ClientAddress,
    /// Streams that it may have at a time.
    pub(super) streams_max: u32,
    incomplete: AtomicUsize,
    unread: Arc<Unread>,
}

/// One call, for as long as it is under way.
pub(super) struct Call {
    of: Arc<Peer>,
    number: u64,
    ending: Arc<Ending>,
}

impl Calls {
    /// A connection from an address; one that is not known counts with the others of which it is not.
    pub(super) fn connected(&self, address: Option<ClientAddress>) -> Arc<Peer> {
        let address = address.unwrap_or(ClientAddress::UNKNOWN);
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
            incomplete: AtomicUsize::new(0),
            unread: Arc::default(),
        })
    }
}

impl Peer {
    /// A call more; `None`: there are too many.
    pub(super) fn call(self: &Arc<Peer>) -> Option<Call> {
        let state = &mut *self.calls.0.lock();
        let held = state.peers.get(&self.address);
        let own = held.map_or(0, Held::holds);
        if own >= CALLS_MAX || state.open >= CALLS_MAX && !state.make_room(own) {
            return None;
        }
        let ending = Arc::new(Ending {
            has_come: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            unread: Arc::clone(&self.unread),
        });
        let number = state.next;
        state.next += 1;
        state.open += 1;
        state.change(self.address, |held| {
            held.calls.insert(number, Arc::clone(&ending));
        });
        Some(Call {
            of: Arc::clone(self),
            number,
            ending,
        })
    }

    /// Until a call of the connection was ended, and its client has not read that for long.
    pub(super) async fn does_not_read(&self) {
        loop {
            let oldest = self.unread.calls.lock().first().copied();
            let Some(oldest) = oldest else {
                self.unread.some.notified().await;
                continue;
            };
            tokio::time::sleep(UNREAD_MAX).await;
            if self.unread.calls.lock().contains(&oldest) {
                return;
            }
        }
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
        let mut state = self.of.calls.0.lock();
        state.remove(self.of.address, self.number);
        drop(state);
        self.of.unread.calls.lock().remove(&self.number);
    }
}

impl State {
    fn change(&mut self, address: ClientAddress, change: impl FnOnce(&mut Held)) {
        let held = self.peers.entry(address).or_default();
        change(held);
        if held.connections == 0 && held.holds() == 0 {
            self.peers.remove(&address);
        }
    }

    /// Counts a call no longer.
    fn remove(&mut self, address: ClientAddress, number: u64) {
        let mut is_open = true;
        self.change(address, |held| {
            is_open = held.calls.remove(&number).is_some();
            held.ended -= usize::from(!is_open);
        });
        self.open -= usize::from(is_open);
    }

    /// Ends a call of whoever has most, for an address that would still have fewer. False: there is none.
    fn make_room(&mut self, own: usize) -> bool {
        let peers = self.peers.iter();
        let most = peers.max_by_key(|(address, held)| (held.calls.len(), **address));
        let Some((&address, held)) = most.filter(|(_, held)| held.calls.len() > own + 1) else {
            return false;
        };
        let Some((&number, ending)) = held.calls.last_key_value() else {
            return false;
        };
        ending.come(number);
        self.open -= 1;
        self.change(address, |held| {
            held.calls.remove(&number);
            held.ended += 1;
        });
        true
    }
}

impl Held {
    /// Calls that take memory.
    fn holds(&self) -> usize {
        self.calls.len() + self.ended
    }
}

impl Ending {
    /// The call of this number ends.
    fn come(&self, number: u64) {
        self.unread.calls.lock().insert(number);
        self.unread.some.notify_one();
        self.has_come.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        match self.has_come.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn address(last: u8) -> Option<ClientAddress> {
        Some(ClientAddress::of([10, 0, 0, last], None))
    }

    fn open_all(peer: &Arc<Peer>) -> Vec<Call> {
        std::iter::from_fn(|| peer.call()).collect()
    }

    fn open(peer: &Arc<Peer>, count: usize) -> Vec<Call> {
        let opened: Vec<Call> = (0..count).map_while(|_| peer.call()).collect();
        assert_eq!(opened.len(), count);
        opened
    }

    /// KEDA with a third was refused the next beside a stranger with a third, and found half beside one who came first.
    #[test]
    fn whoever_has_most_calls_gives_way_until_others_have_as_many() {
        let calls = Calls::default();
        let [keda, stranger, third] = [1, 2, 3].map(|last| calls.connected(address(last)));
        let third_part = CALLS_MAX / 3;
        let mut of_keda = open(&keda, third_part);
        let of_stranger = open_all(&stranger);
        assert_eq!(of_stranger.len(), CALLS_MAX - third_part);
        of_keda.extend(open(&keda, CALLS_MAX / 2 - third_part));
        let ended = |calls: &[Call]| {
            let has_ended = |call: &&Call| call.ending.has_come.load(Ordering::Relaxed);
            calls.iter().filter(has_ended).count()
        };
        assert_eq!(ended(&of_stranger), CALLS_MAX / 2 - third_part);
        assert_eq!(ended(&of_stranger[..CALLS_MAX / 2]), 0, "the newest end");
        let again = calls.connected(address(2));
        assert_eq!(again.streams_max, FURTHER_STREAMS_MAX);
        for peer in [&keda, &stranger, &again] {
            assert!(peer.call().is_none(), "both have half");
        }
        let of_third = open(&third, 100);
        assert_eq!(ended(&of_keda) + ended(&of_stranger[..CALLS_MAX / 2]), 100);
        assert_eq!(calls.0.lock().open, CALLS_MAX);
        drop((of_keda, of_stranger, of_third));
        drop((keda, stranger, third, again));
        let state = calls.0.lock();
        assert_eq!((state.open, state.peers.len()), (0, 0));
    }

    /// Two addresses that read nothing had 40,000 ended ones beside those that counted, and KEDA's streams were refused.
    #[tokio::test(start_paused = true)]
    async fn what_was_ended_counts_until_its_client_has_read_that_which_it_has_to() {
        let calls = Calls::default();
        let [one, other] = [1, 2].map(|last| calls.connected(address(last)));
        let of_one = open_all(&one);
        let of_other = open_all(&other);
        assert_eq!((of_one.len(), of_other.len()), (CALLS_MAX, CALLS_MAX / 2));
        let began = tokio::time::Instant::now();
        drop(of_other);
        assert!(
            one.call().is_none(),
            "it still holds as many as there may be"
        );
        one.does_not_read().await;
        assert_eq!(began.elapsed(), UNREAD_MAX);
        drop(of_one);
        let silent = tokio::time::timeout(10 * UNREAD_MAX, one.does_not_read()).await;
        assert!(silent.is_err(), "all of it was read");
        assert_eq!(calls.0.lock().open, 0);
        assert!(one.call().is_some());
    }
}
