//! What of a large page was done before its commit: its series exist without a sample.

use super::page::Metadata;
use crate::ids::SeriesId;
use crate::metadata::FamilyMetadata;

/// Series that exist without a sample, for the new lines of a page that is not committed yet.
#[derive(Default)]
pub(crate) struct Added {
    /// New lines, counted from the first, that were looked at.
    pub(crate) lines: usize,
    /// One entry for each sample among them, in page order.
    pub(crate) samples: Vec<AddedSample>,
    /// What was reserved for the page beside series.
    pub(crate) beside_series_bytes: usize,
}

/// The sample of a new line, in as few bytes as possible: the commit walks over all of them.
#[derive(Clone, Copy)]
pub(crate) struct AddedSample {
    series: u32,
    /// Its place among the new lines, and [`OWN_TIME`].
    line: u32,
    pub(crate) bits: u64,
}

/// No series was added: it existed before, or the sample has none, is left out, or needs more than a value.
const NOT_ADDED: u32 = u32::MAX;
/// The sample has a timestamp of its own. A page has fewer lines than that (`Limits::page_lines_max`).
const OWN_TIME: u32 = 1 << 31;

impl AddedSample {
    pub(crate) fn new(
        series: Option<SeriesId>,
        line: usize,
        bits: u64,
        has_own_time: bool,
    ) -> AddedSample {
        AddedSample {
            series: series.map_or(NOT_ADDED, |id| id.0),
            line: line as u32 | if has_own_time { OWN_TIME } else { 0 },
            bits,
        }
    }

    /// Its place among the new lines.
    pub(crate) fn line(self) -> u32 {
        self.line & !OWN_TIME
    }

    /// Whether it has a timestamp of its own.
    #[inline]
    pub(crate) fn has_own_time(self) -> bool {
        self.line & OWN_TIME != 0
    }

    /// The series that was added for it.
    #[inline]
    pub(crate) fn series(self) -> Option<SeriesId> {
        (self.series != NOT_ADDED).then_some(SeriesId(self.series))
    }
}

impl Metadata {
    /// Replaces what is known of the family: `change` is told which one, and how.
    pub(crate) fn write_to(&self, change: impl FnOnce(&str, &dyn Fn(&mut FamilyMetadata))) {
        match self {
            Metadata::Help(family, help) => change(family, &|of| of.help.clone_from(help)),
            Metadata::Type(family, of_type) => change(family, &|of| of.family_type = *of_type),
            Metadata::Unit(family, unit) => change(family, &|of| of.unit.clone_from(unit)),
        }
    }
}
