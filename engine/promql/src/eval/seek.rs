//! Walking along ascending sample times with ascending bounds, as steps and their windows do.

/// A place in a list of times: everything before it is no later than the last bound asked for.
///
/// Samples mostly come at even intervals, so each step moves about as far as the one before it: that place is tried first,
/// and what it is off by is walked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seek {
    at: usize,
    stride: usize,
}

impl Seek {
    /// The index of the first time that is later than `bound_ms`. Bounds ascend from call to call, over the same times.
    #[inline]
    pub(crate) fn past(&mut self, times: &[i64], bound_ms: i64) -> usize {
        let from = self.at;
        let mut at = (from + self.stride).min(times.len());
        while at > from && times[at - 1] > bound_ms {
            at -= 1;
        }
        while at < times.len() && times[at] <= bound_ms {
            at += 1;
        }
        (self.at, self.stride) = (at, at - from);
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_search_finds(
            mut times in prop::collection::vec(0i64..500, 0..60), mut bounds in prop::collection::vec(-5i64..510, 0..60)
        ) {
            times.sort_unstable();
            times.dedup();
            bounds.sort_unstable();
            let mut seek = Seek::default();
            for bound_ms in bounds {
                let want = times.partition_point(|time| *time <= bound_ms);
                prop_assert_eq!(seek.past(&times, bound_ms), want);
            }
        }
    }
}
