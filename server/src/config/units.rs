//! Durations and sizes in Prometheus' grammar: `1h30m`, `100ms`, `64MB`, `1.5GiB`.

/// Milliseconds of a duration like `1h30m`: units from large to small, each at most once; `0` needs none.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let refuse = || format!("{text:?} is not a duration; write it like 100ms, 15s or 1h30m");
    if text == "0" {
        return Ok(0);
    }
    let (mut rest, mut total, mut next_unit) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(refuse)?;
        let letters = rest[digits..]
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len() - digits);
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let at = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(refuse)?;
        if digits == 0 || at < next_unit {
            return Err(refuse());
        }
        let amount: u64 = number.parse().map_err(|_| refuse())?;
        total = amount
            .checked_mul(UNITS[at].1)
            .and_then(|ms| total.checked_add(ms))
            .filter(|ms| *ms <= i64::MAX as u64)
            .ok_or_else(|| format!("{text:?} is longer than a clock can count"))?;
        next_unit = at + 1;
        rest = &rest[digits + letters..];
    }
    if text.is_empty() {
        Err(refuse())
    } else {
        Ok(total)
    }
}

pub use stillwell_adapters::time::show_duration_ms;

/// Bytes of a size like `64MB` or `1.5GiB`. As in Prometheus the unit is required and both spellings are powers of 1024.
pub fn size_bytes(text: &str) -> Result<u64, String> {
    let refuse = || format!("{text:?} is not a size; write it like 10MB or 512KiB");
    if text == "0" {
        return Ok(0);
    }
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .ok_or_else(refuse)?;
    let (number, unit) = text.split_at(end);
    let prefix = unit.strip_suffix('B').ok_or_else(refuse)?;
    let prefix = prefix.strip_suffix('i').unwrap_or(prefix);
    let power = ["", "K", "M", "G", "T", "P", "E"]
        .iter()
        .position(|name| *name == prefix)
        .ok_or_else(refuse)?;
    let number: f64 = number.parse().map_err(|_| refuse())?;
    let bytes = number * 1024_f64.powi(power as i32);
    if bytes < i64::MAX as f64 {
        Ok(bytes as u64)
    } else {
        Err(refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_in_prometheus() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("10ms", 10, "10ms"),
            ("100ms", 100, "100ms"),
            ("1500ms", 1500, "1s500ms"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("24h", 86_400_000, "1d"),
            ("7d", 604_800_000, "1w"),
            ("10d", 864_000_000, "10d"),
            ("1y", 31_536_000_000, "1y"),
            ("1d1ms", 86_400_001, "1d1ms"),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
            assert_eq!(show_duration_ms(ms), printed, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "1",
            "s",
            "1.5s",
            "-1s",
            "1s1m",
            "1m1m",
            "1 s",
            "99999999999y",
            "5min",
            "1ss",
            "é",
        ] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_as_in_prometheus() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("100B", Some(100)),
            ("10KB", Some(10_240)),
            ("1.5MiB", Some(1_572_864)),
            ("64MB", Some(64 << 20)),
            ("1GB", Some(1 << 30)),
            ("10", None),
            ("10k", None),
            ("MB", None),
            ("1..5MB", None),
            ("99EB", None),
            ("", None),
        ] {
            assert_eq!(size_bytes(text).ok(), bytes, "{text}");
        }
    }
}
