//! Functions of histograms, native and classic: `histogram_*`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::QueryError;
use crate::eval::{Column, Eval, Grid, KeyRule, Keys, Merger, Point, Series, Sink, is_absent};
use crate::plan::Expr;
use crate::select::Projection;
use stillwell_model::histogram::FloatHistogram;
use stillwell_model::labels::{Labels, METRIC_NAME};

use crate::arithmetic::{Bucket, Monotonicity, bucket_fraction, bucket_quantile, parse_bound};
use crate::plan::FunctionId;
use stillwell_model::number_text::go_float;

const BUCKET_LABEL: &str = "le";

/// `histogram_count`, `_sum`, `_avg`, `_stddev`, `_stdvar`: a number of each native histogram.
pub(super) fn simple(
    eval: &Eval<'_>,
    id: FunctionId,
    args: &[Expr],
    grid: Grid,
    need: Projection<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    use FunctionId as F;
    eval.stream_mapped(&args[0], grid, need, sink, &mut |column| {
        let histograms = std::mem::take(&mut column.histograms);
        let steps = column.len();
        column.reset(steps);
        for (step, histogram) in histograms.iter().enumerate() {
            let Some(histogram) = histogram else { continue };
            column.floats[step] = match id {
                F::HistogramCount => histogram.count,
                F::HistogramSum => histogram.sum,
                F::HistogramAvg => histogram.sum / histogram.count,
                F::HistogramStdvar => histogram.variance(),
                _ => histogram.variance().sqrt(),
            };
        }
        Ok(())
    })
}

/// What is asked of each histogram at each step.
enum Ask {
    Quantile(Vec<f64>),
    Fraction(Vec<f64>, Vec<f64>),
}

pub(super) fn quantile(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let quantiles = checked_quantiles(eval, &args[0], grid)?;
    let histograms = Histograms::new(eval, &args[1], grid)?;
    let call = Call {
        eval,
        input: &args[1],
        grid,
    };
    let mut merger = Merger::new(eval);
    call.stream(&histograms, &Ask::Quantile(quantiles), None, &mut merger)?;
    merger.finish(sink)
}

pub(super) fn fraction(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let ask = Ask::Fraction(eval.scalar(&args[0], grid)?, eval.scalar(&args[1], grid)?);
    let histograms = Histograms::new(eval, &args[2], grid)?;
    let call = Call {
        eval,
        input: &args[2],
        grid,
    };
    let mut merger = Merger::new(eval);
    call.stream(&histograms, &ask, None, &mut merger)?;
    merger.finish(sink)
}

/// `histogram_quantiles(v, "label", q, ...)`.
pub(super) fn quantiles(
    eval: &Eval<'_>,
    args: &[Expr],
    grid: Grid,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let label = eval.string(&args[1])?;
    let histograms = Histograms::new(eval, &args[0], grid)?;
    let call = Call {
        eval,
        input: &args[0],
        grid,
    };
    let mut merger = Merger::new(eval);
    for arg in &args[2..] {
        let quantiles = checked_quantiles(eval, arg, grid)?;
        call.stream(
            &histograms,
            &Ask::Quantile(quantiles),
            Some(label),
            &mut merger,
        )?;
    }
    merger.finish(sink)
}

fn checked_quantiles(eval: &Eval<'_>, arg: &Expr, grid: Grid) -> Result<Vec<f64>, QueryError> {
    let quantiles = eval.scalar(arg, grid)?;
    for q in &quantiles {
        if q.is_nan() || !(0.0..=1.0).contains(q) {
            let message = format!(
                "quantile value should be between 0 and 1, got {}",
                go_float(*q)
            );
            eval.warn(arg.span, message);
        }
    }
    Ok(quantiles)
}

/// The input: native histograms as they are, classic ones as families of bucket series.
struct Histograms {
    series: Vec<Series>,
    natives: Vec<usize>,
    families: Vec<Family>,
    /// The native series of a family's labels, by family.
    conflicts: HashMap<usize, Vec<usize>>,
}

/// The series of one classic histogram.
struct Family {
    labels: Labels,
    drop_name: bool,
    /// Upper bound and series, ascending by bound.
    members: Vec<(f64, usize)>,
}

impl Histograms {
    fn new(eval: &Eval<'_>, input: &Expr, grid: Grid) -> Result<Histograms, QueryError> {
        let series = eval.collect(input, grid)?;
        // While names stay until the end, they tell histograms apart.
        let mut ignored = vec![Arc::from(BUCKET_LABEL)];
        if !eval.delayed_names() {
            ignored.push(Arc::from(METRIC_NAME));
        }
        let rule = KeyRule::all_but(&ignored);
        let mut keys = Keys::new(rule.clone());
        let mut families: Vec<Family> = Vec::new();
        let mut natives = Vec::new();
        for (index, one) in series.iter().enumerate() {
            if one.column.histograms.iter().any(Option::is_some) {
                natives.push(index);
            }
            if one.column.floats.iter().all(|value| is_absent(*value)) {
                continue;
            }
            let bound = one.labels.get(BUCKET_LABEL).unwrap_or("");
            let Some(upper) = parse_bound(bound) else {
                let mut message =
                    format!("bucket label \"le\" is missing or has a malformed value of {bound:?}");
                name_it(&mut message, one.labels.metric_name());
                eval.warn(input.span, message);
                continue;
            };
            let at = keys.find_or_add(&one.labels);
            if at == families.len() {
                let labels = one.labels.filter(|name| name != BUCKET_LABEL);
                families.push(Family {
                    labels,
                    drop_name: one.drop_name,
                    members: Vec::new(),
                });
            }
            families[at].members.push((upper, index));
        }
        for family in &mut families {
            family.members.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let mut conflicts: HashMap<usize, Vec<usize>> = HashMap::new();
        for native in &natives {
            if let Some(family) = keys.find(&series[*native].labels) {
                conflicts.entry(family).or_default().push(*native);
            }
        }
        Ok(Histograms {
            series,
            natives,
            families,
            conflicts,
        })
    }

    fn has_buckets(&self, family: usize, step: usize) -> bool {
        let members = &self.families[family].members;
        members
            .iter()
            .any(|(_, member)| !is_absent(self.series[*member].column.floats[step]))
    }

    /// Whether a classic and a native histogram claim the same labels at a step.
    fn conflict(&self, family: usize, native: usize, step: usize) -> bool {
        let here = self
            .conflicts
            .get(&family)
            .is_some_and(|natives| natives.contains(&native));
        here && self.has_buckets(family, step)
            && self.series[native].column.histogram(step).is_some()
    }
}

fn name_it(message: &mut String, name: Option<&str>) {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        message.push_str(&format!(" for metric name {name:?}"));
    }
}

/// The last quantile as a label and its text.
type LabelText = Option<(u64, String)>;

struct Call<'c, 'a> {
    eval: &'c Eval<'a>,
    input: &'c Expr,
    grid: Grid,
}

impl Call<'_, '_> {
    /// Adds one series per histogram; with `label`, one per histogram and quantile.
    fn stream(
        &self,
        histograms: &Histograms,
        ask: &Ask,
        label: Option<&str>,
        merger: &mut Merger<'_, '_>,
    ) -> Result<(), QueryError> {
        let mut text = None;
        for native in &histograms.natives {
            let series = &histograms.series[*native];
            let mut column = Column::absent(self.grid.count);
            for step in 0..self.grid.count {
                let Some(histogram) = series.column.histogram(step) else {
                    continue;
                };
                let in_conflict = histograms
                    .conflicts
                    .keys()
                    .any(|family| histograms.conflict(*family, *native, step));
                if in_conflict {
                    let mut message =
                        "vector contains a mix of classic and native histograms".to_owned();
                    name_it(&mut message, series.labels.metric_name());
                    self.eval.warn(self.input.span, message);
                    continue;
                }
                column.floats[step] =
                    self.native(histogram, ask, step, series.labels.metric_name());
            }
            self.emit(&series.labels, &mut column, ask, label, &mut text, merger)?;
        }
        for (at, family) in histograms.families.iter().enumerate() {
            let mut column = Column::absent(self.grid.count);
            let mut buckets = Vec::with_capacity(family.members.len());
            for step in 0..self.grid.count {
                buckets.clear();
                for (upper, member) in &family.members {
                    let count = histograms.series[*member].column.floats[step];
                    if !is_absent(count) {
                        buckets.push(Bucket {
                            upper: *upper,
                            count,
                        });
                    }
                }
                let natives = histograms
                    .conflicts
                    .get(&at)
                    .map_or(&[][..], |natives| natives.as_slice());
                if buckets.is_empty()
                    || natives
                        .iter()
                        .any(|native| histograms.conflict(at, *native, step))
                {
                    continue;
                }
                column.floats[step] = self.classic(&mut buckets, ask, step, family);
            }
            self.emit(&family.labels, &mut column, ask, label, &mut text, merger)?;
        }
        Ok(())
    }

    /// Passes a column on. With a quantile label that changes from step to step, each value has its own series.
    fn emit(
        &self,
        labels: &Labels,
        column: &mut Column,
        ask: &Ask,
        label: Option<&str>,
        text: &mut LabelText,
        merger: &mut Merger<'_, '_>,
    ) -> Result<(), QueryError> {
        if column.is_empty() {
            return Ok(());
        }
        let delayed = self.eval.delayed_names();
        let plain = if delayed {
            labels.clone()
        } else {
            crate::eval::without_reserved(labels)
        };
        let (Some(label), Ask::Quantile(quantiles)) = (label, ask) else {
            return merger.add(&plain, delayed, column);
        };
        let constant = quantiles
            .windows(2)
            .all(|pair| pair[0].to_bits() == pair[1].to_bits());
        let mut with_label = |quantile: f64| {
            if text
                .as_ref()
                .is_none_or(|(bits, _)| *bits != quantile.to_bits())
            {
                *text = Some((quantile.to_bits(), open_metrics_float(quantile)));
            }
            let mut builder = plain.to_builder();
            builder.set(label, text.as_ref().map_or("", |(_, text)| text.as_str()));
            builder.build()
        };
        if constant {
            return merger.add(&with_label(quantiles[0]), delayed, column);
        }
        for (step, quantile) in quantiles.iter().enumerate() {
            if column.is_present(step) {
                let mut single = Column::absent(column.len());
                single.set(step, Point::Float(column.floats[step]));
                merger.add(&with_label(*quantile), delayed, &mut single)?;
            }
        }
        Ok(())
    }

    fn native(
        &self,
        histogram: &FloatHistogram,
        ask: &Ask,
        step: usize,
        name: Option<&str>,
    ) -> f64 {
        let note = |text: &str| {
            let mut message = text.to_owned();
            name_it(&mut message, name);
            self.eval.info(self.input.span, message);
        };
        match ask {
            Ask::Quantile(quantiles) => {
                let q = quantiles[step];
                let value = histogram.quantile(q);
                if histogram.has_nan_observations() && (0.0..=1.0).contains(&q) {
                    note(if value.is_nan() {
                        "input to histogram_quantile has NaN observations, result is NaN"
                    } else {
                        "input to histogram_quantile has NaN observations, result is skewed higher"
                    });
                }
                value
            }
            Ask::Fraction(lower, upper) => {
                let value = histogram.fraction(lower[step], upper[step]);
                if histogram.has_nan_observations() && !value.is_nan() {
                    note(
                        "input to histogram_fraction has NaN observations, which are excluded from all fractions",
                    );
                }
                value
            }
        }
    }

    fn classic(&self, buckets: &mut Vec<Bucket>, ask: &Ask, step: usize, family: &Family) -> f64 {
        match ask {
            Ask::Quantile(quantiles) => {
                let (value, forced) = bucket_quantile(quantiles[step], buckets);
                if let Some(forced) = forced {
                    self.annotate_forced_buckets(&forced, step, family);
                }
                value
            }
            Ask::Fraction(lower, upper) => bucket_fraction(lower[step], upper[step], buckets),
        }
    }

    fn annotate_forced_buckets(&self, forced: &Monotonicity, step: usize, family: &Family) {
        let mut message = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)".to_owned();
        name_it(&mut message, family.labels.metric_name());
        let _ = family.drop_name;
        self.eval
            .annotate_forced_buckets(self.input.span, message, forced, self.grid.at(step));
    }
}

/// A float as OpenMetrics writes it: never without a point or exponent.
fn open_metrics_float(value: f64) -> String {
    let text = go_float(value);
    if text.contains(['.', 'e', 'N', 'I']) {
        text
    } else {
        text + ".0"
    }
}
