//! From a request to series (storage/remote/otlptranslator, `metrics_to_prw.go`, `helper.go`).

use stillwell_engine::Timestamp;
use stillwell_engine::histogram::FloatHistogram;
use stillwell_engine::labels::{Labels, LabelsBuilder, METRIC_NAME};
use stillwell_engine::promql::select::STALE_NAN_BITS;

use super::context::Context;
use super::deltas::Deltas;
use super::histogram;
use super::messages::*;
use super::names::{self, Shape};
use super::out::{Converted, Out};
use crate::host::OtlpSettings;

/// Bytes of labels of all samples of a request: a point with many buckets and long attributes could become gigabytes.
const LABEL_BYTES_MAX: usize = 64 << 20;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const NO_RECORDED_VALUE: u32 = 1;

/// [`convert_within`] the most bytes of labels.
pub(super) fn convert(
    request: &ExportMetricsServiceRequest,
    settings: &OtlpSettings,
    deltas: Option<&mut Deltas>,
) -> Converted {
    convert_within(LABEL_BYTES_MAX, request, settings, deltas)
}

/// Converts a request; deltas are added up in `deltas` where it is given. The labels of its points may take so many bytes.
pub(super) fn convert_within(
    label_bytes_max: usize,
    request: &ExportMetricsServiceRequest,
    settings: &OtlpSettings,
    mut deltas: Option<&mut Deltas>,
) -> Converted {
    let mut out = Out::default();
    let mut left_bytes = label_bytes_max;
    for resource in &request.resource_metrics {
        let attributes = resource
            .resource
            .as_ref()
            .map_or(&[][..], |one| &one.attributes);
        let mut times = None;
        let context = match Context::new(attributes, settings) {
            Ok(context) => context,
            Err(why) => {
                let points = resource.scope_metrics.iter().map(points_of).sum();
                out.reject(points, format!("a resource: {why}"));
                continue;
            }
        };
        for scope in &resource.scope_metrics {
            let scoped = match context.with_scope(scope) {
                Ok(scoped) => scoped,
                Err(why) => {
                    out.reject(points_of(scope), format!("a scope: {why}"));
                    continue;
                }
            };
            for metric in &scope.metrics {
                let deltas = deltas.as_deref_mut();
                let converting = samples(&scoped, metric, &mut times, deltas, &mut left_bytes);
                converting.into(&mut out, metric);
            }
        }
        if let Some(times) = times {
            context.target_info(attributes, times, &mut out);
        }
    }
    out.finish()
}

/// The samples of one metric, or why there are none.
struct Samples(Result<(Vec<Sample>, usize, Option<String>), String>);

enum Sample {
    Float(Labels, i64, f64),
    Histogram(Labels, i64, Box<FloatHistogram>),
}

impl Samples {
    fn into(self, out: &mut Out, metric: &Metric) {
        let name = &metric.name;
        match self.0 {
            Err(why) => out.reject(count(metric), format!("metric {name:?}: {why}")),
            Ok((samples, rejected, why)) => {
                if let Some(why) = why {
                    out.reject(rejected, format!("metric {name:?}: {why}"));
                }
                for sample in samples {
                    match sample {
                        Sample::Float(labels, at_ms, value) => {
                            let at = Timestamp::from_ms(at_ms);
                            out.series(labels).floats.push((at, value));
                        }
                        Sample::Histogram(labels, at_ms, value) => {
                            let at = Timestamp::from_ms(at_ms);
                            out.series(labels).histograms.push((at, *value));
                        }
                    }
                }
            }
        }
    }
}

fn points_of(scope: &ScopeMetrics) -> usize {
    scope.metrics.iter().map(count).sum()
}

/// The points of a metric.
fn count(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(one)) => one.data_points.len(),
        Some(Data::Sum(one)) => one.data_points.len(),
        Some(Data::Histogram(one)) => one.data_points.len(),
        Some(Data::ExponentialHistogram(one)) => one.data_points.len(),
        Some(Data::Summary(one)) => one.data_points.len(),
    }
}

fn ms(nanos: u64) -> i64 {
    (nanos / 1_000_000) as i64
}

/// A value, or that there is none any more.
fn recorded(value: f64, flags: u32) -> f64 {
    match flags & NO_RECORDED_VALUE {
        0 => value,
        _ => f64::from_bits(STALE_NAN_BITS),
    }
}

/// The samples of a metric; `times` becomes what lies between its first and its last.
fn samples(
    context: &Context<'_>,
    metric: &Metric,
    times: &mut Option<(i64, i64)>,
    deltas: Option<&mut Deltas>,
    left_bytes: &mut usize,
) -> Samples {
    let Some(data) = &metric.data else {
        return Samples(Err("it has no data of a known kind".to_owned()));
    };
    for nanos in nanos(data) {
        let (first, last) = times.unwrap_or((i64::MAX, i64::MIN));
        *times = Some((first.min(ms(nanos)), last.max(ms(nanos))));
    }
    let (shape, temporality) = match data {
        Data::Gauge(_) => (Shape::Gauge, None),
        Data::Sum(sum) if sum.is_monotonic => (Shape::Counter, Some(sum.aggregation_temporality)),
        Data::Sum(sum) => (Shape::Other, Some(sum.aggregation_temporality)),
        Data::Histogram(one) => (Shape::Other, Some(one.aggregation_temporality)),
        Data::ExponentialHistogram(one) => (Shape::Other, Some(one.aggregation_temporality)),
        Data::Summary(_) => (Shape::Other, None),
    };
    let is_delta = temporality == Some(DELTA);
    match temporality {
        None | Some(CUMULATIVE) => {}
        Some(DELTA) if deltas.is_some() => {}
        Some(DELTA) => {
            return Samples(Err(
                "it has delta temporality; send cumulative sums, or give --enable-feature=otlp-deltatocumulative"
                    .to_owned(),
            ));
        }
        Some(_) => return Samples(Err("its temporality is not known".to_owned())),
    }
    let strategy = context.settings.strategy;
    let name = match names::metric(&metric.name, &metric.unit, shape, strategy) {
        Ok(name) => name,
        Err(why) => return Samples(Err(why)),
    };
    let mut points = Points {
        context,
        name,
        left_bytes,
        samples: Vec::new(),
        ends: Vec::new(),
        rejected: 0,
        why: None,
    };
    points.all(data);
    if let (true, Some(deltas)) = (is_delta, deltas) {
        points.add_up(deltas);
    }
    Samples(Ok((points.samples, points.rejected, points.why)))
}

fn nanos(data: &Data) -> Vec<u64> {
    match data {
        Data::Gauge(one) => one
            .data_points
            .iter()
            .map(|point| point.time_unix_nano)
            .collect(),
        Data::Sum(one) => one
            .data_points
            .iter()
            .map(|point| point.time_unix_nano)
            .collect(),
        Data::Histogram(one) => one
            .data_points
            .iter()
            .map(|point| point.time_unix_nano)
            .collect(),
        Data::ExponentialHistogram(one) => one
            .data_points
            .iter()
            .map(|point| point.time_unix_nano)
            .collect(),
        Data::Summary(one) => one
            .data_points
            .iter()
            .map(|point| point.time_unix_nano)
            .collect(),
    }
}

/// The points of one metric on their way to samples.
struct Points<'c, 'a> {
    context: &'c Context<'a>,
    name: String,
    /// Bytes that labels may still take.
    left_bytes: &'c mut usize,
    samples: Vec<Sample>,
    /// Per point, how many samples there were after it.
    ends: Vec<usize>,
    rejected: usize,
    why: Option<String>,
}

impl Points<'_, '_> {
    fn all(&mut self, data: &Data) {
        match data {
            Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. }) => {
                for point in data_points {
                    let added = self.number(point);
                    self.note(added);
                }
            }
            Data::Histogram(one) => {
                for point in &one.data_points {
                    let added = match self.context.settings.convert_histograms_to_nhcb {
                        true => self.custom(point),
                        false => self.classic(point),
                    };
                    self.note(added);
                }
            }
            Data::ExponentialHistogram(one) => {
                for point in &one.data_points {
                    let added = self.exponential(point);
                    self.note(added);
                }
            }
            Data::Summary(one) => {
                for point in &one.data_points {
                    let added = self.summary(point);
                    self.note(added);
                }
            }
        }
    }

    /// Makes deltas the sums so far. A point is rejected where a sample of it is left out.
    fn add_up(&mut self, deltas: &mut Deltas) {
        let mut samples = std::mem::take(&mut self.samples).into_iter();
        let mut done = 0;
        for end in std::mem::take(&mut self.ends) {
            let mut added = Ok(());
            for mut sample in samples.by_ref().take(end - done) {
                let one = match &mut sample {
                    Sample::Float(labels, at_ms, value) => deltas.add_float(labels, *at_ms, value),
                    Sample::Histogram(labels, at_ms, value) => {
                        deltas.add_histogram(labels, *at_ms, value)
                    }
                };
                match one {
                    Ok(()) => self.samples.push(sample),
                    Err(why) => added = Err(why.to_string()),
                }
            }
            done = end;
            self.note(added);
        }
    }

    fn note(&mut self, added: Result<(), String>) {
        self.ends.push(self.samples.len());
        if let Err(why) = added {
            self.rejected += 1;
            self.why.get_or_insert(why);
        }
    }

    fn labels(&self, attributes: &[KeyValue]) -> Result<LabelsBuilder, String> {
        if *self.left_bytes == 0 {
            return Err(too_many_labels());
        }
        self.context.labels(attributes, &[])
    }

    fn float(
        &mut self,
        labels: &LabelsBuilder,
        (ending, more): (&str, Option<(&str, &str)>),
        at_ms: i64,
        value: f64,
    ) -> Result<(), String> {
        let mut labels = labels.clone();
        labels.set(METRIC_NAME, &format!("{}{ending}", self.name));
        if let Some((name, value)) = more {
            labels.set(name, value);
        }
        let labels = self.held(labels)?;
        self.samples.push(Sample::Float(labels, at_ms, value));
        Ok(())
    }

    fn native(
        &mut self,
        mut labels: LabelsBuilder,
        at_ms: i64,
        value: FloatHistogram,
    ) -> Result<(), String> {
        labels.set(METRIC_NAME, &self.name);
        let labels = self.held(labels)?;
        let value = Box::new(value);
        self.samples.push(Sample::Histogram(labels, at_ms, value));
        Ok(())
    }

    fn held(&mut self, labels: LabelsBuilder) -> Result<Labels, String> {
        let labels = labels.build();
        match self.left_bytes.checked_sub(labels.bytes()) {
            Some(left) => {
                *self.left_bytes = left;
                Ok(labels)
            }
            None => {
                *self.left_bytes = 0; // of the points after it no labels are made
                Err(too_many_labels())
            }
        }
    }

    fn number(&mut self, point: &NumberDataPoint) -> Result<(), String> {
        let labels = self.labels(&point.attributes)?;
        let value = match point.value {
            Some(Number::AsDouble(value)) => value,
            Some(Number::AsInt(value)) => value as f64,
            None => 0.0,
        };
        let value = recorded(value, point.flags);
        self.float(&labels, ("", None), ms(point.time_unix_nano), value)
    }

    /// `_sum`, `_count` and cumulative `_bucket`s.
    fn classic(&mut self, point: &HistogramDataPoint) -> Result<(), String> {
        let labels = self.labels(&point.attributes)?;
        let at_ms = ms(point.time_unix_nano);
        let told = |value| recorded(value, point.flags);
        if let Some(sum) = point.sum {
            self.float(&labels, ("_sum", None), at_ms, told(sum))?;
        }
        let count = told(point.count as f64);
        self.float(&labels, ("_count", None), at_ms, count)?;
        let mut below = 0u64;
        for (bound, more) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
            below = below.saturating_add(*more);
            let bound = shown(*bound);
            let ending = ("_bucket", Some(("le", bound.as_str())));
            self.float(&labels, ending, at_ms, told(below as f64))?;
        }
        self.float(&labels, ("_bucket", Some(("le", "+Inf"))), at_ms, count)
    }

    fn custom(&mut self, point: &HistogramDataPoint) -> Result<(), String> {
        let labels = self.labels(&point.attributes)?;
        let value = match point.flags & NO_RECORDED_VALUE {
            0 => histogram::custom(point)?,
            _ => histogram::stale(),
        };
        self.native(labels, ms(point.time_unix_nano), value)
    }

    fn exponential(&mut self, point: &ExponentialHistogramDataPoint) -> Result<(), String> {
        let labels = self.labels(&point.attributes)?;
        let value = match point.flags & NO_RECORDED_VALUE {
            0 => histogram::exponential(point)?,
            _ => histogram::stale(),
        };
        self.native(labels, ms(point.time_unix_nano), value)
    }

    fn summary(&mut self, point: &SummaryDataPoint) -> Result<(), String> {
        let labels = self.labels(&point.attributes)?;
        let at_ms = ms(point.time_unix_nano);
        let told = |value| recorded(value, point.flags);
        self.float(&labels, ("_sum", None), at_ms, told(point.sum))?;
        self.float(&labels, ("_count", None), at_ms, told(point.count as f64))?;
        for one in &point.quantile_values {
            let quantile = shown(one.quantile);
            let ending = ("", Some(("quantile", quantile.as_str())));
            self.float(&labels, ending, at_ms, told(one.value))?;
        }
        Ok(())
    }
}

fn too_many_labels() -> String {
    "the labels of the request take more memory than one request may: send fewer points at a time, or raise \
     --storage.memory.max"
        .to_owned()
}

/// A bound or quantile, without an exponent.
fn shown(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}
