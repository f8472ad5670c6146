//! `info`: adds the labels of info series (`target_info`) to the series of the same `instance` and `job`.

use std::sync::Arc;

use crate::QueryError;
use crate::eval::{Column, Eval, Grid, KeyRule, Keys, Merger, Series, Sink, execution, is_absent};
use crate::plan::{Duration, Expr, ExprKind, Selector};
use crate::select::Projection;
use stillwell_model::labels::{Labels, METRIC_NAME, MatchOp, Matcher};

const IDENTIFYING: [&str; 2] = ["instance", "job"];

pub(super) fn info(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let matchers: &[Matcher] = match args.get(1).map(|arg| &arg.bare().kind) {
        Some(ExprKind::Selector(selector)) => &selector.matchers,
        _ => &[],
    };
    let default_name = [Matcher::equal(METRIC_NAME, "target_info")];
    let (mut names, data): (Vec<_>, Vec<_>) = matchers
        .iter()
        .cloned()
        .partition(|matcher| matcher.name() == METRIC_NAME);
    let positive = |matcher: &Matcher| matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex);
    if !names.is_empty() && !names.iter().any(positive) {
        // A name that is only ruled out still is the name of an info series.
        let suffix = Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info");
        names.push(suffix.map_err(|error| execution(error.to_string()))?);
    }
    // Series that are info series themselves are left as they are.
    let ignoring = if args.len() > 1 {
        names.clone()
    } else {
        default_name.to_vec()
    };
    if names.is_empty() {
        names = default_name.to_vec();
    }
    let base = eval.collect(&args[0], grid)?;
    let is_info = |labels: &Labels| {
        let name = labels.metric_name().unwrap_or("");
        !ignoring.is_empty() && ignoring.iter().all(|matcher| matcher.matches(name))
    };
    let enriched: Vec<&Series> = base
        .iter()
        .filter(|series| !is_info(&series.labels))
        .collect();
    let infos = Infos::fetch(eval, &args[0], &enriched, names, &data, grid)?;
    let mut merger = Merger::new(eval);
    for series in &base {
        if is_info(&series.labels) {
            merger.add(&series.labels, series.drop_name, &mut series.column.clone())?;
        } else {
            infos.enrich(series, &data, grid, &mut merger)?;
        }
    }
    merger.finish(sink)
}

/// The info series with their samples' times, by metric name and identity.
struct Infos {
    series: Vec<Series>,
    keys: Keys,
    /// Per key, which series.
    members: Vec<Vec<usize>>,
    names: Vec<Arc<str>>,
}

impl Infos {
    fn fetch(
        eval: &Eval<'_>,
        arg: &Expr,
        base: &[&Series],
        names: Vec<Matcher>,
        data: &[Matcher],
        grid: Grid,
    ) -> Result<Infos, QueryError> {
        let mut infos = Infos {
            series: Vec::new(),
            keys: Keys::new(KeyRule::only(
                &[METRIC_NAME, "instance", "job"].map(Arc::from),
            )),
            members: Vec::new(),
            names: Vec::new(),
        };
        let mut matchers = names;
        for label in IDENTIFYING {
            let mut values: Vec<&str> = base
                .iter()
                .filter_map(|series| series.labels.get(label))
                .collect();
            values.sort_unstable();
            values.dedup();
            if !values.is_empty() {
                let pattern: Vec<String> = values.iter().map(|value| quote_meta(value)).collect();
                let matcher = Matcher::new(MatchOp::Regex, label, &pattern.join("|"));
                matchers.push(matcher.map_err(|error| execution(error.to_string()))?);
            }
        }
        let unidentified = base
            .iter()
            .all(|series| IDENTIFYING.iter().all(|l| series.labels.get(l).is_none()));
        if unidentified {
            return Ok(infos);
        }
        matchers.extend(data.iter().cloned());
        let selector = Selector {
            matchers,
            ..first_selector(arg)
        };
        eval.stream_shown(
            &selector,
            false,
            grid,
            Projection::All,
            &|shown| match shown.is_histogram {
                true => Err(execution("info sample should be float")),
                false => Ok(shown.time_ms as f64),
            },
            &mut |labels, _, column| {
                let column = std::mem::take(column);
                infos.series.push(Series {
                    labels: labels.clone(),
                    drop_name: false,
                    column,
                });
                Ok(())
            },
        )?;
        infos.index();
        Ok(infos)
    }

    /// Groups the series by metric name and identity.
    fn index(&mut self) {
        for (index, series) in self.series.iter().enumerate() {
            let at = self.keys.find_or_add(&series.labels);
            if at == self.members.len() {
                self.members.push(Vec::new());
            }
            self.members[at].push(index);
            let name = series.labels.metric_name().unwrap_or("");
            if !self.names.iter().any(|have| **have == *name) {
                self.names.push(Arc::from(name));
            }
        }
    }

    /// Adds the series with the labels that the info series have at each step; steps with the same ones share a
    /// series.
    fn enrich(
        &self,
        series: &Series,
        data: &[Matcher],
        grid: Grid,
        merger: &mut Merger<'_, '_>,
    ) -> Result<(), QueryError> {
        let keys: Vec<usize> = self
            .names
            .iter()
            .filter_map(|name| self.key(series, name))
            .collect();
        let mut parts: Vec<(Labels, Column)> = Vec::new();
        for step in 0..grid.count {
            if !series.column.is_present(step) {
                continue;
            }
            let Some(labels) = self.labels_at(series, &keys, data, step)? else {
                continue;
            };
            let at = match parts.iter().position(|(have, _)| *have == labels) {
                Some(at) => at,
                None => {
                    parts.push((labels, Column::absent(grid.count)));
                    parts.len() - 1
                }
            };
            parts[at].1.set(step, series.column.get(step));
        }
        for (labels, mut column) in parts {
            merger.add(&labels, series.drop_name, &mut column)?;
        }
        Ok(())
    }

    fn key(&self, series: &Series, name: &str) -> Option<usize> {
        let mut builder = series.labels.to_builder();
        builder.set(METRIC_NAME, name);
        self.keys.find(&builder.build())
    }

    /// The labels of a series at one step; `None` where a matcher asks for an info series and there is none.
    fn labels_at(
        &self,
        series: &Series,
        keys: &[usize],
        data: &[Matcher],
        step: usize,
    ) -> Result<Option<Labels>, QueryError> {
        let mut added = Labels::empty().to_builder();
        let mut any = false;
        for key in keys {
            let Some(info) = self.newest(*key, step)? else {
                continue;
            };
            any = true;
            for (name, value) in info.labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
                if !data.is_empty() && !data.iter().any(|matcher| matcher.name() == name) {
                    continue;
                }
                let have = added.get(name);
                if !have.is_empty() && have != value {
                    return Err(execution(format!("conflicting label: {name}")));
                }
                if series.labels.get(name).is_none() {
                    added.set(name, value);
                }
            }
        }
        if !any && data.iter().any(|matcher| !matcher.matches("")) {
            return Ok(None);
        }
        let mut builder = series.labels.to_builder();
        for (name, value) in added.iter() {
            builder.set(name, value);
        }
        Ok(Some(builder.build()))
    }

    /// Of several info series with one identity, the one that was seen last.
    fn newest(&self, key: usize, step: usize) -> Result<Option<&Series>, QueryError> {
        let mut best: Option<&Series> = None;
        for member in &self.members[key] {
            let series = &self.series[*member];
            let time = series.column.floats[step];
            if is_absent(time) {
                continue;
            }
            match best {
                Some(other) if other.column.floats[step] > time => {}
                Some(other) if other.column.floats[step] == time => {
                    return Err(execution(format!(
                        "found duplicate series for info metric: existing {} @ {time}, new {} @ {time}",
                        other.labels, series.labels
                    )));
                }
                _ => best = Some(series),
            }
        }
        Ok(best)
    }
}

/// Info series are read as of the same time as the first selector of the argument.
fn first_selector(arg: &Expr) -> Selector {
    let mut found = Selector {
        matchers: Vec::new(),
        offset: Duration::ZERO,
        at: None,
        span: arg.span,
        named: false,
        detect_resets: false,
        edges: Default::default(),
    };
    let (mut offset_ms, mut done) = (0, false);
    arg.walk(&mut |expr| {
        let (offset, at, selector) = match &expr.kind {
            _ if done => return,
            ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
                (&selector.offset, selector.at, true)
            }
            ExprKind::Subquery(subquery) => (&subquery.offset, subquery.at, false),
            _ => return,
        };
        if at.is_some() {
            // What is outside does not matter for a fixed time.
            (found.at, offset_ms) = (at, 0);
        }
        offset_ms += offset.fixed_ms().unwrap_or(0);
        done = selector;
    });
    found.offset = Duration::Fixed(offset_ms);
    found
}

fn quote_meta(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}
