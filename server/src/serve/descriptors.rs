//! How many connections each listener may have where a process may have few file descriptors.
//!
//! Scrapes, files and calls to the API server need descriptors too. Where connections took them all, nothing could be scraped,
//! and new connections, those of scalers among them, waited for a descriptor that nobody gave back.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http_client::LOOKUPS_MAX;

/// Descriptors for everything but connections of clients: this many, or this part of all.
const OTHERS_MIN: u64 = 64;
const OTHERS_PART: u64 = 4;

/// A look-up of a name asks for its addresses of both kinds, and for each may ask two name servers.
const LOOKUP_DESCRIPTORS: u64 = 4;

/// The part of the rest that one listener may have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Share {
    /// The plain listener, or the secure one.
    Web,
    /// KEDA's port: its clients keep their connections.
    Keda,
}

/// A descriptor for every connection: the soft limit of 1,024 that shells and containers start with is for programs that
/// use `select`. Where it cannot be raised, there are fewer connections.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current < limit.maximum || limit.maximum.is_none() {
        setrlimit(Resource::Nofile, raised).ok();
    }
}

/// How many connections a listener may have: `wanted`, where the limit of descriptors allows it.
pub(super) fn connections(wanted: usize, share: Share) -> usize {
    within(wanted, share, getrlimit(Resource::Nofile).current)
}

/// How many names may be looked up at a time: a quarter of what is for others than connections.
pub fn lookups() -> usize {
    lookups_within(getrlimit(Resource::Nofile).current)
}

fn lookups_within(descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else {
        return LOOKUPS_MAX;
    };
    let most = others(descriptors) / OTHERS_PART / LOOKUP_DESCRIPTORS;
    LOOKUPS_MAX.min(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Descriptors for everything but connections.
fn others(descriptors: u64) -> u64 {
    OTHERS_MIN.max(descriptors / OTHERS_PART)
}

fn within(wanted: usize, share: Share, descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else {
        return wanted; // there is no limit
    };
    let rest = descriptors.saturating_sub(others(descriptors));
    let most = match share {
        Share::Web => rest / 4,
        Share::Keda => rest / 2,
    };
    wanted.min(usize::try_from(most.max(1)).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_listeners_together_leave_descriptors_for_others() {
        for descriptors in [64, 256, 1_024, 4_096, 65_536, 1 << 20] {
            let of = |wanted, share| within(wanted, share, Some(descriptors)) as u64;
            let all = 2 * of(512, Share::Web) + of(10_240, Share::Keda);
            assert!(all + OTHERS_MIN <= descriptors + 3, "{descriptors}: {all}");
        }
        for (descriptors, lookups) in [(64, 4), (1_024, 16), (65_536, 64)] {
            assert_eq!(lookups_within(Some(descriptors)), lookups, "{descriptors}");
        }
        assert_eq!(within(512, Share::Web, Some(256)), 48);
        assert_eq!(within(512, Share::Web, Some(1 << 20)), 512);
        assert_eq!(within(10_240, Share::Keda, None), 10_240);
    }
}
