//! The arithmetic of the HorizontalPodAutoscaler (autoscaling/v2, External metrics): from numbers to replicas.
//!
//! Pure, in the controller's own order: a proposal per metric, the largest of them, stabilisation, rates, bounds. The
//! docs and a simulator use it to say what a number will do; nothing here talks to a cluster.

mod behavior;
mod proposal;

pub use behavior::{Behavior, Policy, PolicyKind, Rules, Select};
pub use proposal::{Proposal, Target, Tolerance, largest, proposal};

use behavior::History;

/// The specification of one autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// `minReplicas`; 0 needs the HPAScaleToZero gate.
    pub min: i32,
    /// `maxReplicas`
    pub max: i32,
    /// A target for each metric, in order.
    pub targets: Vec<Target>,
    /// `behavior`, with defaults filled in.
    pub behavior: Behavior,
}

/// The scale target as the controller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// `spec.replicas` of the scale subresource.
    pub spec_replicas: i32,
    /// `status.replicas` of it.
    pub status_replicas: i32,
    /// Pods that run and are ready.
    pub ready_pods: i32,
    /// Whether this autoscaler itself has scaled the target to zero; only then it wakes it.
    pub scaled_to_zero: bool,
}

/// What a sync does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// `spec.replicas` becomes this (or stays).
    Replicas(i32),
    /// `spec.replicas` is 0 and not by this autoscaler's doing: it does nothing.
    Disabled,
    /// Metrics failed, and what is left would scale down or is nothing: nothing changes.
    Failed(String),
}

/// One autoscaler over time.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    spec: Spec,
    history: History,
}

impl Autoscaler {
    /// An autoscaler that has seen nothing yet.
    pub fn new(spec: Spec) -> Autoscaler {
        Autoscaler {
            spec,
            history: History::default(),
        }
    }

    /// One sync at `now_s`: each metric's items in thousandths, or why there are none.
    pub fn sync(
        &mut self,
        now_s: i64,
        observed: Observed,
        metrics: &[Result<Vec<i64>, String>],
    ) -> Decision {
        let Spec { min, max, .. } = self.spec;
        let current = observed.spec_replicas;
        if current == 0 && (min != 0 || !observed.scaled_to_zero) {
            return Decision::Disabled;
        }
        // Out of bounds: corrected without a look at the metrics.
        let desired = if current > max {
            max
        } else if current < min {
            min
        } else {
            let pairs = self.spec.targets.iter().zip(metrics);
            let tolerance = self.spec.behavior.tolerance;
            let proposals: Vec<Proposal> = pairs
                .map(|(target, items)| proposal(*target, items, observed, tolerance))
                .collect();
            let wanted = match largest(&proposals, current) {
                Ok(wanted) => wanted,
                Err(why) => return Decision::Failed(why),
            };
            let stable = self
                .history
                .stabilize(now_s, current, wanted, &self.spec.behavior);
            let limited = self
                .history
                .limit(now_s, current, stable, &self.spec.behavior);
            limited.clamp(min, max)
        };
        self.history.record_change(now_s, desired - current);
        Decision::Replicas(desired)
    }
}

#[cfg(test)]
mod tests;
