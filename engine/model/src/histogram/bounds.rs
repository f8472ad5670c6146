//! Bounds of buckets.

use super::CUSTOM_SCHEMA;

/// The upper bound of bucket `index`.
pub(super) fn bound(index: i32, schema: i32, custom: &[f64]) -> f64 {
    if schema == CUSTOM_SCHEMA {
        return match usize::try_from(index) {
            Err(_) => f64::NEG_INFINITY,
            Ok(at) => custom.get(at).copied().unwrap_or(f64::INFINITY),
        };
    }
    if schema < 0 {
        let exponent = i64::from(index) << (-schema).min(30);
        if exponent == 1024 {
            return f64::MAX;
        }
        return power_of_two(exponent);
    }
    let resolution = 1i64 << schema.min(30);
    let fraction_index = i64::from(index).rem_euclid(resolution);
    let exponent = i64::from(index).div_euclid(resolution) + 1;
    let fraction = fraction(fraction_index << (8 - schema.min(8)));
    if fraction == 0.5 && exponent == 1025 {
        // The last bucket of finite values ends at the largest of them, not at infinity.
        return f64::MAX;
    }
    scale(fraction, exponent)
}

/// `2^(index / 256) / 2` as Prometheus has it in a table (model/histogram/generic.go), bit for bit: the product of the
/// roots that the bits of `index` stand for, largest first. The square root lacks a bit there.
#[expect(
    clippy::approx_constant,
    reason = "the table was made with a square root that lacks a bit"
)]
fn fraction(index: i64) -> f64 {
    const ROOTS: [f64; 8] = [
        1.414_213_562_373_095,
        1.189_207_115_002_721,
        1.090_507_732_665_257_7,
        1.044_273_782_427_413_8,
        1.021_897_148_654_116_6,
        1.010_889_286_051_700_5,
        1.005_429_901_112_802_7,
        1.002_711_275_050_202_5,
    ];
    let mut product = 0.5;
    for (at, root) in ROOTS.iter().enumerate() {
        if index >> (7 - at) & 1 == 1 {
            product *= root;
        }
    }
    product
}

/// `fraction * 2^exponent` for a fraction in [0.5, 1), rounded once.
fn scale(fraction: f64, exponent: i64) -> f64 {
    if exponent > 1024 {
        f64::INFINITY
    } else if exponent > 1000 {
        fraction * power_of_two(exponent - 100) * power_of_two(100)
    } else if exponent < -1000 {
        fraction * power_of_two(-1000) * power_of_two((exponent + 1000).max(-1074))
    } else {
        fraction * power_of_two(exponent)
    }
}

fn power_of_two(exponent: i64) -> f64 {
    match exponent {
        1024.. => f64::INFINITY,
        -1022..=1023 => f64::from_bits(((exponent + 1023) as u64) << 52),
        -1074..=-1023 => f64::from_bits(1 << (exponent + 1074)),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_every_two_to_the_schema_buckets() {
        assert_eq!(bound(0, 0, &[]), 1.0);
        assert_eq!(bound(1, 0, &[]), 2.0);
        assert_eq!(bound(-1, 0, &[]), 0.5);
        assert_eq!(bound(8, 3, &[]), 2.0);
        assert_eq!(bound(1, -1, &[]), 4.0);
        assert_eq!(bound(1024, 0, &[]), f64::MAX);
        assert_eq!(bound(1025, 0, &[]), f64::INFINITY);
        assert_eq!(bound(-1, CUSTOM_SCHEMA, &[1.0]), f64::NEG_INFINITY);
        assert_eq!(bound(1, CUSTOM_SCHEMA, &[1.0]), f64::INFINITY);
    }
}
