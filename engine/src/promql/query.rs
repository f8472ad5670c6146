//! The door of the room: text in, plan; plan and view in, answer.

use std::sync::Arc;

use crate::labels::Matcher;
use crate::time::Timestamp;

use super::plan::{At, Duration, Expr, ExprKind};
use super::select::View;
use super::{Answer, EvalOptions, Features, QueryError, lower, source};

/// A query that was parsed and checked. Cheap to clone; evaluation does not change it.
#[derive(Clone, Debug)]
pub struct Query {
    plan: Arc<Expr>,
    /// For positions in annotations.
    text: Arc<str>,
}

/// One selector of a query and how it is used.
#[derive(Clone, Copy, Debug)]
pub struct SelectorUse<'a> {
    /// All must fit.
    pub matchers: &'a [Matcher],
    /// Present for range selectors.
    pub range: Option<&'a Duration>,
    /// `offset`.
    pub offset: &'a Duration,
    /// `@`.
    pub at: Option<At>,
}

impl Query {
    /// Reads and checks `text`.
    pub fn parse(text: &str, features: &Features) -> Result<Query, QueryError> {
        match lower::parse(text, features) {
            Ok(plan) => Ok(Query {
                plan: Arc::new(plan),
                text: Arc::from(text),
            }),
            Err(error) => Err(error.into_query_error(text)),
        }
    }

    /// Evaluates at one time.
    pub fn instant(
        &self,
        view: &dyn View,
        at: Timestamp,
        options: &EvalOptions<'_>,
    ) -> Result<Answer, QueryError> {
        let _ = (view, at, options);
        Err(not_yet("evaluation"))
    }

    /// Evaluates at `start`, then every `step_ms`, up to `end` inclusive.
    pub fn range(
        &self,
        view: &dyn View,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
        options: &EvalOptions<'_>,
    ) -> Result<Answer, QueryError> {
        let _ = (view, start, end, step_ms, options);
        Err(not_yet("evaluation"))
    }

    /// Every selector, in the order of the text.
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

    /// The plan, for whoever compiles it further.
    pub fn plan(&self) -> &Expr {
        &self.plan
    }
}

/// Reads a series selector (`match[]`): a vector selector and nothing else.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    source::read_selector(text)
        .map(|selector| selector.matchers)
        .map_err(|error| error.into_query_error(text))
}

/// Reads a Prometheus duration (`1h30m`, `15s`, `0`) into milliseconds.
pub fn parse_duration_ms(text: &str) -> Result<i64, QueryError> {
    source::parse_duration(text).map_err(|message| QueryError::BadData {
        message,
        position: None,
    })
}

fn not_yet(what: &str) -> QueryError {
    QueryError::Execution(format!("{what} is not built yet"))
}
