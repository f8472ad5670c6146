//! Signals of the configuration, checked and registered with the engine.

use stillwell_engine::promql::plan::ValueType;
use stillwell_engine::promql::{Features, Query};
use stillwell_engine::signal::SignalId;
use stillwell_engine::{Engine, Limits, Reader};

use crate::config::{Problem, SignalSpec};

/// Checks every expression of the configuration: whether the engine would keep it.
pub fn check(specs: &[SignalSpec]) -> Vec<Problem> {
    let (_, reader) = Engine::new(Limits::default());
    register(specs, &reader, &[]).err().unwrap_or_default()
}

/// Registers signals: of one whose expression and jobs are those of a signal of `before`, that one goes on. With errors nothing is
/// registered.
pub(super) fn register(
    specs: &[SignalSpec],
    reader: &Reader,
    before: &[(SignalSpec, SignalId)],
) -> Result<Vec<(SignalSpec, SignalId)>, Vec<Problem>> {
    let (mut registered, mut started, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for spec in specs {
        let same = |(old, id): &&(SignalSpec, SignalId)| {
            // Two signals of one expression are two signals.
            let free = registered.iter().all(|(_, taken)| taken != id);
            free && old.expr == spec.expr && old.policy.jobs == spec.policy.jobs
        };
        let kept = before.iter().find(same).map(|(_, id)| *id);
        if let Some(why) = no_number(&spec.expr) {
            let message = format!("signal {:?}: expr: {why}", spec.name);
            problems.push(Problem::new(spec.line.0, message));
            continue;
        }
        let id = match kept {
            Some(id) => Ok(id),
            None => reader
                .register(&spec.expr, spec.policy.clone())
                .inspect(|id| started.push(*id)),
        };
        match id {
            Ok(id) => registered.push((spec.clone(), id)),
            Err(error) => {
                let message = format!("signal {:?}: expr: {error}", spec.name);
                problems.push(Problem::new(spec.line.0, message));
            }
        }
    }
    if problems.is_empty() {
        return Ok(registered);
    }
    for id in started {
        reader.remove(id);
    }
    Err(problems)
}

/// Why a query can never be a number, whatever is scraped; `None` where it may, or does not parse.
fn no_number(expr: &str) -> Option<String> {
    let query = Query::parse(expr, &Features::all()).ok()?;
    match query.plan().value_type() {
        ValueType::Scalar | ValueType::Vector => None,
        other => Some(format!(
            "it yields a {}; a signal needs an instant vector or a scalar",
            other.documented()
        )),
    }
}
