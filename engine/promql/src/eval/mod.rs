//! Evaluation, column by column.
//!
//! A vector expression is a stream of series; each carries its values for *all* steps of the query. A selector decodes
//! one series at a time into a buffer that is reused, functions change the column in place, an aggregation adds
//! it to its group's columns: a query of many series holds its groups, not its series. An instant query is a
//! grid of one step.

mod aggregate;
mod annotations;
mod binary;
mod column;
mod grid;
mod group;
pub(crate) mod order;
mod output;
mod parts;
mod range;
mod seek;
mod select;
mod smoothed;
mod vector;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::arithmetic::Monotonicity;
use super::plan::{Duration, Expr, Function, Span};
use super::select::{Projection, SelectRequest, Selection, View};
use super::{Annotations, EvalOptions, MemoryLease, QueryError, Stop};

pub use aggregate::{Heap, int_param};
pub use binary::{changes_schema, result_labels, signature_rule};
pub use column::{ABSENT, is_absent};
pub(crate) use column::{Column, Point, Series};
pub(crate) use grid::{Grid, Windows};
pub use group::{KeyRule, Keys};
pub use order::by_value;
pub(crate) use output::{instant, range};
pub(crate) use parts::{Columns, Worker};
pub(crate) use range::{RangeInput, RangeReader, RangeSamples};
pub(crate) use seek::Seek;
pub(crate) use vector::{Merger, unique_without_name};
pub use vector::{is_reserved, without_reserved};

/// Receives the series of a vector: its labels, whether its name is removed at the end of the query, and its values, which
/// the receiver may change.
pub(crate) type Sink<'s> =
    dyn FnMut(&stillwell_model::labels::Labels, bool, &mut Column) -> Result<(), QueryError> + 's;

/// The input of an evaluation: a plan with resolved durations, and the text of the query for positions.
pub(crate) struct ResolvedPlan<'a> {
    pub(crate) expr: &'a Expr,
    pub(crate) text: &'a str,
}

/// The functions of the language, as the evaluator calls them. A trait, so that evaluation does not depend on the
/// functions, which depend on it.
pub(crate) trait Calls: Sync {
    /// Streams the series of a call that yields a vector.
    #[expect(
        clippy::too_many_arguments,
        reason = "the call, where and how it is evaluated, and who receives it"
    )]
    fn stream(
        &self,
        eval: &Eval<'_>,
        expr: &Expr,
        function: &Function,
        args: &[Expr],
        grid: Grid,
        need: Projection<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError>;

    /// The values of a call that yields a scalar, one per step.
    fn scalar(
        &self,
        eval: &Eval<'_>,
        expr: &Expr,
        function: &Function,
        args: &[Expr],
        grid: Grid,
    ) -> Result<Vec<f64>, QueryError>;
}

/// A sample with its time, in bytes.
pub(crate) const SAMPLE_BYTES: u64 = 16;

/// A selection, and what it holds of the query's memory.
pub(crate) struct Selected<'m> {
    selection: Box<dyn Selection>,
    memory: &'m MemoryLease,
    bytes: u64,
}

impl std::ops::Deref for Selected<'_> {
    type Target = dyn Selection;

    fn deref(&self) -> &(dyn Selection + 'static) {
        &*self.selection
    }
}

impl Drop for Selected<'_> {
    fn drop(&mut self) {
        self.memory.release(self.bytes);
    }
}

/// Samples that are added up between two questions whether to stop: a millisecond.
const WORK_BETWEEN_POLLS: usize = 1 << 19;

/// The state of one evaluation. It is passed by shared reference; what changes is in cells.
pub(crate) struct Eval<'a> {
    pub(crate) view: &'a dyn View,
    calls: &'a dyn Calls,
    pub(crate) options: &'a EvalOptions<'a>,
    text: &'a str,
    /// The query's own range, for `@ start()` and `@ end()`.
    pub(crate) query_start_ms: i64,
    pub(crate) query_end_ms: i64,
    pub(crate) query_step_ms: i64,
    annotations: RefCell<annotations::AnnotationCollector>,
    /// Held by all threads of the query, as is `memory`.
    samples: Arc<AtomicU64>,
    pub(crate) memory: Arc<MemoryLease>,
    polls: Cell<u32>,
    /// Samples added up since `poll_after` has last asked.
    work: Cell<usize>,
}

impl<'a> Eval<'a> {
    /// A sample's time in seconds of the wall clock.
    pub(crate) fn wall_seconds(&self, time_ms: i64) -> f64 {
        time_ms.saturating_add(self.options.wall_offset_ms) as f64 / 1000.0
    }

    pub(crate) fn warn(&self, span: Span, message: impl AsRef<str>) {
        self.annotations
            .borrow_mut()
            .warn(self.text, span, message.as_ref());
    }

    pub(crate) fn info(&self, span: Span, message: impl AsRef<str>) {
        self.annotations
            .borrow_mut()
            .info(self.text, span, message.as_ref());
    }

    pub(crate) fn annotate_forced_buckets(
        &self,
        span: Span,
        message: String,
        seen: &Monotonicity,
        at_ms: i64,
    ) {
        self.annotations
            .borrow_mut()
            .forced(self.text, span, message, seen, at_ms);
    }

    fn into_annotations(self) -> Annotations {
        self.annotations.into_inner().into_annotations()
    }

    /// Counts samples that the query holds from now on; an error above the limit.
    pub(crate) fn hold(&self, samples: u64) -> Result<(), QueryError> {
        let now = self.samples.fetch_add(samples, Ordering::Relaxed) + samples;
        if let Some(tally) = self.options.tally {
            tally.held(now);
        }
        if now > self.options.samples_max {
            let message =
                "query processing would load too many samples into memory in query execution";
            return Err(QueryError::Execution(message.to_owned()));
        }
        self.memory.hold(samples.saturating_mul(SAMPLE_BYTES))
    }

    /// Counts bytes beside samples that the query now holds: labels, texts.
    pub(crate) fn hold_bytes(&self, bytes: usize) -> Result<(), QueryError> {
        self.memory.hold(bytes as u64)
    }

    /// Takes back what `hold_bytes` counted.
    pub(crate) fn release_bytes(&self, bytes: usize) {
        self.memory.release(bytes as u64);
    }

    /// Reads a selector. What the view copies for it is counted for as long as the selection is there.
    pub(crate) fn select(&self, request: SelectRequest<'_>) -> Result<Selected<'_>, QueryError> {
        self.poll_now()?;
        let held_before = self.memory.held();
        let stop = || self.poll_now();
        let selection = self.view.select(&SelectRequest {
            memory: Some(&self.memory),
            stop: Some(&stop),
            ..request
        })?;
        Ok(Selected {
            selection,
            memory: &self.memory,
            bytes: self.memory.held().saturating_sub(held_before),
        })
    }

    /// Releases samples counted by `hold`.
    pub(crate) fn release(&self, samples: u64) {
        self.samples.fetch_sub(samples, Ordering::Relaxed);
        self.memory.release(samples.saturating_mul(SAMPLE_BYTES));
    }

    /// Checks whether the query must stop, on every 64th call; called once per series, and per step where a step is more
    /// than an addition.
    pub(crate) fn poll(&self) -> Result<(), QueryError> {
        let polls = self.polls.get().wrapping_add(1);
        self.polls.set(polls);
        match polls % 64 {
            0 => self.poll_now(),
            _ => Ok(()),
        }
    }

    /// Asks whether to stop once for every [`WORK_BETWEEN_POLLS`] samples that were added up: for work on one series that may
    /// take seconds.
    pub(crate) fn poll_after(&self, samples: usize) -> Result<(), QueryError> {
        let work = self.work.get().saturating_add(samples);
        if work < WORK_BETWEEN_POLLS {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        self.poll_now()
    }

    /// Asks whether to stop.
    pub(crate) fn poll_now(&self) -> Result<(), QueryError> {
        match self.options.stop {
            Some(stop) => match stop() {
                None => Ok(()),
                Some(Stop::Timeout) => Err(QueryError::Timeout(
                    "query timed out in expression evaluation".to_owned(),
                )),
                Some(Stop::Canceled) => Err(QueryError::Canceled(
                    "query was canceled in expression evaluation".to_owned(),
                )),
            },
            None => Ok(()),
        }
    }

    /// Whether the query has steps.
    pub(crate) fn is_range_query(&self) -> bool {
        self.query_step_ms > 0
    }

    /// Whether functions mark names for later removal instead of removing them.
    pub(crate) fn delayed_names(&self) -> bool {
        self.options.features.delayed_name_removal
    }
}

/// Milliseconds of a duration that `resolve` has made known.
pub(crate) fn known_ms(duration: &Duration) -> i64 {
    duration.fixed_ms().unwrap_or(0)
}

pub(crate) fn execution(message: impl Into<String>) -> QueryError {
    QueryError::Execution(message.into())
}

pub(crate) fn not_implemented(expr: &Expr, what: &str) -> QueryError {
    execution(format!(
        "{what} is not built yet (at byte {})",
        expr.span.start
    ))
}
