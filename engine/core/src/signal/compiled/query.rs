//! A compiled query: when its program is bound, when it may run, and why it does not.

use super::super::evaluate::Evaluation;
use super::super::facts::Facts;
use super::super::query::SignalQuery;
use super::EvalContext;
use super::compile;
use super::halt::{Blocked, Halt, Unsupported};
use super::program::Program;
use super::visibility::{self, EvalSnapshot};

/// A compiled query, and the series to which it is bound.
pub(crate) struct CompiledQuery {
    program: Program,
    /// The metrics that it reads, under all their names.
    metrics: Vec<String>,
    /// Whether some selector fixes no metric.
    reads_any: bool,
    bound: Bound,
    /// Why the last run did not come to its end, if what stopped it may be over at the next.
    stopped: Option<Halt>,
}

/// Whether the program is bound to the series of the store.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Not,
    /// To those of this structure (`Facts::structure`), after so many blocks of history were dropped for the memory limit.
    To {
        structure: u64,
        blocks_lost: u64,
    },
    /// Not before the structure changes or this time, in milliseconds.
    Blocked {
        structure: u64,
        retry_ms: i64,
        why: &'static str,
    },
}

/// How long a blocked program waits before it is bound again, which costs as much as an evaluation from the plan.
const RETRY_MS: i64 = 5_000;

impl CompiledQuery {
    /// Compiles a query. Error: what in it no program has.
    pub(crate) fn compile(query: &SignalQuery) -> Result<CompiledQuery, Unsupported> {
        Ok(CompiledQuery {
            program: compile::compile(query)?,
            metrics: Vec::new(),
            reads_any: false,
            bound: Bound::Not,
            stopped: None,
        })
    }

    /// Evaluates into `out`. False if the query has to be evaluated from the plan. Allocates nothing while the structure is
    /// unchanged and every sample is a finite number.
    pub(crate) fn evaluate(&mut self, context: &EvalContext<'_>, out: &mut Evaluation) -> bool {
        if !visibility::is_newest(context) {
            return false;
        }
        self.stopped = None;
        // The second time with larger rings, if scrapes came faster than their interval says.
        for _ in 0..2 {
            if !self.is_bound(context) {
                return false;
            }
            let store = context.store.read();
            match self.program.run(&EvalSnapshot::new(&store, context)) {
                Ok(()) => {
                    self.program.result(out);
                    return true;
                }
                Err(Halt::Unbound) => {}
                Err(halt) => {
                    self.stopped = Some(halt);
                    return false;
                }
            }
            drop(store);
            self.program.forget_windows();
            self.bound = Bound::Not;
        }
        false
    }

    /// Whether the next evaluation selects its series anew, which takes time by their number and not by what has changed.
    pub(crate) fn selects(&self, facts: &Facts, at_ms: i64) -> bool {
        let changed = |since: u64| {
            since != facts.structure && (self.reads_any || facts.has_changed(&self.metrics, since))
        };
        match self.bound {
            Bound::Not => true,
            Bound::To { structure, .. } => changed(structure),
            Bound::Blocked {
                structure,
                retry_ms,
                ..
            } => changed(structure) || at_ms >= retry_ms,
        }
    }

    fn is_bound(&mut self, context: &EvalContext<'_>) -> bool {
        let structure = context.facts.structure;
        let blocks_lost = context.store.read().dropped.blocks_for_memory;
        let changed = |since: u64| {
            since != structure
                && (self.reads_any || context.facts.has_changed(&self.metrics, since))
        };
        match self.bound {
            Bound::To {
                structure: since,
                blocks_lost: lost,
            } if !changed(since) && (lost == blocks_lost || !self.program.has_windows()) => {
                self.bound = Bound::To {
                    structure,
                    blocks_lost,
                };
                return true;
            }
            Bound::Blocked {
                structure: since,
                retry_ms,
                ..
            } if !changed(since) && context.at_ms < retry_ms => return false,
            _ if context.store.read().is_any_committing() => {
                self.stopped = Some(Halt::Committing); // newest values are not what readers see
                return false;
            }
            Bound::To {
                blocks_lost: lost, ..
            } if lost == blocks_lost => {}
            // Windows may hold samples that history no longer has.
            _ => self.program.forget_windows(),
        }
        self.bind(context, structure, blocks_lost)
    }

    fn bind(&mut self, context: &EvalContext<'_>, structure: u64, blocks_lost: u64) -> bool {
        self.metrics.clear();
        self.reads_any = false;
        for source in self.program.sources() {
            let Some(metric) = &source.metric else {
                self.reads_any = true;
                continue;
            };
            let others = context.names.equivalents(metric).into_iter();
            self.metrics.extend(others.map(|(name, _)| name));
            self.metrics.push(metric.clone());
        }
        match self.program.bind(context) {
            Ok(()) => {
                self.bound = Bound::To {
                    structure,
                    blocks_lost,
                };
                true
            }
            Err(blocked) => {
                self.program.forget_windows();
                let retry_ms = match blocked {
                    Blocked::ByStructure(_) => i64::MAX,
                    Blocked::ForNow(_) => context.at_ms.saturating_add(RETRY_MS),
                };
                self.bound = Bound::Blocked {
                    structure,
                    retry_ms,
                    why: blocked.why(),
                };
                false
            }
        }
    }

    /// Why the program is not run at present.
    pub(crate) fn blocked(&self) -> Option<&'static str> {
        match (self.bound, self.stopped) {
            (Bound::Blocked { why, .. }, _) => Some(why),
            (_, Some(Halt::Unfinished)) => Some(
                "the steps of its subqueries are computed anew, some with each page, once no target is frozen",
            ),
            (_, Some(Halt::Committing)) => {
                Some("a large page of one of its targets is being committed")
            }
            (_, Some(Halt::Unbound | Halt::Undecided)) => Some(
                "two elements have the same labels now, or a parameter is refused: evaluation from the plan says which",
            ),
            (Bound::Not | Bound::To { .. }, None) => None,
        }
    }

    /// The number of series that it reads.
    pub(crate) fn series(&self) -> usize {
        self.program.series()
    }

    /// Bytes that its windows hold.
    pub(crate) fn window_bytes(&self) -> usize {
        self.program.window_bytes()
    }
}
