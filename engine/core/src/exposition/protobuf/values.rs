//! Metrics of one value, and summaries.

use super::wire::{Fields, WireError};

/// A gauge, counter or untyped value.
#[derive(Default)]
pub(super) struct Single<'a> {
    pub(super) message: &'a [u8],
    pub(super) value: f64,
    pub(super) exemplar: Option<&'a [u8]>,
}

/// Reads a metric of one value.
pub(super) fn single(message: &[u8]) -> Result<Single<'_>, WireError> {
    let mut single = Single {
        message,
        ..Single::default()
    };
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => single.value = field.double()?,
            2 => single.exemplar = Some(field.bytes()?),
            _ => {}
        }
    }
    Ok(single)
}

/// The message of a summary, whose quantiles are read when they are written.
pub(super) fn checked_summary(message: &[u8]) -> Result<&[u8], WireError> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => {
                value.varint()?;
            }
            2 => {
                value.double()?;
            }
            3 => {
                quantile(value.bytes()?)?;
            }
            _ => {}
        }
    }
    Ok(message)
}

/// A quantile and its estimate.
pub(super) fn quantile(message: &[u8]) -> Result<(f64, f64), WireError> {
    let (mut quantile, mut estimate) = (0.0, 0.0);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => quantile = value.double()?,
            2 => estimate = value.double()?,
            _ => {}
        }
    }
    Ok((quantile, estimate))
}
