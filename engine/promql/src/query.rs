//! A parsed query and its evaluation: the entry points of the crate.

use std::sync::Arc;

use stillwell_model::labels::Matcher;
use stillwell_model::time::Timestamp;

use super::eval::{Grid, ResolvedPlan};
use super::functions::Functions;
use super::plan::{At, Duration, Expr, ExprKind, Selector};
use super::select::View;
use super::source::SourceError;
use super::{Answer, EvalOptions, Features, QueryError, eval, lower, source};

/// A parsed and checked query. Cheap to clone; it can be evaluated on any thread, any number of times.
#[derive(Clone, Debug)]
pub struct Query {
    plan: Arc<Expr>,
    /// For positions in annotations.
    text: Arc<str>,
    /// Whether some duration depends on the step or range of the evaluation.
    deferred: bool,
}

/// One selector of a query, with its range and modifiers.
#[derive(Clone, Copy, Debug)]
pub struct SelectorUse<'a> {
    /// Conditions; a series has to match all of them.
    pub matchers: &'a [Matcher],
    /// The range of a range selector.
    pub range: Option<&'a Duration>,
    /// `offset`.
    pub offset: &'a Duration,
    /// `@`.
    pub at: Option<At>,
}

impl Query {
    /// Parses and checks `text`. Errors are [`QueryError::BadData`] with Prometheus' text and the position in the query.
    pub fn parse(text: &str, features: &Features) -> Result<Query, QueryError> {
        match lower::parse(text, features) {
            Ok(plan) => {
                let deferred = plan.has_deferred_durations();
                Ok(Query {
                    plan: Arc::new(plan),
                    text: Arc::from(text),
                    deferred,
                })
            }
            Err(error) => Err(error.into_query_error(text)),
        }
    }

    /// Evaluates at one time. The result is a [`Value`](crate::Value) of the type of the expression, sorted as Prometheus
    /// sorts it.
    pub fn instant(
        &self,
        view: &dyn View,
        at: Timestamp,
        options: &EvalOptions<'_>,
    ) -> Result<Answer, QueryError> {
        let plan = self.resolved(0, 0)?;
        eval::instant(
            &ResolvedPlan {
                expr: &plan,
                text: &self.text,
            },
            view,
            &Functions,
            at,
            options,
        )
    }

    /// Evaluates at `start`, then every `step_ms` milliseconds up to and including `end`. The result is a matrix.
    pub fn range(
        &self,
        view: &dyn View,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
        options: &EvalOptions<'_>,
    ) -> Result<Answer, QueryError> {
        if step_ms <= 0 {
            return Err(bad_parameter(
                "zero or negative query resolution step widths are not accepted",
            ));
        }
        if end < start {
            return Err(bad_parameter("end timestamp must not be before start time"));
        }
        let plan = self.resolved(step_ms, end.since_ms(start))?;
        let grid = Grid::new(start.ms(), end.ms(), step_ms);
        eval::range(
            &ResolvedPlan {
                expr: &plan,
                text: &self.text,
            },
            view,
            &Functions,
            grid,
            end,
            options,
        )
    }

    /// The plan with all durations resolved.
    pub(crate) fn resolved(&self, step_ms: i64, range_ms: i64) -> Result<Arc<Expr>, QueryError> {
        let mut plan = self.plan.clone();
        if self.deferred {
            Arc::make_mut(&mut plan)
                .resolve_durations(step_ms, range_ms)
                .map_err(|(span, message)| {
                    SourceError::new(span, message).into_query_error(&self.text)
                })?;
        }
        Ok(plan)
    }

    /// Every selector of the query, in the order of the text.
    pub fn selectors(&self) -> impl Iterator<Item = SelectorUse<'_>> {
        let mut found = Vec::new();
        self.plan.walk(&mut |expr| {
            let (selector, range) = match &expr.kind {
                ExprKind::Selector(selector) => (selector, None),
                ExprKind::Range {
                    selector, range, ..
                } => (selector, Some(range)),
                _ => return,
            };
            found.push(SelectorUse {
                matchers: &selector.matchers,
                range,
                offset: &selector.offset,
                at: selector.at,
            });
        });
        found.into_iter()
    }

    /// The text that was parsed, unchanged.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A subexpression of the query as a query of its own. Positions in its annotations are those in the whole text.
    pub fn part(&self, expr: &Expr) -> Query {
        Query {
            plan: Arc::new(expr.clone()),
            text: Arc::clone(&self.text),
            deferred: expr.has_deferred_durations(),
        }
    }

    /// The same query with `(part or vector(0))` instead of each of these subexpressions.
    pub fn with_zero_for_empty(&self, parts: &[&Expr]) -> Query {
        let is_part = |expr: &Expr| parts.iter().any(|part| std::ptr::eq(*part, expr));
        let replaced = self
            .plan
            .replaced(&|expr| is_part(expr).then(|| expr.or_zero()));
        Query {
            plan: Arc::new(replaced),
            text: Arc::clone(&self.text),
            deferred: self.deferred,
        }
    }

    /// Whether comparisons, `and` or `unless` leave something out, wherever they stand.
    pub fn leaves_out(&self) -> bool {
        self.plan.leaves_out()
    }

    /// What comparisons, `and` and `unless` in the query compare and combine; `None` where there are none, or where an empty
    /// result would say nothing of them.
    pub fn operands(&self) -> Option<Vec<&Expr>> {
        self.plan.operands()
    }

    /// Whether an empty result says of each element of these that it was left out.
    pub fn compares_each_element(&self) -> bool {
        self.plan.compares_each_element()
    }

    /// The query where each of them holds and nothing is excluded.
    pub fn where_all_hold(&self) -> Query {
        self.with_plan(self.plan.where_all_hold())
    }

    /// The same query, of which each subquery without a step has this one, whatever it is evaluated with.
    pub fn with_subquery_step(&self, step_ms: i64) -> Query {
        Query {
            plan: Arc::new(self.plan.with_subquery_step(step_ms)),
            text: Arc::clone(&self.text),
            deferred: self.deferred,
        }
    }

    /// Another plan of the same text.
    pub(crate) fn with_plan(&self, plan: Expr) -> Query {
        Query {
            deferred: plan.has_deferred_durations(),
            plan: Arc::new(plan),
            text: Arc::clone(&self.text),
        }
    }

    /// A query for the series of one of its selectors whose newest sample is NaN or infinite.
    pub fn not_finite(&self, selector: &Selector) -> Query {
        let plan = self.plan.not_finite(selector);
        Query {
            deferred: plan.has_deferred_durations(),
            plan: Arc::new(plan),
            text: Arc::clone(&self.text),
        }
    }

    /// The plan, for evaluators of their own (see [`crate::incremental`]).
    pub fn plan(&self) -> &Expr {
        &self.plan
    }
}

/// Parses a series selector (the `match[]` parameter of Prometheus' API): a vector selector without modifiers.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    source::read_selector(text)
        .map(|selector| selector.matchers)
        .map_err(|error| error.into_query_error(text))
}

/// Parses a Prometheus duration (`1h30m`, `15s`, `0`) into milliseconds.
pub fn parse_duration_ms(text: &str) -> Result<i64, QueryError> {
    source::parse_duration(text).map_err(|message| QueryError::BadData {
        message,
        position: None,
    })
}

fn bad_parameter(message: &str) -> QueryError {
    QueryError::BadData {
        message: message.to_owned(),
        position: None,
    }
}
