//! Arithmetic that must agree with Prometheus, which is written in Go, to the last bit.
//!
//! * [`go_math`]: `exp`, logarithms, `pow`, `min`, `max` as Go's `math` package computes them.
//! * [`kahan_inc`]: the compensated addition of Prometheus' sums and averages.

pub mod go_math;
pub mod go_trig;
mod kahan;

pub use kahan::kahan_inc;
