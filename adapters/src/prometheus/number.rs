//! Times as Prometheus writes them: with three decimals or none.

use stillwell_engine::Timestamp;
use stillwell_engine::number_text::push_integer;

/// Appends seconds since the epoch.
pub(super) fn time(out: &mut String, at: Timestamp) {
    let magnitude = at.ms().unsigned_abs();
    if at.ms() < 0 {
        out.push('-');
    }
    push_integer(out, magnitude / 1000);
    let thousandths = magnitude % 1000;
    if thousandths > 0 {
        out.push('.');
        for digit in [thousandths / 100, thousandths / 10 % 10, thousandths % 10] {
            push_integer(out, digit);
        }
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
