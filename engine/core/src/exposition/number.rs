//! Numbers as pages write them.
//!
//! Most are short decimals (`0`, `17`, `0.25`): their digits form an integer below 2^53, and one exact division by a
//! power of ten gives the correctly rounded result (Clinger's fast path). Everything else goes to a general parser.
//! Budget: 3 ns for a short decimal. Bench: `scrape`.

/// The bits of the one ordinary NaN that samples may have (model/value, `NormalNaN`).
pub(crate) const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// 10^0 ..= 10^22, all exact.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Digits that fit below 2^53 whatever they are.
const EXACT_DIGITS_MAX: usize = 15;

/// Parses a whole token as Go's `strconv.ParseFloat` does, except for hexadecimal numbers and underscores, which
/// Prometheus refuses on pages. `None`: not a number, or out of range.
pub(crate) fn parse(token: &[u8]) -> Option<f64> {
    short_decimal(token).or_else(|| general(token))
}

#[inline]
fn short_decimal(token: &[u8]) -> Option<f64> {
    let (negative, digits) = match token {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, token),
    };
    if digits.is_empty() || digits.len() > EXACT_DIGITS_MAX + 1 {
        return None;
    }
    let mut mantissa = 0u64;
    let mut fraction_digits = None;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa * 10 + u64::from(digit);
            if let Some(count) = &mut fraction_digits {
                *count += 1;
            }
        } else if byte == b'.' && fraction_digits.is_none() {
            fraction_digits = Some(0);
        } else {
            return None;
        }
    }
    let fraction = fraction_digits.unwrap_or(0);
    if fraction_digits.is_some() && digits.len() == 1 {
        return None;
    }
    if fraction_digits.is_none() && digits.len() > EXACT_DIGITS_MAX {
        return None;
    }
    let value = mantissa as f64 / POWERS_OF_TEN[fraction];
    Some(if negative { -value } else { value })
}

#[cold]
fn general(token: &[u8]) -> Option<f64> {
    let (sign, unsigned) = match token {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        _ => (1.0, token),
    };
    if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
        return Some(sign * f64::INFINITY);
    }
    if token.eq_ignore_ascii_case(b"nan") {
        return Some(f64::from_bits(NORMAL_NAN_BITS));
    }
    if !unsigned
        .first()
        .is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.')
    {
        return None;
    }
    let value: f64 = fast_float2::parse(unsigned).ok()?;
    value.is_finite().then_some(sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_prometheus_takes_and_what_it_refuses() {
        for (token, value) in [
            ("0", Some(0.0)),
            ("-0", Some(-0.0)),
            ("17", Some(17.0)),
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("+3", Some(3.0)),
            ("0.1", Some(0.1)),
            ("123456789012345", Some(123_456_789_012_345.0)),
            ("9007199254740993", Some(9_007_199_254_740_992.0)),
            ("1.048576e+06", Some(1_048_576.0)),
            ("4.9e-324", Some(5e-324)),
            ("+Inf", Some(f64::INFINITY)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("Infinity", Some(f64::INFINITY)),
            ("", None),
            (".", None),
            ("-", None),
            ("+-1", None),
            ("1e400", None),
            ("0x1p3", None),
            ("1_000", None),
            ("1e", None),
            ("+nan", None),
            ("12a", None),
            ("--1", None),
        ] {
            let got = parse(token.as_bytes());
            assert_eq!(got.map(f64::to_bits), value.map(f64::to_bits), "{token:?}");
        }
        assert_eq!(parse(b"NaN").map(f64::to_bits), Some(NORMAL_NAN_BITS));
    }

    proptest! {
        #[test]
        fn short_decimals_agree_with_the_standard_library(
            negative: bool, whole in 0u64..1_000_000_000_000_000, fraction in "[0-9]{0,14}"
        ) {
            let text = format!("{}{whole}{}{fraction}", if negative { "-" } else { "" }, if fraction.is_empty() { "" } else { "." });
            let expected: f64 = text.parse().expect("a decimal");
            prop_assert_eq!(parse(text.as_bytes()).map(f64::to_bits), Some(expected.to_bits()), "{}", text);
        }

        #[test]
        fn any_float_printed_is_parsed(value: f64) {
            prop_assume!(value.is_finite());
            prop_assert_eq!(parse(format!("{value:e}").as_bytes()).map(f64::to_bits), Some(value.to_bits()));
        }
    }
}
