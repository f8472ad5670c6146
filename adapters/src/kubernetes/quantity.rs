//! Numbers as Kubernetes quantities: thousandths, in their canonical text.

use std::fmt;

/// The HPA multiplies by 1000 in 64 bits and lets the product wrap; past this a large value would scale down.
const MILLI_MAX: f64 = 9.2e18;

/// Writes `value` as a quantity: cut to thousandths, as prometheus-adapter does, then `250`, `250k`, `1500m`. What would be cut
/// to 0 is written to the billionth, the finest that a quantity has (`400u`), of which the HPA makes `1m`: a rate of one
/// request an hour is no idle pool.
pub fn quantity(value: f64) -> Result<String, QuantityError> {
    if value.is_nan() {
        return Err(QuantityError::NotANumber);
    }
    if (value * 1000.0).abs() > MILLI_MAX {
        return Err(QuantityError::TooLarge(value));
    }
    let milli = thousandths(value);
    if milli == 0 && value != 0.0 {
        let nano = (value * 1e9).trunc(); // what is less is the noise of a subtraction
        return Ok(canonical(nano as i64, &SUFFIXES));
    }
    Ok(canonical(milli, &SUFFIXES[MILLI..]))
}

/// A number that fits in thousandths. Of a whole one no float is the product: its digits stay as they are.
fn thousandths(value: f64) -> i64 {
    match value.fract() == 0.0 {
        true => (value as i64).saturating_mul(1000),
        false => (value * 1000.0).trunc() as i64,
    }
}

/// Writes an amount of bytes as Kubernetes writes one: `12Mi` where it is whole, else rounded up to bytes; below 1,024 in
/// thousandths (`apimachinery`'s `Quantity.CanonicalizeBytes` of a `BinarySI`).
pub(super) fn bytes_quantity(value: f64) -> Result<String, QuantityError> {
    const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let text = quantity(value)?;
    if value.abs() < 1024.0 {
        return Ok(text);
    }
    let milli = thousandths(value); // `quantity` has checked that it fits
    let away_from_zero = if milli < 0 { -999 } else { 999 };
    let (mut bytes, mut suffix) = (milli.saturating_add(away_from_zero) / 1000, 0);
    while bytes % 1024 == 0 && suffix < SUFFIXES.len() - 1 {
        bytes /= 1024;
        suffix += 1;
    }
    Ok(format!("{bytes}{}", SUFFIXES[suffix]))
}

/// Why a value cannot be told to a scaler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QuantityError {
    /// NaN.
    NotANumber,
    /// Infinite, or past what a quantity counts.
    TooLarge(f64),
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QuantityError::NotANumber => f.write_str("the value is NaN"),
            QuantityError::TooLarge(value) => {
                write!(
                    f,
                    "the value {value:e} is past what a quantity can hold (9.2e15)"
                )
            }
        }
    }
}

impl std::error::Error for QuantityError {}

/// Suffixes of powers of 1,000, from 10^-9 on.
const SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// The place of 10^-3 among them.
const MILLI: usize = 2;

/// Strips factors of ten, keeps the exponent a multiple of three, and writes it as a suffix. The first suffix is that of
/// `number` itself.
fn canonical(number: i64, suffixes: &[&str]) -> String {
    if number == 0 {
        return "0".to_owned();
    }
    let (mut mantissa, mut thousands) = (number, 0);
    while mantissa % 1000 == 0 && thousands < suffixes.len() - 1 {
        mantissa /= 1000;
        thousands += 1;
    }
    format!("{mantissa}{}", suffixes[thousands])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_canonical() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.0004, "400u"),
            (-0.000_25, "-250u"),
            (1.0 / 3_600.0, "277777n"),
            (1.5e-9, "1n"),
            (5.5e-17, "0"),
            (0.539, "539m"),
            (1.5, "1500m"),
            (1.0, "1"),
            (2.9999, "2999m"),
            (10.0, "10"),
            (100.0, "100"),
            (250.0, "250"),
            (1234.0, "1234"),
            (1000.0, "1k"),
            (12_500.0, "12500"),
            (250_000.0, "250k"),
            (250_000_000.0, "250M"),
            (-3.25, "-3250m"),
            (-2_000.0, "-2k"),
            (9e15, "9P"),
            (93_000_000_000_027.0, "93000000000027"),
            (-9_007_199_254_740_991.0, "-9007199254740991"),
            (1.539, "1539m"),
        ] {
            assert_eq!(quantity(value), Ok(text.to_owned()), "{value}");
        }
    }

    #[test]
    fn bytes_are_counted_in_powers_of_1024() {
        for (value, text) in [
            (0.0, "0"),
            (0.5, "500m"),
            (1000.0, "1k"),
            (1023.0, "1023"),
            (1024.0, "1Ki"),
            (1025.0, "1025"),
            (1536.0 * 1024.0, "1536Ki"),
            (12.0 * 1024.0 * 1024.0, "12Mi"),
            (2_000_000.2, "2000001"),
            (8.0 * 1024.0 * 1024.0 * 1024.0, "8Gi"),
        ] {
            assert_eq!(bytes_quantity(value), Ok(text.to_owned()), "{value}");
        }
        assert!(bytes_quantity(f64::NAN).is_err());
    }

    #[test]
    fn what_would_wrap_or_is_no_number_is_an_error() {
        for value in [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e17,
            -9.3e15,
            f64::MAX,
        ] {
            assert!(quantity(value).is_err(), "{value}");
        }
    }
}
