//! What one metric proposes, and the largest of several proposals.

use super::Observed;

/// What a metric's value is held against, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `type: Value`: the ratio multiplies the ready pods.
    Value(i64),
    /// `type: AverageValue`: the sum is divided among the replicas.
    AverageValue(i64),
}

/// How far a ratio may be from 1 without effect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Above 1.
    pub up: f64,
    /// Below 1.
    pub down: f64,
}

impl Default for Tolerance {
    /// The controller's own.
    fn default() -> Tolerance {
        Tolerance { up: 0.1, down: 0.1 }
    }
}

impl Tolerance {
    fn holds(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// Replicas, or why there is no proposal.
pub type Proposal = Result<i32, String>;

/// What a metric proposes. No items are as bad as an error.
pub fn proposal(
    target: Target,
    items: &Result<Vec<i64>, String>,
    observed: Observed,
    tolerance: Tolerance,
) -> Proposal {
    let items = items.as_ref().map_err(Clone::clone)?;
    if items.is_empty() {
        return Err("no metrics returned from external metrics API".to_owned());
    }
    let sum = items
        .iter()
        .fold(0_i64, |sum, item| sum.saturating_add(*item)) as f64;
    match target {
        Target::Value(target) => {
            let ratio = sum / target as f64;
            let current = observed.spec_replicas;
            if current == 0 {
                return Ok(ceil(ratio));
            }
            if tolerance.holds(ratio) {
                return Ok(current);
            }
            // Pods that are not ready do not count: with none ready the proposal is 0, whatever the ratio.
            Ok(ceil(ratio * f64::from(observed.ready_pods)))
        }
        Target::AverageValue(target) => {
            let replicas = f64::from(observed.status_replicas);
            let ratio = sum / (target as f64 * replicas);
            if tolerance.holds(ratio) {
                return Ok(observed.status_replicas);
            }
            Ok(ceil(sum / target as f64))
        }
    }
}

/// The largest proposal. A metric that failed forbids scaling down: what it would have said may be more.
pub fn largest(proposals: &[Proposal], current: i32) -> Proposal {
    let best = proposals
        .iter()
        .filter_map(|one| one.as_ref().ok())
        .max()
        .copied();
    let failed = proposals.iter().find_map(|one| one.as_ref().err());
    match (best, failed) {
        (None, Some(why)) => Err(why.clone()),
        (Some(best), Some(why)) if best < current => Err(why.clone()),
        (Some(best), _) => Ok(best),
        (None, None) => Err("there is no metric".to_owned()),
    }
}

/// Rounded up, and held at the ends of what replicas can be.
fn ceil(replicas: f64) -> i32 {
    replicas.ceil() as i32 // a float's `as` saturates, and NaN is 0
}
