//! `behavior`: what the past allows. Stabilisation windows first, then rates.

use super::Tolerance;

/// `behavior` of the specification.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// `scaleUp`
    pub up: Rules,
    /// `scaleDown`
    pub down: Rules,
    /// Tolerances of both.
    pub tolerance: Tolerance,
}

/// One direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `stabilizationWindowSeconds`
    pub window_s: i64,
    /// `policies`
    pub policies: Vec<Policy>,
    /// `selectPolicy`
    pub select: Select,
}

/// At most so much in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What `value` counts.
    pub kind: PolicyKind,
    /// Pods or percent.
    pub value: i32,
    /// `periodSeconds`
    pub period_s: i64,
}

/// What a policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Pods.
    Pods,
    /// Percent of the replicas at the start of the period.
    Percent,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The one that allows the largest change.
    Max,
    /// The one that allows the smallest.
    Min,
    /// None: no change in this direction.
    Disabled,
}

impl Default for Behavior {
    /// Kubernetes' defaults: up at once, by 100% or 4 pods in 15 s; down after 300 s, by 100% in 15 s.
    fn default() -> Behavior {
        let percent = Policy {
            kind: PolicyKind::Percent,
            value: 100,
            period_s: 15,
        };
        let pods = Policy {
            kind: PolicyKind::Pods,
            value: 4,
            period_s: 15,
        };
        Behavior {
            up: Rules {
                window_s: 0,
                policies: vec![percent, pods],
                select: Select::Max,
            },
            down: Rules {
                window_s: 300,
                policies: vec![percent],
                select: Select::Max,
            },
            tolerance: Tolerance::default(),
        }
    }
}

/// What was recommended and what was done.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// Times and unstabilised recommendations.
    recommendations: Vec<(i64, i32)>,
    /// Times and changes, up positive.
    changes: Vec<(i64, i32)>,
}

impl History {
    /// Up no further than the least recommended within the window for up, down no further than the most within the
    /// one for down.
    pub(super) fn stabilize(
        &mut self,
        now_s: i64,
        current: i32,
        wanted: i32,
        behavior: &Behavior,
    ) -> i32 {
        let (up_s, down_s) = (behavior.up.window_s, behavior.down.window_s);
        let (mut least, mut most) = (wanted, wanted);
        for (at_s, recommended) in &self.recommendations {
            if *at_s > now_s - up_s {
                least = least.min(*recommended);
            }
            if *at_s > now_s - down_s {
                most = most.max(*recommended);
            }
        }
        self.recommendations
            .retain(|(at_s, _)| *at_s > now_s - up_s.max(down_s));
        self.recommendations.push((now_s, wanted));
        current.max(least).min(most)
    }

    /// No faster than the policies allow.
    pub(super) fn limit(&self, now_s: i64, current: i32, wanted: i32, behavior: &Behavior) -> i32 {
        if wanted > current {
            let limit = self.bound(now_s, current, &behavior.up, true);
            wanted.min(limit.max(current))
        } else if wanted < current {
            let limit = self.bound(now_s, current, &behavior.down, false);
            wanted.max(limit.min(current))
        } else {
            wanted
        }
    }

    pub(super) fn record_change(&mut self, now_s: i64, change: i32) {
        /// The longest period that a policy may have.
        const PERIOD_S_MAX: i64 = 1800;
        self.changes
            .retain(|(at_s, _)| *at_s > now_s - PERIOD_S_MAX);
        if change != 0 {
            self.changes.push((now_s, change));
        }
    }

    fn bound(&self, now_s: i64, current: i32, rules: &Rules, up: bool) -> i32 {
        let bounds = rules.policies.iter().map(|policy| {
            let within = self
                .changes
                .iter()
                .filter(|(at_s, _)| *at_s > now_s - policy.period_s);
            let start = current - within.map(|(_, change)| change).sum::<i32>();
            let share = f64::from(policy.value) / 100.0;
            match (policy.kind, up) {
                (PolicyKind::Pods, true) => start.saturating_add(policy.value),
                (PolicyKind::Pods, false) => start.saturating_sub(policy.value),
                // Rounded up, so that one replica can become two at any percentage; down is cut off.
                (PolicyKind::Percent, true) => (f64::from(start) * (1.0 + share)).ceil() as i32,
                (PolicyKind::Percent, false) => (f64::from(start) * (1.0 - share)) as i32,
            }
        });
        // The largest change is the largest bound upwards and the smallest downwards.
        let bound = match (rules.select, up) {
            (Select::Disabled, _) => None,
            (Select::Max, true) | (Select::Min, false) => bounds.max(),
            (Select::Min, true) | (Select::Max, false) => bounds.min(),
        };
        bound.unwrap_or(current)
    }
}
