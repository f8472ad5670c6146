//! Compensated summation (Kahan's method in Neumaier's variant), as Prometheus' `kahansum.Inc` does it.

/// Adds `increment` to `sum`, collecting the rounding error in `compensation`; the total is `sum + compensation`.
///
/// An infinite total clears the compensation, which would otherwise become NaN.
#[inline]
pub fn kahan_inc(increment: f64, sum: &mut f64, compensation: &mut f64) {
    let total = *sum + increment;
    if total.is_infinite() {
        *compensation = 0.0;
    } else if sum.abs() >= increment.abs() {
        *compensation += (*sum - total) + increment;
    } else {
        *compensation += (increment - total) + *sum;
    }
    *sum = total;
}

/// The same without branches, so that several sums can be added to at the same time, as long as everything is finite. The
/// rounding error is that of Knuth's two-sum: exact, as Neumaier's is, so the bits are equal.
///
/// Once something is not finite, or so close to the largest number that an intermediate result is not, `sum` or
/// `compensation` is not finite and stays so: whoever uses this looks at both at the end.
#[inline(always)]
pub fn kahan_inc_finite(increment: f64, sum: &mut f64, compensation: &mut f64) {
    let total = *sum + increment;
    let of_increment = total - *sum;
    let of_sum = total - of_increment;
    *compensation += (*sum - of_sum) + (increment - of_increment);
    *sum = total;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>(),
            (-1_000i32..1_000).prop_map(f64::from),
            -1e16..1e16f64,
            Just(-0.0),
            Just(f64::MAX),
            Just(f64::INFINITY),
            Just(f64::NAN),
        ]
    }

    proptest! {
        #[test]
        fn without_branches_the_sum_is_the_same_or_not_finite(
            numbers in prop::collection::vec(number(), 1..50),
        ) {
            let (mut sum, mut compensation) = (numbers[0], 0.0);
            for number in &numbers[1..] {
                kahan_inc(*number, &mut sum, &mut compensation);
            }
            let (mut fast_sum, mut fast_compensation) = (-0.0, 0.0);
            for number in &numbers {
                kahan_inc_finite(*number, &mut fast_sum, &mut fast_compensation);
            }
            if fast_sum.is_finite() && fast_compensation.is_finite() {
                prop_assert_eq!(
                    (fast_sum.to_bits(), fast_compensation.to_bits()),
                    (sum.to_bits(), compensation.to_bits())
                );
            } else {
                // Numbers of any size but the largest are within reach.
                let is_small = numbers.iter().all(|number| number.abs() < f64::MAX / 100.0);
                prop_assert!(!is_small);
            }
        }
    }
}
