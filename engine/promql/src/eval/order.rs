//! The order of an instant query's result: `sort` and its kin, which mean nothing in range queries.

use std::cmp::Ordering;

use stillwell_model::labels::Labels;

use crate::QueryError;
use crate::arithmetic::floats::nan_first;
use crate::plan::{Expr, ExprKind, FunctionId};
use crate::select::Projection;

use super::{Eval, Grid, Point, Series, Sink};

/// How a result wants to be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Value { descending: bool },
    Label { descending: bool },
}

/// The order that the outermost expression asks for.
pub(crate) fn of(expr: &Expr) -> Option<Order> {
    let ExprKind::Call { function, .. } = &expr.kind else {
        return None;
    };
    match function.id {
        FunctionId::Sort => Some(Order::Value { descending: false }),
        FunctionId::SortDesc => Some(Order::Value { descending: true }),
        FunctionId::SortByLabel => Some(Order::Label { descending: false }),
        FunctionId::SortByLabelDesc => Some(Order::Label { descending: true }),
        _ => None,
    }
}

/// The series of a sorted vector; `sort` and `sort_desc` leave out histograms.
pub(crate) fn stream(
    eval: &Eval<'_>,
    expr: &Expr,
    id: FunctionId,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    if eval.is_range_query() {
        let message =
            "sort is ineffective for range queries since results are always ordered by labels";
        eval.warn(expr.span, message);
    }
    let by_value = matches!(id, FunctionId::Sort | FunctionId::SortDesc);
    eval.stream(
        &args[0],
        grid,
        Projection::All,
        &mut |labels, drop, column| {
            if by_value {
                column.histograms.clear();
            }
            if column.is_empty() {
                Ok(())
            } else {
                sink(labels, drop, column)
            }
        },
    )
}

impl Order {
    pub(crate) fn apply(
        self,
        eval: &Eval<'_>,
        expr: &Expr,
        mut series: Vec<Series>,
    ) -> Result<Vec<Series>, QueryError> {
        match self {
            Order::Value { descending } => {
                series.retain(|series| matches!(series.column.get(0), Point::Float(_)));
                series.sort_by(|a, b| by_value(a.column.floats[0], b.column.floats[0], descending));
            }
            Order::Label { descending } => {
                let args = match &expr.kind {
                    ExprKind::Call { args, .. } => args.as_slice(),
                    _ => &[],
                };
                let names = args
                    .iter()
                    .skip(1)
                    .map(|arg| eval.string(arg))
                    .collect::<Result<Vec<_>, _>>()?;
                series.sort_by(|a, b| by_labels(&a.labels, &b.labels, &names, descending));
            }
        }
        Ok(series)
    }
}

/// The order of two samples in `sort` and `sort_desc`: NaN goes last either way.
pub fn by_value(left: f64, right: f64, descending: bool) -> Ordering {
    match (left.is_nan(), right.is_nan(), descending) {
        (false, false, false) => nan_first(&left, &right),
        (false, false, true) => nan_first(&right, &left),
        (left, right, _) => left.cmp(&right),
    }
}

/// The order of two series in `sort_by_label` and `sort_by_label_desc`.
fn by_labels(left: &Labels, right: &Labels, names: &[&str], descending: bool) -> Ordering {
    let by_names = names
        .iter()
        .map(|name| natural(left.get(name).unwrap_or(""), right.get(name).unwrap_or("")));
    let order = by_names
        .into_iter()
        .find(|order| order.is_ne())
        .unwrap_or_else(|| left.cmp(right));
    if descending { order.reverse() } else { order }
}

/// Natural order: runs of digits compare as numbers.
fn natural(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    loop {
        let (Some(a), Some(b)) = (left.first(), right.first()) else {
            return left.len().cmp(&right.len());
        };
        if a.is_ascii_digit() && b.is_ascii_digit() {
            let (a, b) = (digits(left), digits(right));
            let (x, y) = (trim(a), trim(b));
            let order = x
                .len()
                .cmp(&y.len())
                .then_with(|| x.cmp(y))
                .then_with(|| a.len().cmp(&b.len()));
            if order.is_ne() {
                return order;
            }
            left = &left[a.len()..];
            right = &right[b.len()..];
            continue;
        }
        if a != b {
            return a.cmp(b);
        }
        left = &left[1..];
        right = &right[1..];
    }
}

fn digits(text: &[u8]) -> &[u8] {
    &text[..text.iter().take_while(|b| b.is_ascii_digit()).count()]
}

fn trim(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|b| **b == b'0').count()..]
}
