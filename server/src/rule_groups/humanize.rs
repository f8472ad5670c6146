//! Numbers in the words that annotations use, as Prometheus writes them (template/template.go and the common library).

/// Go's `%.4g`.
pub(super) fn four_digits(value: f64) -> String {
    general(value, 4)
}

/// Go's `%.Ng`: so many significant digits, without trailing zeros.
pub(super) fn general(value: f64, precision: usize) -> String {
    if !value.is_finite() {
        return special(value);
    }
    let precision = precision.max(1);
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:.*e}", precision - 1);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0); // what `{:e}` wrote is a number
    if exponent < -4 || exponent >= precision as i32 {
        let digits = trimmed(digits);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{value:.decimals$}")).to_owned()
}

fn trimmed(digits: &str) -> &str {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    }
}

fn special(value: f64) -> String {
    let text = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    };
    text.to_owned()
}

/// With a metric prefix: `1.235k`.
pub(super) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four_digits(value);
    }
    let mut value = value;
    let mut prefix = "";
    if value.abs() >= 1.0 {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if value.abs() < 1000.0 {
                break;
            }
            prefix = next;
            value /= 1000.0;
        }
    } else {
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if value.abs() >= 1.0 {
                break;
            }
            prefix = next;
            value *= 1000.0;
        }
    }
    format!("{}{prefix}", four_digits(value))
}

/// With a binary prefix: `1.5ki`.
pub(super) fn humanize1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four_digits(value);
    }
    let mut value = value;
    let mut prefix = "";
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if value.abs() < 1024.0 {
            break;
        }
        prefix = next;
        value /= 1024.0;
    }
    format!("{}{prefix}", four_digits(value))
}

/// Seconds as a duration: `1d 2h 3m 4s`.
pub(super) fn duration(value: f64) -> String {
    if !value.is_finite() {
        return four_digits(value);
    }
    if value == 0.0 {
        return "0s".to_owned();
    }
    if value.abs() >= 1.0 {
        let sign = if value < 0.0 { "-" } else { "" };
        let value = value.abs();
        let whole = value as u64;
        let (seconds, minutes, hours, days) = (
            whole % 60,
            whole / 60 % 60,
            whole / 3_600 % 24,
            whole / 86_400,
        );
        return if days > 0 {
            format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
        } else if hours > 0 {
            format!("{sign}{hours}h {minutes}m {seconds}s")
        } else if minutes > 0 {
            format!("{sign}{minutes}m {seconds}s")
        } else {
            format!("{sign}{}s", four_digits(value))
        };
    }
    let mut value = value;
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    format!("{}{prefix}s", four_digits(value))
}

/// A share in percent: `12.35%`.
pub(super) fn percentage(value: f64) -> String {
    format!("{}%", four_digits(value * 100.0))
}

/// Seconds since the epoch as a time: `2026-11-26 10:00:00 +0000 UTC`.
pub(super) fn timestamp(value: f64) -> String {
    if !value.is_finite() {
        return four_digits(value);
    }
    let at = stillwell_engine::Timestamp::from_ms((value * 1000.0) as i64);
    let text = stillwell_adapters::time::rfc3339(at);
    format!("{} +0000 UTC", text.replace('T', " ").trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_prometheus_writes_them() {
        for (value, plain, binary, time, percent) in [
            (0.0, "0", "0", "0s", "0%"),
            (1.0, "1", "1", "1s", "100%"),
            (-1.5, "-1.5", "-1.5", "-1.5s", "-150%"),
            (
                1_234_567.0,
                "1.235M",
                "1.177Mi",
                "14d 6h 56m 7s",
                "1.235e+08%",
            ),
            (0.1234567, "123.5m", "0.1235", "123.5ms", "12.35%"),
            (0.0000001, "100n", "1e-07", "100ns", "1e-05%"),
            (3_725.0, "3.725k", "3.638ki", "1h 2m 5s", "3.725e+05%"),
            (f64::NAN, "NaN", "NaN", "NaN", "NaN%"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf", "+Inf%"),
        ] {
            assert_eq!(humanize(value), plain);
            assert_eq!(humanize1024(value), binary);
            assert_eq!(duration(value), time);
            assert_eq!(percentage(value), percent);
        }
        assert_eq!(
            timestamp(1_795_460_400.25),
            "2026-11-23 19:00:00.25 +0000 UTC"
        );
        assert_eq!(four_digits(12_345.0), "1.234e+04");
        assert_eq!(four_digits(0.00012345), "0.0001234");
    }
}
