//! Functions between scalars and vectors, absence, sample times.

use crate::QueryError;
use crate::eval::{ABSENT, Column, Eval, Grid, Point, Sink};
use crate::plan::{Expr, ExprKind};
use crate::select::Projection;
use stillwell_model::labels::{Labels, METRIC_NAME, MatchOp, Matcher};

pub(super) fn vector(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let mut column = Column {
        floats: eval.scalar(&args[0], grid)?,
        histograms: Vec::new(),
    };
    sink(&Labels::empty(), false, &mut column)
}

/// The value of the only series that has a float, else NaN.
pub(super) fn scalar(eval: &Eval<'_>, arg: &Expr, grid: Grid) -> Result<Vec<f64>, QueryError> {
    let mut found = vec![(0u8, f64::NAN); grid.count];
    eval.stream(arg, grid, Projection::All, &mut |_, _, column| {
        for (step, (count, value)) in found.iter_mut().enumerate() {
            if let Point::Float(float) = column.get(step) {
                *count = count.saturating_add(1);
                *value = float;
            }
        }
        Ok(())
    })?;
    Ok(found
        .into_iter()
        .map(|(count, value)| if count == 1 { value } else { f64::NAN })
        .collect())
}

pub(super) fn absent(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let mut column = Column {
        floats: vec![1.0; grid.count],
        histograms: Vec::new(),
    };
    eval.stream(&args[0], grid, Projection::All, &mut |_, _, present| {
        for (step, value) in column.floats.iter_mut().enumerate() {
            if present.is_present(step) {
                *value = ABSENT;
            }
        }
        Ok(())
    })?;
    if column.is_empty() {
        return Ok(());
    }
    sink(&absent_labels(&args[0]), false, &mut column)
}

pub(super) fn absent_over_time(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let input = eval.range_input(&args[0], grid)?;
    let mut column = Column {
        floats: vec![1.0; grid.count],
        histograms: Vec::new(),
    };
    eval.stream_range(&input, Projection::All, &mut |_, _, samples| {
        for (step, value) in column.floats.iter_mut().enumerate() {
            let (after, until) = (input.windows.start_ms(step), input.windows.end_ms(step));
            let inside = |times: &[i64]| {
                let end = times.partition_point(|time| *time <= until);
                end > 0 && times[end - 1] > after
            };
            if inside(&samples.times) || inside(&samples.histogram_times) {
                *value = ABSENT;
            }
        }
        Ok(())
    })?;
    if column.is_empty() {
        return Ok(());
    }
    sink(&absent_labels(&args[0]), false, &mut column)
}

/// The labels that the missing series would have had: those that exactly one equality fixes.
pub fn absent_labels(expr: &Expr) -> Labels {
    let matchers: &[Matcher] = match &expr.bare().kind {
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => &selector.matchers,
        _ => &[],
    };
    let mut builder = Labels::empty().to_builder();
    for matcher in matchers
        .iter()
        .filter(|matcher| matcher.name() != METRIC_NAME)
    {
        let same_name = matchers
            .iter()
            .filter(|other| other.name() == matcher.name())
            .count();
        if matcher.op() == MatchOp::Equal && same_name == 1 {
            builder.set(matcher.name(), matcher.value());
        }
    }
    builder.build()
}

pub(super) fn timestamp(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    need: Projection<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    if let ExprKind::Selector(selector) = &args[0].bare().kind {
        let unique = selector.metric_name().is_some();
        let need = if unique { need } else { Projection::All };
        return eval.without_names(unique, sink, &mut |sink| {
            eval.stream_shown(
                selector,
                true,
                grid,
                need,
                &|shown| Ok(eval.wall_seconds(shown.time_ms)),
                sink,
            )
        });
    }
    eval.stream_mapped(&args[0], grid, need, sink, &mut |column| {
        for step in 0..column.len() {
            if column.is_present(step) {
                column.set(step, Point::Float(eval.wall_seconds(grid.at(step))));
            }
        }
        Ok(())
    })
}

/// When what each sample counts began, in seconds; of an expression's values that is not known, so that there are none (promql/functions.go,
/// `funcStartTimestamp`).
pub(super) fn start_timestamp(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    need: Projection<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    if let ExprKind::Selector(selector) = &args[0].bare().kind {
        let unique = selector.metric_name().is_some();
        let need = if unique { need } else { Projection::All };
        return eval.without_names(unique, sink, &mut |sink| {
            eval.stream_shown(
                selector,
                true,
                grid,
                need,
                &|shown| Ok(shown.start_ms as f64 / 1000.0),
                sink,
            )
        });
    }
    // The expression is evaluated, for its warnings.
    eval.stream_mapped(&args[0], grid, need, sink, &mut |column| {
        column.reset(column.len());
        Ok(())
    })
}
