//! The state of one evaluation, and the functions of the language as it calls them.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::annotations::AnnotationCollector;
use super::{Grid, ResolvedPlan, Sink};
use crate::arithmetic::Monotonicity;
use crate::plan::{Expr, Function, Span};
use crate::select::{Projection, View};
use crate::{Annotations, EvalOptions, MemoryLease, QueryError};

/// The state of one evaluation. It is passed by shared reference; what changes is in cells.
pub(crate) struct Eval<'a> {
    pub(crate) view: &'a dyn View,
    pub(super) calls: &'a dyn Calls,
    pub(crate) options: &'a EvalOptions<'a>,
    pub(super) text: &'a str,
    /// The query's own range, for `@ start()` and `@ end()`.
    pub(crate) query_start_ms: i64,
    pub(crate) query_end_ms: i64,
    pub(crate) query_step_ms: i64,
    pub(super) annotations: RefCell<AnnotationCollector>,
    /// Held by all threads of the query, as is `memory`.
    pub(super) samples: Arc<AtomicU64>,
    pub(crate) memory: Arc<MemoryLease>,
    pub(super) polls: Cell<u32>,
    /// Samples added up since `poll_after` has last asked.
    pub(super) work: Cell<usize>,
}

impl<'a> Eval<'a> {
    pub(super) fn new(
        view: &'a dyn View,
        calls: &'a dyn Calls,
        options: &'a EvalOptions<'a>,
        plan: &'a ResolvedPlan<'_>,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
    ) -> Eval<'a> {
        Eval {
            view,
            calls,
            options,
            text: plan.text,
            query_start_ms: start_ms,
            query_end_ms: end_ms,
            query_step_ms: step_ms,
            annotations: Default::default(),
            samples: Default::default(),
            memory: Arc::new(MemoryLease::new(options.memory.cloned(), options.bytes_max)),
            polls: Default::default(),
            work: Default::default(),
        }
    }

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

    pub(super) fn into_annotations(self) -> Annotations {
        self.annotations.into_inner().into_annotations()
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
