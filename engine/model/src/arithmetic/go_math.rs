//! Exponentials, logarithms and powers as Go computes them.
//!
//! Go does not use the functions of the C library; its results sometimes differ in the last bit, and rates, quantiles and
//! predictions built on them are compared with Prometheus' bit for bit. The algorithms are the published ones that Go
//! names: FreeBSD's `e_log` and `e_exp`, Shibata's exponential (with fused multiply-add, as on amd64 servers), powers by
//! squaring.

#![allow(clippy::excessive_precision)] // the constants as they were published

use std::f64::consts::{LOG2_E, LOG10_E, SQRT_2};

/// ln 2 in two parts, the first short enough that products with whole exponents are exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238_164_90e-01;
const LN2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;

/// Go's `math.Exp`.
pub fn exp(x: f64) -> f64 {
    const LN2_UPPER: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
    const LN2_LOWER: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;
    /// `1/n!`, from the highest.
    const TAYLOR: [f64; 8] = [
        2.480_158_730_158_730_158_7e-5,
        1.984_126_984_126_984_127_0e-4,
        1.388_888_888_888_888_888_9e-3,
        8.333_333_333_333_333_333_3e-3,
        4.166_666_666_666_666_666_7e-2,
        1.666_666_666_666_666_666_7e-1,
        0.5,
        1.0,
    ];
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x > 709.782_712_893_384 {
        return f64::INFINITY;
    }
    if x < -745.2 {
        return 0.0;
    }
    let k = (LOG2_E * x).round_ties_even();
    let mut r = (-k).mul_add(LN2_UPPER, x);
    r = (-k).mul_add(LN2_LOWER, r);
    r *= 0.0625;
    let mut sum = TAYLOR[0];
    for term in &TAYLOR[1..] {
        sum = r.mul_add(sum, *term);
    }
    r *= sum;
    for _ in 0..3 {
        r *= r + 2.0;
    }
    r = (r + 2.0).mul_add(r, 1.0);
    ldexp(r, k as i32)
}

/// Go's `math.Log`.
pub fn ln(x: f64) -> f64 {
    const L1: f64 = 6.666_666_666_666_735_130e-01;
    const L2: f64 = 3.999_999_999_940_941_908e-01;
    const L3: f64 = 2.857_142_874_366_239_149e-01;
    const L4: f64 = 2.222_219_843_214_978_396e-01;
    const L5: f64 = 1.818_357_216_161_805_012e-01;
    const L6: f64 = 1.531_383_769_920_937_332e-01;
    const L7: f64 = 1.479_819_860_511_658_591e-01;
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    // As on amd64, numbers below the normal ones are not normalised first.
    let bits = x.to_bits();
    let mut fraction = f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52);
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    if fraction < SQRT_2 / 2.0 {
        fraction *= 2.0;
        exponent -= 1;
    }
    let (f, k) = (fraction - 1.0, f64::from(exponent));
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let t1 = s2 * (L1 + s4 * (L3 + s4 * (L5 + s4 * L7)));
    let t2 = s4 * (L2 + s4 * (L4 + s4 * L6));
    let half_square = 0.5 * f * f;
    k * LN2_HIGH - ((half_square - (s * (half_square + (t1 + t2)) + k * LN2_LOW)) - f)
}

/// Go's `math.Log2`: exact for powers of two.
pub fn log2(x: f64) -> f64 {
    let (fraction, exponent) = frexp(x);
    if fraction == 0.5 {
        return f64::from(exponent - 1);
    }
    ln(fraction) * LOG2_E + f64::from(exponent)
}

/// Go's `math.Log10`: of the natural logarithm, whatever that is for the smallest numbers.
pub fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

/// Go's `math.Exp2`.
pub fn exp2(x: f64) -> f64 {
    const P: [f64; 5] = [
        1.666_666_666_666_666_574_15e-01,
        -2.777_777_777_701_559_338_42e-03,
        6.613_756_321_437_934_361_17e-05,
        -1.653_390_220_546_525_153_90e-06,
        4.138_136_797_057_238_460_39e-08,
    ];
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x == f64::NEG_INFINITY || x < -1.0740e+03 {
        return 0.0;
    }
    if x > 1.023_999_999_999_999_9e+03 {
        return f64::INFINITY;
    }
    let k = if x > 0.0 {
        (x + 0.5) as i32
    } else {
        (x - 0.5) as i32
    };
    let t = x - f64::from(k);
    let (high, low) = (t * LN2_HIGH, -t * LN2_LOW);
    let r = high - low;
    let t = r * r;
    let c = r - t * (P[0] + t * (P[1] + t * (P[2] + t * (P[3] + t * P[4]))));
    let y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    ldexp(y, k)
}

/// Go's `math.Pow`.
pub fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if y == 1.0 {
        return x;
    }
    let special = x.is_nan() || y.is_nan() || x == 0.0 || y.is_infinite() || x.is_infinite();
    if special {
        // The rules of IEEE 754 leave nothing to compute here.
        return x.powf(y);
    }
    if y == 0.5 {
        return x.sqrt();
    }
    if y == -0.5 {
        return 1.0 / x.sqrt();
    }
    let (mut whole, mut part) = (y.abs().trunc(), y.abs().fract());
    if part != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    if whole >= 9_223_372_036_854_775_808.0 {
        return match () {
            () if x == -1.0 => 1.0,
            () if (x.abs() < 1.0) == (y > 0.0) => 0.0,
            () => f64::INFINITY,
        };
    }
    let (mut power, mut exponent) = (1.0, 0i32);
    if part != 0.0 {
        if part > 0.5 {
            part -= 1.0;
            whole += 1.0;
        }
        power = exp(part * ln(x));
    }
    let (mut square, mut square_exponent) = frexp(x);
    let mut bits = whole as i64;
    while bits != 0 {
        if !(-(1 << 12)..=1 << 12).contains(&square_exponent) {
            // Far out of range already.
            exponent += square_exponent;
            break;
        }
        if bits & 1 == 1 {
            power *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent <<= 1;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        power = 1.0 / power;
        exponent = -exponent;
    }
    ldexp(power, exponent)
}

/// A fraction in [0.5, 1) and an exponent of two.
fn frexp(x: f64) -> (f64, i32) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0);
    }
    let (x, shift) = if x.abs() < f64::MIN_POSITIVE {
        (x * (1u64 << 52) as f64, -52)
    } else {
        (x, 0)
    };
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    (
        f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52),
        exponent + shift,
    )
}

/// `fraction * 2^exponent`, rounded once.
pub fn ldexp(fraction: f64, exponent: i32) -> f64 {
    if fraction == 0.0 || !fraction.is_finite() {
        return fraction;
    }
    let (fraction, own) = frexp(fraction);
    let exponent = own.saturating_add(exponent);
    let power = |exponent: i32| f64::from_bits(((exponent + 1023) as u64) << 52);
    match exponent {
        1025.. => f64::INFINITY.copysign(fraction),
        -1021..=1024 => fraction * 2.0 * power(exponent - 1),
        -1075..=-1022 => fraction * power(exponent + 64) * power(-64),
        _ => 0.0f64.copysign(fraction),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_the_c_library_everywhere() {
        let near =
            |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || ((a - b) / b).abs() < 1e-14;
        for step in 1..20_000 {
            let x = f64::from(step) * 0.0379 - 300.0;
            assert!(near(exp(x), x.exp()), "exp {x}");
            assert!(near(exp2(x), x.exp2()), "exp2 {x}");
            let x = x.abs() + 1e-9;
            assert!(
                (ln(x) - x.ln()).abs() < 1e-14 * x.ln().abs().max(1.0),
                "ln {x}"
            );
            assert!(near(log2(x * 3.0), (x * 3.0).log2()), "log2 {x}");
            assert!(near(pow(x, 2.5), x.powf(2.5)), "pow {x}");
            assert!(near(pow(x, -3.0), x.powf(-3.0)), "pow {x}");
        }
    }

    #[test]
    fn edges_are_gos() {
        assert_eq!(
            (exp(0.0), exp(f64::NEG_INFINITY), exp(1e9), exp(-1e9)),
            (1.0, 0.0, f64::INFINITY, 0.0)
        );
        assert_eq!(
            (log2(8.0), log10(3.0), ln(0.0)),
            (3.0, 0.477_121_254_719_662_4, f64::NEG_INFINITY)
        );
        assert_eq!(
            (exp(-709.0), exp(-745.13), exp(-745.2)),
            (1.216_780_750_623_423e-308, 5e-324, 0.0)
        );
        assert!(ln(-1.0).is_nan() && pow(-8.0, 1.0 / 3.0).is_nan());
        assert_eq!(
            (pow(2.0, 10.0), pow(-2.0, 3.0), pow(0.0, -1.0)),
            (1024.0, -8.0, f64::INFINITY)
        );
        assert_eq!(
            (ldexp(0.5, 1), ldexp(0.75, -1074), ldexp(0.5, 2000)),
            (1.0, 5e-324, f64::INFINITY)
        );
        assert_eq!((pow(1e300, 2.0), pow(1e-300, 2.0)), (f64::INFINITY, 0.0));
    }
}
