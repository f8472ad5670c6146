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
