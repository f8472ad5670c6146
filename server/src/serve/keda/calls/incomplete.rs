//! Requests whose message does not come with their headers, as KEDA's do: what has come of one takes 6 kB until the rest comes.

use std::sync::atomic::Ordering;

use super::Peer;

/// Of all connections together, ...
const INCOMPLETE_MAX: usize = 1_024;
/// ... of one address, so that others' find room, ...
const INCOMPLETE_PER_ADDRESS_MAX: usize = 128;
/// ... and of one connection.
const INCOMPLETE_PER_CONNECTION_MAX: usize = 64;

/// A request of which the message has not come.
pub(in crate::serve::keda) struct Incomplete<'p>(&'p Peer);

impl Peer {
    /// A request more of which the message has not come; `None`: there are too many.
    pub(in crate::serve::keda) fn incomplete(&self) -> Option<Incomplete<'_>> {
        let state = &mut *self.calls.0.lock();
        let held = state.peers.get_mut(&self.address)?; // it has a connection
        let of_connection = self.incomplete.load(Ordering::Relaxed);
        if state.incomplete >= INCOMPLETE_MAX
            || held.incomplete >= INCOMPLETE_PER_ADDRESS_MAX
            || of_connection >= INCOMPLETE_PER_CONNECTION_MAX
        {
            return None;
        }
        state.incomplete += 1;
        held.incomplete += 1;
        self.incomplete.store(of_connection + 1, Ordering::Relaxed);
        Some(Incomplete(self))
    }
}

impl Drop for Incomplete<'_> {
    fn drop(&mut self) {
        let Incomplete(peer) = self;
        let state = &mut *peer.calls.0.lock();
        state.incomplete -= 1;
        peer.incomplete.fetch_sub(1, Ordering::Relaxed);
        state.change(peer.address, |held| held.incomplete -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Calls;
    use super::super::tests::address;
    use super::*;

    /// A stranger with 16 connections of half requests had KEDA's refused where their message came after their headers.
    #[test]
    fn half_requests_of_one_address_leave_room_for_others() {
        let calls = Calls::default();
        let [first, second, third, other] = [1, 1, 1, 2].map(|last| calls.connected(address(last)));
        let held: Vec<Incomplete<'_>> = std::iter::from_fn(|| first.incomplete()).collect();
        assert_eq!(held.len(), INCOMPLETE_PER_CONNECTION_MAX);
        let more: Vec<Incomplete<'_>> = std::iter::from_fn(|| second.incomplete()).collect();
        assert_eq!(
            held.len() + more.len(),
            INCOMPLETE_PER_ADDRESS_MAX,
            "of two connections"
        );
        assert!(third.incomplete().is_none());
        assert!(other.incomplete().is_some());
        drop((held, more));
        assert_eq!(calls.0.lock().incomplete, 0);
        assert!(third.incomplete().is_some());
    }
}
