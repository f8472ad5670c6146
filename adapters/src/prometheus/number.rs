//! Times as Prometheus writes them: with three decimals or none.

use stillwell_engine::Timestamp;

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
