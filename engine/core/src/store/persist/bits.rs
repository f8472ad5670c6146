//! Values and runs as they are written one after another.

use crate::ids::ClockId;
use crate::store::value_runs::ValueRun;
use crate::wire::{In, WireError, put_i, put_list, put_u};

/// Writes runs, after `base` where whoever reads has that one.
pub(super) fn put_runs(base: Option<ValueRun>, runs: &[ValueRun], out: &mut Vec<u8>) {
    let (mut clock, mut bits) = base.map_or((ClockId::NONE, 0), |run| (run.clock, run.bits));
    let mut before = base;
    put_list(out, runs.iter(), |out, run| {
        match before.filter(|_| run.clock == clock) {
            Some(before) => put_u(out, ((run.first_tick - before.first_tick) as u64) << 1),
            None => {
                put_u(out, 1);
                put_u(out, u64::from(run.clock.0));
                put_i(out, before.map_or(0, |before| before.end_tick));
                put_i(out, run.first_tick);
            }
        }
        put_bits(out, bits, run.bits);
        (clock, before, bits) = (run.clock, Some(*run), run.bits);
    });
}

/// A value after another one. Most are whole numbers that move by little.
fn put_bits(out: &mut Vec<u8>, before: u64, bits: u64) {
    match (whole(before), whole(bits)) {
        (Some(before), Some(now)) => {
            let delta = now - before;
            put_u(out, (((delta << 1) ^ (delta >> 63)) as u64) << 1);
        }
        _ => {
            put_u(out, 1);
            put_u(out, (bits ^ before).swap_bytes());
        }
    }
}

pub(super) fn take_bits(bytes: &mut In<'_>, before: u64) -> Result<u64, WireError> {
    let head = bytes.u()?;
    if head == 1 {
        return Ok(before ^ bytes.u()?.swap_bytes());
    }
    let delta = (head >> 2) as i64 ^ -((head >> 1 & 1) as i64);
    let sum = whole(before).and_then(|before| before.checked_add(delta));
    match sum.filter(|sum| head & 1 == 0 && sum.unsigned_abs() <= WHOLE_MAX as u64) {
        Some(sum) => Ok((sum as f64).to_bits()),
        None => Err("a value follows none"),
    }
}

/// Whole numbers up to here are floats without loss.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

fn whole(bits: u64) -> Option<i64> {
    let value = f64::from_bits(bits);
    let is_whole = value.abs() <= WHOLE_MAX && value.trunc() == value;
    (is_whole && bits != (-0.0f64).to_bits()).then_some(value as i64)
}
