//! Small numbers that stand for things.

/// A series in the store. Ids are handed out in the order in which pages list their series, so that columns stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub(crate) u32);

impl SeriesId {
    /// As an index into columns by series.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A scraped target (or another source of samples with one clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub(crate) u32);

impl TargetId {
    /// As an index into columns by target.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One list of scrape times that many series share. Each target has two: its page's and its report's (`up`, ...),
/// because a failed scrape ends the first and feeds the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClockId(pub(crate) u32);

impl ClockId {
    /// For series that carry their own timestamps: their ticks are milliseconds.
    pub(crate) const OWN: ClockId = ClockId(u32::MAX);
    /// For rows that hold no series.
    pub(crate) const NONE: ClockId = ClockId(u32::MAX - 1);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// An interned string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Symbol(pub(crate) u32);
