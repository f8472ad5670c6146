//! What may change about the process of a target.

/// What changed about the process of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Restarted,
    LeftDiscovery,
    LeadershipMoved,
    /// Its page goes on without series that it had.
    SeriesLeft {
        /// Metrics that signals read.
        metrics: Vec<Box<str>>,
        /// Series of some name the sources that they are of.
        of_sources: bool,
        /// Counters are gone whose page does not say when its process started.
        counters: bool,
    },
    /// It could not be reached, and neither a start time nor a counter of its page says whether its process is the one before.
    MayHaveRestarted,
    /// It speaks for several processes, of which one may have restarted: some of its counters fell and others rose, or one of
    /// several start times is another.
    OneOfSeveral {
        /// Which pools and labels there are is learned anew: it is known by the start times, or the page names pools.
        learns: bool,
    },
}

/// How the counters of a page moved, of those that were above 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CounterMoves {
    pub(crate) fell: bool,
    pub(crate) rose: bool,
}
