//! Numbers as Prometheus writes them: Go's shortest form, times with three decimals or none.

use stillwell_engine::Timestamp;

/// Appends the shortest text that reads back as `value`; an exponent below 1e-6 and from 1e21 on.
pub fn float(out: &mut String, value: f64) {
    use std::fmt::Write;
    let magnitude = value.abs();
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        write!(out, "{mantissa}e{sign}{digits:0>2}").ok(); // a String takes everything
    } else {
        write!(out, "{value}").ok();
    }
}

/// Appends seconds since the epoch.
pub(super) fn time(out: &mut String, at: Timestamp) {
    use std::fmt::Write;
    let magnitude = at.ms().unsigned_abs();
    if at.ms() < 0 {
        out.push('-');
    }
    write!(out, "{}", magnitude / 1000).ok();
    if !magnitude.is_multiple_of(1000) {
        write!(out, ".{:03}", magnitude % 1000).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-07"),
            (1.25e-300, "1.25e-300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (0.30000000000000004, "0.30000000000000004"),
            (9007199254740993.0, "9007199254740992"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ] {
            let mut out = String::new();
            float(&mut out, value);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn times_have_three_decimals_or_none() {
        for (ms, text) in [
            (0, "0"),
            (1_795_460_400_000, "1795460400"),
            (1_795_460_400_250, "1795460400.250"),
            (7, "0.007"),
            (-1_500, "-1.500"),
        ] {
            let mut out = String::new();
            time(&mut out, Timestamp::from_ms(ms));
            assert_eq!(out, text);
        }
    }
}
