//! A signal that is registered within the grace after a change of process (S6b): it has not measured what was true before.
//!
//! What nobody configured is registered when somebody asks, and again where it had to make room for others, or where nobody had
//! asked for a while. *After a failover 0 was told to an HPA, whose query 500 others had displaced since it was told 12.*

use super::facts::{ChangeKind, RecentChange, TargetFacts};
use super::registry::{SignalRegistry, concerns};
use super::scope::{self, Shared};
use super::signal::Signal;

impl SignalRegistry {
    /// Starts the graces that it would be in, had it been registered before. It takes a look at all targets, and
    /// one at all groups for each selector.
    pub(super) fn start_recent_graces(&self, signal: &mut Signal) {
        let since_ms = self.now_ms.saturating_sub(signal.policy.restart_grace_ms);
        let mut changes: Vec<RecentChange<'_>> = {
            let (signal, mut shared) = (&*signal, Shared::default());
            let changes = self.facts.changes_since(since_ms);
            let for_it = changes.filter(|change| self.is_one_for(signal, change, &mut shared));
            for_it.collect()
        };
        changes.sort_by_key(|change| change.at_ms);
        for change in &changes {
            signal.start_grace(&change.target.name, change.kind, change.at_ms);
        }
        if let Some(at_ms) = self.facts.forgotten_since(since_ms) {
            signal.start_grace("one of many targets", &ChangeKind::LeftDiscovery, at_ms);
        }
        signal.require_floor();
    }

    fn is_one_for<'a>(
        &'a self,
        signal: &'a Signal,
        change: &RecentChange<'_>,
        shared: &mut Shared<'a>,
    ) -> bool {
        concerns(change.kind, &signal.query, &self.names)
            && match change.id {
                Some(id) => signal.scope.shows(id),
                None => self.was_seen(signal, change.target, shared),
            }
    }

    /// Whether a target that left would be in the signal's scope.
    fn was_seen<'a>(
        &'a self,
        signal: &'a Signal,
        target: &TargetFacts,
        shared: &mut Shared<'a>,
    ) -> bool {
        let (facts, names) = (&self.facts, &self.names);
        let mut selectors = signal.query.selectors.iter();
        scope::is_of_allowed_job(&signal.policy, target)
            && selectors.any(|selector| {
                let groups = shared.exposing_groups(facts, names, selector);
                groups.contains(target.group.as_str())
                    && scope::contradiction(target, names, selector, &[]).is_none()
            })
    }
}
