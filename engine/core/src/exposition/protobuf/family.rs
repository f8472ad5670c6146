//! A family beside its metrics: its name, help, unit and type.

use super::wire::{Fields, WireError};
use crate::metadata::FamilyType;

/// A family beside its metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) help: &'a str,
    pub(super) unit: &'a str,
    pub(super) type_number: u64,
    pub(super) has_metrics: bool,
}

impl<'a> Family<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Family<'a>, WireError> {
        let mut family = Family::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => family.name = value.text()?,
                2 => family.help = value.text()?,
                3 => family.type_number = value.varint()?,
                4 => family.has_metrics = true,
                5 => family.unit = value.text()?,
                _ => {}
            }
        }
        Ok(family)
    }

    pub(super) fn family_type(&self) -> Result<FamilyType, String> {
        // A type is an int32: protobuf's parsers cut it to 32 bits.
        Ok(match self.type_number as u32 {
            0 => FamilyType::Counter,
            1 => FamilyType::Gauge,
            2 => FamilyType::Summary,
            3 => FamilyType::Unknown,
            4 => FamilyType::Histogram,
            5 => FamilyType::GaugeHistogram,
            other => return Err(format!("unknown metric type {other}")),
        })
    }

    pub(super) fn check_unit(&self, family_type: FamilyType) -> Result<(), String> {
        let name = match family_type {
            FamilyType::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            _ => self.name,
        };
        match name.ends_with(self.unit) {
            true => Ok(()),
            false => Err(format!("unit {:?} is not a suffix of its name", self.unit)),
        }
    }
}
