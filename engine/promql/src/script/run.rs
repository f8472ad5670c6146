//! Executes the commands of a script and collects a report.

use crate::{Answer, EvalOptions, Features, Query, QueryError, Value};
use stillwell_model::time::Timestamp;

use super::check::{self, Expected};
use super::command::{self, Command, Eval, When};
use super::series::{Item, SeriesDescription};
use super::store::MemoryView;
use super::{Failure, Report, nhcb};

/// Runs a script; `file` is for the report only.
pub fn run(file: &str, script: &str) -> Report {
    let mut report = Report::default();
    let mut view = MemoryView::default();
    for parsed in command::parse(script) {
        let outcome = match parsed.command {
            Ok(Command::Clear) => {
                view.clear();
                continue;
            }
            Ok(Command::Load {
                step_ms,
                with_nhcb,
                series,
            }) => {
                load(&mut view, step_ms, &series);
                if with_nhcb {
                    nhcb::load(&mut view, step_ms, &series);
                }
                continue;
            }
            Ok(Command::Eval(eval)) => case(&view, &eval),
            Err(message) => Err((message, "a command".to_owned())),
        };
        match outcome {
            Ok(()) => report.passed += 1,
            Err((got, wanted)) => report.failures.push(Failure {
                file: file.to_owned(),
                line: parsed.line,
                expression: parsed.text,
                got,
                wanted,
            }),
        }
    }
    report
}

fn load(view: &mut MemoryView, step_ms: i64, series: &[SeriesDescription]) {
    // Start timestamps belong to samples, wherever in the block they are written.
    for series in series.iter().filter(|series| !series.is_start) {
        for (at, item) in series.items.iter().enumerate() {
            let time_ms = step_ms * at as i64;
            match item {
                Item::Nothing => {}
                Item::Float(value) => view.add(&series.labels, time_ms, *value),
                Item::Histogram(histogram) => {
                    view.add_histogram(&series.labels, time_ms, histogram.clone())
                }
            }
        }
    }
    for series in series.iter().filter(|series| series.is_start) {
        for (at, item) in series.items.iter().enumerate() {
            if let Item::Float(relative_ms) = item {
                let time_ms = step_ms * at as i64;
                view.set_start(&series.labels, time_ms, time_ms + *relative_ms as i64);
            }
        }
    }
}

type Outcome = Result<(), (String, String)>;

fn case(view: &MemoryView, eval: &Eval) -> Outcome {
    let features = Features::all();
    let options = EvalOptions {
        features,
        ..EvalOptions::default()
    };
    let answer = Query::parse(&eval.expression, &features).and_then(|query| {
        let answer = ask(&query, view, eval.when, &options)?;
        Ok((query, answer))
    });
    let (query, answer) = match answer {
        Ok(both) => both,
        Err(error) => return failed(eval, &error),
    };
    if eval.expect.fail.is_some() {
        return Err((check::show(&answer.value), "an error".to_owned()));
    }
    check::annotations(&eval.expect, &answer.annotations)?;
    let wanted = Expected::of(eval);
    wanted.check(&answer.value)?;
    let timeless = !["step(", "range(", "start(", "end("]
        .iter()
        .any(|word| eval.expression.contains(word));
    if let (When::Instant(at_ms), Value::Vector(_), true) = (eval.when, &answer.value, timeless) {
        return as_range(&query, view, at_ms, &wanted, &options);
    }
    Ok(())
}

fn ask(
    query: &Query,
    view: &MemoryView,
    when: When,
    options: &EvalOptions<'_>,
) -> Result<Answer, QueryError> {
    let at = Timestamp::from_ms;
    match when {
        When::Instant(at_ms) => query.instant(view, at(at_ms), options),
        When::Range {
            start_ms,
            end_ms,
            step_ms,
        } => query.range(view, at(start_ms), at(end_ms), step_ms, options),
    }
}

fn failed(eval: &Eval, error: &QueryError) -> Outcome {
    match &eval.expect.fail {
        None => Err((format!("error: {error}"), Expected::of(eval).to_string())),
        Some(say) if check::says(say, &error.to_string()) => Ok(()),
        Some(say) => Err((format!("error: {error}"), format!("error: {say:?}"))),
    }
}

/// An instant query and the middle step of a range query around its time must agree.
fn as_range(
    query: &Query,
    view: &MemoryView,
    at_ms: i64,
    wanted: &Expected<'_>,
    options: &EvalOptions<'_>,
) -> Outcome {
    let around = When::Range {
        start_ms: at_ms - 60_000,
        end_ms: at_ms + 60_000,
        step_ms: 60_000,
    };
    let answer = ask(query, view, around, options).map_err(|error| {
        (
            format!("as a range query: error: {error}"),
            wanted.to_string(),
        )
    })?;
    let Value::Matrix(matrix) = answer.value else {
        return Err(("as a range query: no matrix".to_owned(), wanted.to_string()));
    };
    let middle = check::step_of(matrix, at_ms);
    wanted
        .unordered()
        .check(&Value::Vector(middle))
        .map_err(|(got, wanted)| (format!("as a range query: {got}"), wanted))
}
