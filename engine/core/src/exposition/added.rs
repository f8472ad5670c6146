//! What of a large page can be done before its commit: its series exist without a sample, and what they tell is gathered.

use std::collections::BTreeMap;

use super::page::Metadata;
use super::stage::{Placement, Staged};
use crate::ids::SeriesId;
use crate::metadata::FamilyMetadata;
use crate::signal::{Gatherer, PageFacts, RememberedLabels};

/// Type, help and unit of families by their names.
pub(crate) type Families = BTreeMap<Box<str>, FamilyMetadata>;

/// Series that exist without a sample, for the new lines of a page that is not committed yet.
#[derive(Default)]
pub(crate) struct Added {
    /// New lines, counted from the first, that were looked at.
    pub(crate) lines: usize,
    /// One entry for each sample among them, in page order.
    pub(crate) samples: Vec<AddedSample>,
    /// Labels whose values signals remember.
    pub(crate) remembered: RememberedLabels,
    /// Once every line was looked at.
    pub(crate) gathered: Option<Gathered>,
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

/// What was prepared for the commit.
pub(crate) struct Gathered {
    /// What the added series tell, and those that are looked at.
    pub(crate) page_facts: PageFacts,
    /// One for each sample: its series, where one was added.
    pub(crate) placements: Vec<Placement>,
    /// What the page says of families, for a target of which nothing is known.
    pub(crate) families: Families,
}

impl Staged<'_> {
    /// The samples of the new lines for which series were added, and how many lines those are.
    pub(crate) fn added_samples(&self) -> (&[AddedSample], usize) {
        match &self.added {
            // Compared anew, the new lines are others.
            Some(added) if !added.samples.is_empty() => (&added.samples, added.lines),
            _ => (&[], 0),
        }
    }

    /// What was gathered, or is gathered now; `None` where no series were added.
    pub(crate) fn take_gathered(&mut self) -> Option<Gathered> {
        if self.added_samples().0.is_empty() {
            return None;
        }
        if self.added.as_ref()?.gathered.is_none() {
            self.gather();
        }
        self.added.as_mut()?.gathered.take()
    }

    /// Gathers what the commit would otherwise find out line by line, after the series of all lines were added
    /// ([`crate::Writer::add_series`]). Takes some 0.1 us for each, and needs no writer.
    pub fn gather(&mut self) {
        let Some(mut added) = self.added.take() else {
            return;
        };
        let page = self.page();
        let mut gatherer = Gatherer::new(&added.remembered, self.stage.spec());
        for sample in &added.samples {
            if let (Some(id), Some(labels)) = (sample.series(), self.new_labels(sample.line())) {
                gatherer.store(id, labels);
            }
        }
        for labels in &page.learned {
            gatherer.look_at(labels);
        }
        let page_facts = gatherer.finish();
        let place = |sample: &AddedSample| match sample.series() {
            Some(id) if sample.has_own_time() => Placement::Own(id),
            Some(id) => Placement::Series(id),
            None => Placement::Dropped,
        };
        let mut families = Families::new();
        for metadata in &page.metadata {
            metadata.write_to(&mut families);
        }
        added.gathered = Some(Gathered {
            page_facts,
            placements: added.samples.iter().map(place).collect(),
            families,
        });
        self.added = Some(added);
    }
}

impl Metadata {
    /// Replaces what is known of the family.
    pub(crate) fn write_to(&self, families: &mut Families) {
        match self {
            Metadata::Help(family, help) => {
                let family = families.entry(family.as_str().into()).or_default();
                family.help.clone_from(help);
            }
            Metadata::Type(family, family_type) => {
                let family = families.entry(family.as_str().into()).or_default();
                family.family_type = *family_type;
            }
            Metadata::Unit(family, unit) => {
                let family = families.entry(family.as_str().into()).or_default();
                family.unit.clone_from(unit);
            }
        }
    }
}
