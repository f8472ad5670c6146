//! Evaluation of signals without holding a lock: for queries that are not compiled, and for signals that are evaluated
//! only when they are read.
//!
//! The facts that the query depends on are copied under the registry's lock, the query is evaluated on a snapshot without
//! it, and the result is stored under the lock again. Commits and readers wait only for the copy.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::promql::{EvalOptions, QueryError};
use crate::store::Store;
use crate::time::Timestamp;

use super::evaluate::evaluate;
use super::nan_as_zero;
use super::reading::SignalId;
use super::registry::SignalRegistry;
use super::view::SignalView;

/// Evaluates a signal of whose targets pages were committed since the last evaluation. `within` limits the evaluation in
/// addition to the signal's own policy. Error: it was stopped, or there is no memory for it; the signal is unchanged.
pub(crate) fn refresh(
    registry: &RwLock<SignalRegistry>,
    store: &Arc<RwLock<Store>>,
    id: SignalId,
    within: &EvalOptions<'_>,
) -> Result<(), QueryError> {
    let locked = registry.read();
    let Some(signal) = locked.signal(id).filter(|signal| signal.outdated) else {
        return Ok(());
    };
    let Some(at_ms) = locked.newest_good_ms(signal) else {
        return Ok(());
    };
    let view = SignalView::new(
        Arc::clone(store),
        &locked.facts,
        &locked.names,
        &signal.scope,
        at_ms,
    );
    let (query, serial, pages) = (signal.query.clone(), signal.serial, signal.pages);
    let nan = signal.policy.nan;
    let own = signal.policy.options();
    let options = EvalOptions {
        bytes_max: own.bytes_max.min(within.bytes_max),
        samples_max: own.samples_max.min(within.samples_max),
        memory: within.memory,
        stop: within.stop,
        wall_offset_ms: locked.facts.wall_offset_ms,
        ..own
    };
    drop(locked);
    let at = Timestamp::from_ms(at_ms);
    let mut evaluated = evaluate(&query, &view, at, &options);
    if let Ok(evaluation) = &mut evaluated
        && nan_as_zero::concerns(nan, evaluation)
    {
        let resolved = nan_as_zero::resolve(&query, &view, at, &options, evaluation);
        evaluated = evaluated.and_then(|evaluation| resolved.map(|()| evaluation));
    }
    let result = match evaluated {
        Err(
            error @ (QueryError::Timeout(_) | QueryError::Canceled(_) | QueryError::Overloaded(_)),
        ) => return Err(error),
        other => other.map_err(|error| error.to_string()),
    };
    let mut locked = registry.write();
    let SignalRegistry {
        facts,
        names,
        signals,
        ..
    } = &mut *locked;
    let signal = signals.get_mut(id.index()).and_then(Option::as_mut);
    // Meanwhile the id may have been given to another signal, or a newer page may have been evaluated.
    let is_newest = |at: Option<i64>| at.is_none_or(|have_ms| have_ms <= at_ms);
    if let Some(signal) = signal.filter(|signal| signal.serial == serial && is_newest(signal.at_ms))
    {
        signal.set_result(result, facts, names, at_ms);
        signal.outdated = signal.pages != pages;
    }
    Ok(())
}
