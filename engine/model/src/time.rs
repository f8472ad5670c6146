//! Points in time as the field counts them: milliseconds since the Unix epoch, signed.

use std::fmt;

/// Milliseconds since the Unix epoch. All of the engine's time; it reads no clock itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every sample.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every sample.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// From milliseconds since the epoch.
    #[inline]
    pub const fn from_ms(ms: i64) -> Timestamp {
        Timestamp(ms)
    }

    /// Milliseconds since the epoch.
    #[inline]
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Later by `ms` (earlier where negative), held at the ends of the range.
    #[must_use]
    #[inline]
    pub const fn plus_ms(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// Earlier by `ms` (later where negative), held at the ends of the range.
    #[must_use]
    #[inline]
    pub const fn minus_ms(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_sub(ms))
    }

    /// In UTC with whole seconds, as Kubernetes prints times (RFC 3339): `2026-11-23T19:00:00Z`.
    pub fn rfc3339_seconds(self) -> String {
        const DAY_S: i64 = 86_400;
        let seconds = self.0.div_euclid(1000);
        let (year, month, day) = civil_date(seconds.div_euclid(DAY_S));
        let of_day = seconds.rem_euclid(DAY_S);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// How many milliseconds after `earlier` this is; negative where it is before.
    #[inline]
    pub const fn since_ms(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Reckoned in years that begin in
/// March, so that leap days come last.
fn civil_date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

impl fmt::Display for Timestamp {
    /// Seconds with at most three decimals, as Prometheus prints times.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, magnitude) = if self.0 < 0 {
            ("-", self.0.unsigned_abs())
        } else {
            ("", self.0 as u64)
        };
        let (seconds, millis) = (magnitude / 1000, magnitude % 1000);
        if millis == 0 {
            write!(f, "{sign}{seconds}")
        } else {
            let text = format!("{millis:03}");
            write!(f, "{sign}{seconds}.{}", text.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_dates_of_the_gregorian_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_999, "2000-02-29T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_ms(ms).rfc3339_seconds(), text);
        }
    }

    #[test]
    fn prints_at_most_three_decimals_and_no_trailing_zero() {
        for (ms, text) in [
            (0, "0"),
            (1500, "1.5"),
            (1_795_200_000_123, "1795200000.123"),
            (-1, "-0.001"),
            (-2500, "-2.5"),
        ] {
            assert_eq!(Timestamp::from_ms(ms).to_string(), text);
        }
    }
}
