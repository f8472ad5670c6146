//! Times as clients write and read them: RFC 3339, in UTC.
//!
//! Of our own, because what is read must be what Prometheus reads: `jiff` takes forms that Go's `time.RFC3339Nano` refuses.

use stillwell_engine::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// `2026-11-23T19:00:00.25Z`: up to milliseconds, without trailing zeros, as Go prints times.
pub fn rfc3339(at: Timestamp) -> String {
    let mut text = at.rfc3339_seconds();
    let millis = at.ms().rem_euclid(1000);
    if millis != 0 {
        text.pop();
        let digits = format!("{millis:03}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
        text.push('Z');
    }
    text
}

/// `2026-11-23T19:00:00.250Z`: always with milliseconds, as in log lines.
pub fn rfc3339_millis(at: Timestamp) -> String {
    let mut text = at.rfc3339_seconds();
    text.pop();
    text + &format!(".{:03}Z", at.ms().rem_euclid(1000))
}

/// Reads an RFC 3339 time, with any fraction and offset.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let number = |text: &str, digits: usize| -> Option<i64> {
        let fits = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        if fits { text.parse().ok() } else { None }
    };
    let mut parts = date.splitn(3, '-');
    let year = number(parts.next()?, 4)?;
    let month = number(parts.next()?, 2)?;
    let day = number(parts.next()?, 2)?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let (clock, fraction) = clock
        .split_once('.')
        .map_or((clock, None), |(c, f)| (c, Some(f)));
    let mut parts = clock.splitn(3, ':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let second = number(parts.next()?, 2)?;
    let millis = match fraction {
        None => 0,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            let padded: String = digits.chars().chain("000".chars()).take(3).collect();
            padded.parse().ok()?
        }
        Some(_) => return None,
    };
    let offset_min = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let minutes = number(hours, 2)? * 60 + number(minutes, 2)?;
            if zone.starts_with('-') {
                -minutes
            } else {
                minutes
            }
        }
    };
    let last_day = days_in_month(year, month)?;
    if day < 1 || day > last_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_epoch(year, month, day);
    let seconds = hour * 3600 + (minute - offset_min) * 60 + second;
    Some(Timestamp::from_ms(days * DAY_MS + seconds * 1000 + millis))
}

fn days_in_month(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days from 1970-01-01, in the Gregorian calendar of years that begin in March, so that leap days come last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A duration as Prometheus prints it: years, weeks and days only where nothing smaller is left over.
pub fn show_duration_ms(ms: u64) -> String {
    const UNITS: [(&str, u64, bool); 7] = [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    if ms == 0 {
        return "0s".to_owned();
    }
    let (mut rest, mut text) = (ms, String::new());
    for (unit, size, exact) in UNITS {
        if rest >= size && !(exact && rest % size != 0) {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_and_read_back() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_460_400_250, "2026-11-23T19:00:00.25Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_ms(ms)), text);
            assert_eq!(parse_rfc3339(text), Some(Timestamp::from_ms(ms)));
        }
        let offset = parse_rfc3339("2026-11-23T21:30:00.1234567+02:30");
        assert_eq!(offset, parse_rfc3339("2026-11-23T19:00:00.123Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "T",
            "2026-11-23",
            "2026-11-23T19:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T19:00:00.Z",
            "2026-11-23T19:00:00+1Z",
            "é-1-1T1:1:1Z",
            "2026-11-23T19:00:00+02",
            "99999-11-23T19:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
