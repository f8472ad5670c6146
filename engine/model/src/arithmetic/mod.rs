//! Arithmetic that must agree with Prometheus, which is written in Go, to the last bit.
//!
//! * [`go_math`]: `exp`, logarithms and `pow` as Go's `math` package computes them.
//! * [`kahan_inc`]: the compensated addition of Prometheus' sums and averages; [`kahan_inc_finite`]: the same without branches.
//!
//! Trigonometric and hyperbolic functions come from the standard library; they may differ from Go's in the last bits.

pub mod go_math;
mod kahan;

pub use kahan::{kahan_inc, kahan_inc_finite};
