//! Gathers what a commit would find out line by line, before it and without the writer: what the new series tell of their
//! target, and what the page says of families.

use super::added::{AddedSample, Families, Gathered};
use super::placement::Placement;
use super::stage::Staged;
use crate::signal::Gatherer;

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
