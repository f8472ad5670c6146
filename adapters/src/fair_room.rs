//! Room that those who wait for it get by where they are: whoever holds least is next, then whoever was not given any for longest.
//! An address that asks from hundreds of connections has others wait until one of those is done, and not all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::client::ClientAddress;

/// Addresses of which it is known when they were given some last.
const GIVEN_MAX: usize = 1_024;

/// Room for so many units. Clones share it.
#[derive(Clone)]
pub(crate) struct FairRoom(Arc<Mutex<State>>);

struct State {
    free: usize,
    /// Units that an address holds; only of those that hold some.
    held: HashMap<Option<ClientAddress>, usize>,
    /// When addresses were given some last, by number, since all of it was free.
    given: HashMap<Option<ClientAddress>, u64>,
    count: u64,
    /// In the order of their coming: as many as there are connections.
    waiting: Vec<Waiter>,
}

struct Waiter {
    address: Option<ClientAddress>,
    units: usize,
    tell: oneshot::Sender<RoomPermit>,
}

/// What somebody holds, until it is dropped.
pub(crate) struct RoomPermit {
    room: FairRoom,
    address: Option<ClientAddress>,
    units: usize,
}

impl FairRoom {
    pub(crate) fn new(units: usize) -> FairRoom {
        FairRoom(Arc::new(Mutex::new(State {
            free: units,
            held: HashMap::new(),
            given: HashMap::new(),
            count: 0,
            waiting: Vec::new(),
        })))
    }

    /// Waits for so many units, which are no more than the whole.
    pub(crate) async fn take(
        &self,
        address: Option<ClientAddress>,
        units: usize,
    ) -> Option<RoomPermit> {
        let (tell, told) = oneshot::channel();
        self.change(|state| {
            state.waiting.push(Waiter {
                address,
                units,
                tell,
            });
        });
        told.await.ok() // it is told, or waits
    }

    /// Whether anybody waits.
    pub(crate) fn is_awaited(&self) -> bool {
        let state = self.0.lock();
        state.waiting.iter().any(|waiter| !waiter.tell.is_closed())
    }

    /// Changes something, and gives room to whoever is next as long as there is any.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        change(&mut state);
        let mut next = Vec::new();
        while let Some(waiter) = state.next() {
            next.push(waiter);
        }
        drop(state);
        for Waiter {
            address,
            units,
            tell,
        } in next
        {
            let permit = RoomPermit {
                room: self.clone(),
                address,
                units,
            };
            // Not under the lock: whoever has gone meanwhile gives it back here.
            drop(tell.send(permit));
        }
    }
}

impl State {
    /// Who is next, if there is room for him; it is his then.
    fn next(&mut self) -> Option<Waiter> {
        self.waiting.retain(|waiter| !waiter.tell.is_closed());
        match self.waiting.is_empty() && self.held.is_empty() {
            true => self.given.clear(),
            false if self.given.len() <= GIVEN_MAX => {}
            false => self
                .given
                .retain(|address, _| self.held.contains_key(address)),
        }
        let rank = |waiter: &Waiter| {
            let held = self.held.get(&waiter.address).copied();
            let given = self.given.get(&waiter.address).copied();
            (held.unwrap_or(0), given.unwrap_or(0))
        };
        let waiting = self.waiting.iter().enumerate();
        let (at, next) = waiting.min_by_key(|(at, waiter)| (rank(waiter), *at))?;
        if next.units > self.free {
            return None; // nobody is passed over because he needs more
        }
        let next = self.waiting.remove(at);
        self.free -= next.units;
        *self.held.entry(next.address).or_default() += next.units;
        self.count += 1;
        self.given.insert(next.address, self.count);
        Some(next)
    }
}

impl Drop for RoomPermit {
    fn drop(&mut self) {
        let (address, units) = (self.address, self.units);
        self.room.change(|state| {
            state.free += units;
            if let Some(held) = state.held.get_mut(&address) {
                *held -= units;
                if *held == 0 {
                    state.held.remove(&address);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::LazyLock;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Taking<'r> = Pin<Box<dyn Future<Output = Option<RoomPermit>> + 'r>>;

    static STRANGER: LazyLock<ClientAddress> =
        LazyLock::new(|| ClientAddress::of([10, 0, 0, 1], None));
    static SENDER: LazyLock<ClientAddress> =
        LazyLock::new(|| ClientAddress::of([10, 0, 0, 2], None));

    /// What it has been given by now.
    fn given(taking: &mut Taking<'_>) -> Option<RoomPermit> {
        match taking
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(permit) => permit,
            Poll::Pending => None,
        }
    }

    #[test]
    fn whoever_holds_least_is_next_and_nobody_is_passed_over_who_needs_more() {
        let room = FairRoom::new(4);
        let take = |address, units| -> Taking<'_> { Box::pin(room.take(address, units)) };
        let held = (0..4).map(|_| given(&mut take(Some(*STRANGER), 1)).expect("free"));
        let mut held = held.collect::<Vec<_>>().into_iter();
        let mut of_stranger: Vec<_> = (0..300).map(|_| take(Some(*STRANGER), 1)).collect();
        assert!(of_stranger.iter_mut().all(|one| given(one).is_none()));
        let (mut large, mut small) = (take(Some(*SENDER), 2), take(Some(*SENDER), 1));
        assert!(given(&mut large).is_none() && given(&mut small).is_none());
        drop(held.next());
        assert!(given(&mut large).is_none(), "one is not enough");
        assert!(given(&mut small).is_none(), "it came later");
        drop(held.next());
        let of_sender = given(&mut large).expect("two are free");
        drop(held.next());
        assert!(
            given(&mut small).is_none(),
            "the stranger holds one, the sender two"
        );
        drop(of_sender);
        assert!(given(&mut small).is_some());
        assert!(room.is_awaited());
        drop((of_stranger, held));
        assert!(!room.is_awaited());
        let all = given(&mut take(Some(*SENDER), 4));
        assert!(all.is_some(), "whoever went gave back what he was given");
        drop(all);
        let state = room.0.lock();
        assert_eq!((state.free, state.held.len(), state.given.len()), (4, 0, 0));
    }

    #[test]
    fn room_for_one_is_given_to_each_address_in_turn() {
        let room = FairRoom::new(1);
        let take = |address| -> Taking<'_> { Box::pin(room.take(address, 1)) };
        let mut of_stranger: Vec<_> = (0..300).map(|_| take(Some(*STRANGER))).collect();
        let first = given(&mut of_stranger[0]).expect("free");
        assert!(given(&mut of_stranger[1]).is_none());
        let mut of_sender = take(Some(*SENDER));
        assert!(given(&mut of_sender).is_none());
        drop(first);
        assert!(
            given(&mut of_stranger[1]).is_none(),
            "it was given some last"
        );
        assert!(given(&mut of_sender).is_some());
    }
}
