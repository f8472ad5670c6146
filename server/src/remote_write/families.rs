//! Types and help texts of families by the names of their series.

use std::collections::BTreeMap;

use stillwell_adapters::remote_write::outgoing::Described;
use stillwell_engine::Reader;
use stillwell_engine::metadata::{FamilyMetadata, FamilyType};

/// What series of a family have at the end of their names beside it.
const SUFFIXES: [&str; 6] = ["_total", "_bucket", "_sum", "_count", "_created", "_info"];

/// The families as of a moment.
#[derive(Default)]
pub(super) struct Families(BTreeMap<String, Vec<FamilyMetadata>>);

impl Families {
    /// As of now.
    pub(super) fn read(reader: &Reader) -> Families {
        Families(reader.metadata())
    }

    /// Each with what some target says of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &FamilyMetadata)> {
        let all = self.0.iter();
        all.flat_map(|(name, variants)| variants.iter().map(move |one| (name.as_str(), one)))
    }

    /// What is known of the family that a series belongs to.
    pub(super) fn of(&self, metric: &str) -> Option<Described<'_>> {
        let found = self.find(metric)?;
        Some(Described {
            family_type: found.family_type,
            help: &found.help,
            unit: &found.unit,
        })
    }

    /// Whether a series goes up and down: what its interval's last sample says little of. Where no page says, it may.
    pub(super) fn is_gauge(&self, metric: &str) -> bool {
        self.find(metric).is_none_or(|found| {
            matches!(found.family_type, FamilyType::Gauge | FamilyType::Unknown)
        })
    }

    fn find(&self, metric: &str) -> Option<&FamilyMetadata> {
        let own = self.0.get(metric);
        let shorter = || {
            let mut shorter = SUFFIXES
                .iter()
                .filter_map(|suffix| metric.strip_suffix(suffix));
            shorter.find_map(|family| self.0.get(family))
        };
        own.or_else(shorter)?.first()
    }
}
