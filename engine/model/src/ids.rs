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
/// because a failed scrape ends the first and feeds the second. The number says whose: `2 * target` is the page's,
/// `2 * target + 1` the report's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockId(pub u32);

impl ClockId {
    /// For series that carry their own timestamps: their ticks are milliseconds.
    pub const EXPLICIT: ClockId = ClockId(u32::MAX);
    /// For rows that hold no series.
    pub const NONE: ClockId = ClockId(u32::MAX - 1);

    /// The clock of the target's pages.
    #[inline]
    pub const fn page_of(target: TargetId) -> ClockId {
        ClockId(target.0 * 2)
    }

    /// The clock of the series about the target's scrapes.
    #[inline]
    pub const fn report_of(target: TargetId) -> ClockId {
        ClockId(target.0 * 2 + 1)
    }

    /// The target whose scrapes it lists; `None` for [`ClockId::EXPLICIT`] and [`ClockId::NONE`], which list none.
    #[inline]
    pub fn target(self) -> Option<TargetId> {
        let is_of_target = self != ClockId::EXPLICIT && self != ClockId::NONE;
        is_of_target.then_some(TargetId(self.0 / 2))
    }

    /// Whether it is the clock of a target's series about scrapes (`up`, ...), which go on while scrapes fail.
    #[inline]
    pub fn is_report(self) -> bool {
        self.target().is_some() && self.0 % 2 == 1
    }

    /// As an index into columns by clock.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_knows_its_target_and_whether_it_is_the_reports() {
        for target in [0, 1, 70_000].map(TargetId) {
            let (page, report) = (ClockId::page_of(target), ClockId::report_of(target));
            assert_eq!([page, report].map(ClockId::target), [Some(target); 2]);
            assert_eq!([page, report].map(ClockId::is_report), [false, true]);
        }
        for clock in [ClockId::EXPLICIT, ClockId::NONE] {
            assert_eq!((clock.target(), clock.is_report()), (None, false));
        }
    }
}
