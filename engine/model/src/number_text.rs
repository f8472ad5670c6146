//! Floats as Go writes them: the shortest digits that read back as the same float, in the three shapes that Prometheus
//! uses. Where two shortest texts are equally near, Go takes the even digit; so do we, so that texts are equal too.

use std::fmt::Write as _;

/// Appends in Go's `'f'` form, without an exponent whatever the size (labels of `count_values`).
pub fn push_plain(out: &mut String, value: f64) {
    if push_special(out, value) || push_whole(out, value) || push_fraction(out, value) {
        return;
    }
    let from = out.len();
    write!(out, "{value}").ok(); // a String takes everything
    if may_tie(value) {
        settle_tie(out, from, value);
    }
}

/// Appends a whole number.
pub fn push_integer(out: &mut String, number: u64) {
    // The largest one has 20 digits.
    let mut digits = [b'0'; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default()); // digits are ASCII
}

/// Below this whole numbers have neighbours one apart or nearer, so their digits are the shortest text.
const WHOLE_BELOW: f64 = 9_007_199_254_740_992.0;

/// Appends a whole number that is not too large; false where it is none.
fn push_whole(out: &mut String, value: f64) -> bool {
    let magnitude = value.abs();
    if magnitude >= WHOLE_BELOW || (magnitude as u64) as f64 != magnitude {
        return false;
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    push_integer(out, magnitude as u64);
    true
}

/// Appends a fraction of usual size; false where its text has another shape, or two texts may be equally near.
fn push_fraction(out: &mut String, value: f64) -> bool {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    if text.ends_with(".0")
        || text.contains('e')
        || (text.len() >= TIE_DIGITS_MIN && may_tie(value))
    {
        return false;
    }
    out.push_str(text);
    true
}

/// Appends in the form of Prometheus' JSON (util/jsonutil): an exponent below 1e-6 and from 1e21 on.
pub fn push_json(out: &mut String, value: f64) {
    push_with_exponent_outside(out, value, 1e-6, 1e21);
}

/// Appends in Go's `%g` form: an exponent below 1e-4 and from 1e6 on.
pub fn push_general(out: &mut String, value: f64) {
    push_with_exponent_outside(out, value, 1e-4, 1e6);
}

/// A float as Go's `%g` with the shortest digits prints it.
pub fn go_float(value: f64) -> String {
    let mut text = String::new();
    push_general(&mut text, value);
    text
}

fn push_with_exponent_outside(out: &mut String, value: f64, low: f64, high: f64) {
    let magnitude = value.abs();
    if !magnitude.is_finite() || magnitude == 0.0 || (low..high).contains(&magnitude) {
        return push_plain(out, value);
    }
    let from = out.len();
    write!(out, "{value:e}").ok(); // a String takes everything
    let Some(at) = out[from..].find('e').map(|at| from + at) else {
        return;
    };
    let exponent: i32 = out[at + 1..].parse().unwrap_or(0); // what `{:e}` wrote is a number
    out.truncate(at);
    if may_tie(value) {
        settle_tie(out, from, value);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "e{sign}{:02}", exponent.unsigned_abs()).ok();
}

fn push_special(out: &mut String, value: f64) -> bool {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        return false;
    }
    true
}

/// A text of 17 digits and a 5 has at most so many binary places: 5 to the 26th has 19 digits.
const TIE_BINARY_PLACES_MAX: i64 = 26;

/// Whether the float's exact text could end one digit after its shortest one. Most floats have many more digits, and the
/// count of their binary places shows it.
fn may_tie(value: f64) -> bool {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let bits = value.to_bits();
    let exponent = (bits >> MANTISSA_BITS & 0x7ff) as i64;
    if exponent == 0 {
        return false; // zero, or a subnormal with a thousand binary places
    }
    let zeros = (bits | 1 << MANTISSA_BITS).trailing_zeros();
    let places = 1023 + i64::from(MANTISSA_BITS) - exponent - i64::from(zeros);
    places <= TIE_BINARY_PLACES_MAX
}

/// Two decimals of fewer digits are two floats.
const TIE_DIGITS_MIN: usize = 16;

/// Turns the last digit from `from` on to the even one where its neighbour is as near. In whole numbers zeros follow.
fn settle_tie(out: &mut String, from: usize, value: f64) {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let written = &out.as_bytes()[from..];
    let significant = written.iter().filter(|byte| is_digit(byte));
    let all = significant.skip_while(|byte| **byte == b'0').count();
    let ends_in_fraction = written.contains(&b'.');
    let zeros = match ends_in_fraction {
        true => 0,
        false => written
            .iter()
            .rev()
            .take_while(|byte| **byte == b'0')
            .count(),
    };
    let digits = all - zeros;
    let last = out.len() - zeros - 1;
    let is_odd = out.as_bytes()[last] % 2 == 1;
    if digits < TIE_DIGITS_MIN || !is_odd {
        return;
    }
    // One digit more than the shortest, and enough of the rest to see that there is none.
    let exact = format!("{:.*e}", digits + 24, value.abs());
    let exact: Vec<u8> = exact.bytes().take_while(|byte| *byte != b'e').collect();
    let rest: Vec<u8> = exact.into_iter().filter(is_digit).skip(digits).collect();
    let is_tie = rest[0] == b'5' && rest[1..].iter().all(|digit| *digit == b'0');
    if is_tie {
        // The odd neighbour was taken, and an exact text ending in 5 was rounded up to it: one less is as near.
        let even = char::from(out.as_bytes()[last] - 1);
        out.replace_range(last..=last, even.encode_utf8(&mut [0; 4]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(push: fn(&mut String, f64), value: f64) -> String {
        let mut out = "x".to_owned();
        push(&mut out, value);
        out.split_off(1)
    }

    #[test]
    fn each_form_turns_to_exponents_where_go_does() {
        for (value, plain, json, general) in [
            (0.0, "0", "0", "0"),
            (-0.0, "-0", "-0", "-0"),
            (-2.5, "-2.5", "-2.5", "-2.5"),
            (1e5, "100000", "100000", "100000"),
            (1e6, "1000000", "1000000", "1e+06"),
            (
                1e20,
                "100000000000000000000",
                "100000000000000000000",
                "1e+20",
            ),
            (1e21, "1000000000000000000000", "1e+21", "1e+21"),
            (0.0001, "0.0001", "0.0001", "0.0001"),
            (0.00001, "0.00001", "0.00001", "1e-05"),
            (0.000001, "0.000001", "0.000001", "1e-06"),
            (-1.25e-7, "-0.000000125", "-1.25e-07", "-1.25e-07"),
            (f64::NAN, "NaN", "NaN", "NaN"),
            (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf"),
        ] {
            assert_eq!(text(push_plain, value), plain);
            assert_eq!(text(push_json, value), json);
            assert_eq!(text(push_general, value), general);
        }
        assert_eq!(text(push_json, 5e-324), "5e-324");
        assert_eq!(text(push_json, f64::MAX), "1.7976931348623157e+308");
    }

    /// A differential run found it: 771178026942947.25 was written with .3 here and .2 there. Then a page with a number
    /// far below 1 showed that ties are not only among large ones.
    #[test]
    #[expect(
        clippy::excessive_precision,
        reason = "halfway between two texts, exactly"
    )]
    fn of_two_shortest_texts_the_even_one_is_taken() {
        for (value, json) in [
            (771_178_026_942_947.25, "771178026942947.2"),
            (-868_644_669_047_611.25, "-868644669047611.2"),
            (771_178_026_942_947.75, "771178026942947.8"),
            (2f64.powi(60) + 512.0, "1152921504606847500"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (0.015_069_961_547_851_562_5, "0.015069961547851562"),
            (-0.015_069_961_547_851_562_5, "-0.015069961547851562"),
            (1.076_271_057_128_906_2, "1.0762710571289062"),
            (1.0 / 3.0, "0.3333333333333333"),
        ] {
            assert_eq!(text(push_json, value), json);
        }
    }

    proptest! {
        #[test]
        fn a_text_is_the_one_of_the_standard_library_where_no_two_are_as_near(
            bits in any::<u64>(), thousandths in -5_000_000i32..5_000_000, quotient in 1u32..1000, whole in any::<i32>()
        ) {
            let fraction = f64::from(thousandths) / 1000.0;
            for value in [f64::from_bits(bits), fraction, fraction / f64::from(quotient), f64::from(whole), -0.0] {
                if value.is_finite() && !may_tie(value) {
                    prop_assert_eq!(text(push_plain, value), value.to_string());
                }
            }
        }

        #[test]
        fn every_text_reads_back(bits in any::<u64>(), quarters in (1u64 << 45)..(1u64 << 53)) {
            for value in [f64::from_bits(bits), quarters as f64 / 4.0, quarters as f64 * 1000.0] {
                for push in [push_plain, push_json, push_general] {
                    let read: f64 = text(push, value).parse().expect("it is a number");
                    prop_assert!(read == value || value.is_nan());
                }
            }
        }
    }
}
