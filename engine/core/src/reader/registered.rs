//! Which signals there are, and what all of them go by.

use super::Reader;
use crate::promql::{QueryError, RecordedRules};
use crate::signal::{Names, Policy, SignalId, Unlisted, register, set_recorded};

impl Reader {
    /// Registers a signal: a query whose result is kept up to date and judged by `policy` before it is reported. Error: the
    /// query does not parse, or there are too many signals. See also [`crate::Writer::register`].
    pub fn register(&self, query: &str, policy: Policy) -> Result<SignalId, QueryError> {
        register(&self.registry, &self.store, query, policy)
    }

    /// Replaces the policy of a signal. What is known of its targets stays; its state follows the new policy at once.
    pub fn set_policy(&self, signal: SignalId, policy: Policy) {
        self.registry.write().set_policy(signal, policy);
    }

    /// Removes a signal. Its id may be given to another one; if there is no such signal, nothing happens.
    pub fn remove(&self, signal: SignalId) {
        self.registry.write().remove(signal);
    }

    /// Sets what users configured about metric names, in addition to the built-in table (rules S4, S7).
    pub fn set_names(&self, names: Names) {
        self.registry.write().set_names(names);
    }

    /// Sets the jobs whose discovery has given no list since this program started. What may read their targets is unknown
    /// while the lists are awaited, and what reads targets that a snapshot knows of them until they are there, for an hour at most (rule S6f).
    pub fn set_unlisted(&self, unlisted: Unlisted) {
        self.registry.write().facts.set_unlisted(unlisted);
    }

    /// Sets the step of subqueries that name none, in milliseconds. Prometheus' is its `evaluation_interval`.
    pub fn set_subquery_step(&self, step_ms: i64) {
        self.registry.write().set_subquery_step(step_ms);
    }

    /// Sets the recording rules whose series signals read as the rules' expressions: a recorded sample is as old as the
    /// rule's last evaluation, and does not say of which targets it tells. Signals whose queries change by that begin anew.
    pub fn set_recorded(&self, recorded: RecordedRules) {
        set_recorded(&self.registry, &self.store, recorded);
    }
}
