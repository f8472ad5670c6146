//! Numbers and durations as Go and Prometheus read them: `1_000`, `0x1F`, `010` (octal), `1h30m`, `.5`, `Inf`.

/// The value of a number literal without sign; `None` where Go would refuse it.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("inf") {
        return Some(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if !underscores_are_between_digits(text) {
        return None;
    }
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(hex) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        return i64::from_str_radix(hex, 16).ok().map(|value| value as f64);
    }
    if digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(value) = i64::from_str_radix(&digits, 8)
    {
        return Some(value as f64);
    }
    let value: f64 = fast_float2::parse(&digits).ok()?;
    value.is_finite().then_some(value)
}

fn underscores_are_between_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let prefixed = bytes.len() > 2 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X');
    bytes.iter().enumerate().all(|(at, byte)| {
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        *byte != b'_' || (digit(at + 1) && at > 0 && (digit(at - 1) || (prefixed && at == 2)))
    })
}

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Milliseconds of a duration (`1h30m`): units descending, each at most once.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let malformed = || format!("not a valid duration string: {text:?}");
    match text {
        "" => return Err("empty duration string".to_owned()),
        "0" => return Ok(0),
        _ => {}
    }
    let (mut rest, mut total_ms, mut next_unit) = (text, 0i64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..]
            .bytes()
            .take_while(u8::is_ascii_alphabetic)
            .count();
        let unit = &rest[digits..digits + letters];
        let at = UNITS[next_unit..]
            .iter()
            .position(|(name, _)| *name == unit);
        let (Some(at), true) = (at, digits > 0) else {
            return Err(malformed());
        };
        let unit_ms = UNITS[next_unit + at].1;
        next_unit += at + 1;
        let ms = rest[..digits]
            .parse::<i64>()
            .ok()
            .and_then(|count| count.checked_mul(unit_ms));
        // Go counts nanoseconds in 64 bits.
        total_ms = ms
            .and_then(|ms| total_ms.checked_add(ms))
            .filter(|total| *total <= i64::MAX / 1_000_000)
            .ok_or_else(|| "duration out of range".to_owned())?;
        rest = &rest[digits + letters..];
    }
    Ok(total_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, value) in [
            ("1_000", Some(1000.0)),
            ("0x1_F", Some(31.0)),
            ("0x_1", Some(1.0)),
            ("010", Some(8.0)),
            ("089", Some(89.0)),
            ("1e3", Some(1000.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("iNf", Some(f64::INFINITY)),
            ("1e400", None),
            ("1__0", None),
            ("1_", None),
        ] {
            assert_eq!(parse_number(text), value, "{text}");
        }
    }

    #[test]
    fn durations_have_descending_units() {
        for (text, ms) in [
            ("1h30m", Some(5_400_000)),
            (
                "1y1w1d1h1m1s1ms",
                Some(31_536_000_000 + 604_800_000 + 86_400_000 + 3_661_001),
            ),
            ("5000000000ms", Some(5_000_000_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1m1h", None),
            ("1s1s", None),
            ("1", None),
            ("", None),
            ("99999999999999999y", None),
        ] {
            assert_eq!(parse_duration(text).ok(), ms, "{text}");
        }
    }
}
