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

    /// How many milliseconds after `earlier` this is; negative where it is before.
    #[inline]
    pub const fn since_ms(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
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
