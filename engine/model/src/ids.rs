//! Ids: small integers by which a store names series, targets and clocks.
//!
//! An id means something only to the engine that handed it out, and only as long as what it names is held.

/// A series in the store. Ids are handed out in the order in which pages list their series, so that columns stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

impl SeriesId {
    /// As an index into columns by series.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A scraped target (or another source of samples with one clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u32);

impl TargetId {
    /// As an index into columns by target.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One list of scrape times that many series share. Each target has two: its page's and its report's (`up`, ...),
/// because a failed scrape ends the first and feeds the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockId(pub u32);

impl ClockId {
    /// For series that carry their own timestamps: their ticks are milliseconds.
    pub const EXPLICIT: ClockId = ClockId(u32::MAX);
    /// For rows that hold no series.
    pub const NONE: ClockId = ClockId(u32::MAX - 1);

    /// As an index into columns by clock.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
