//! Where samples of new lines go.

use crate::ids::SeriesId;

/// What the store did with the sample of a new line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    Series(SeriesId),
    /// The sample has an explicit timestamp or is a native histogram; it is passed on at every scrape.
    Own(SeriesId),
    Dropped,
    /// An earlier line of the page has this series.
    Duplicate {
        of: SeriesId,
        /// ... with another value.
        differs: bool,
    },
    Conflict,
}
