//! The messages of histograms: classic buckets, native buckets, exemplars (io.prometheus.client `Histogram`, `Bucket`,
//! `BucketSpan`, `Exemplar`; rules: Prometheus model/textparse/protobufparse.go).

use super::super::decoded::ExemplarParts;
use super::wire::{Fields, Value, WireError, zigzag};
use crate::histogram::{
    BUCKETS_MAX, Buckets, EXPONENTIAL_SCHEMAS, FloatHistogram, ResetHint, Span,
};
use crate::scrape::HistogramOptions;

/// A histogram as it was sent; text and messages are read where they lie.
#[derive(Debug, Default)]
pub(super) struct Histogram<'a> {
    count: u64,
    count_float: f64,
    pub(super) sum: f64,
    pub(super) buckets: Vec<Bucket<'a>>,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    positive: Side,
    negative: Side,
    pub(super) exemplars: Vec<&'a [u8]>,
}

/// A classic bucket.
#[derive(Debug, Default)]
pub(super) struct Bucket<'a> {
    count: u64,
    count_float: f64,
    pub(super) bound: f64,
    pub(super) exemplar: Option<&'a [u8]>,
}

/// Native buckets of one sign.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Bucket<'_> {
    /// Observations in the bucket and those before it.
    pub(super) fn cumulative(&self) -> f64 {
        either(self.count_float, self.count)
    }
}

/// A float count where there is one.
fn either(float: f64, whole: u64) -> f64 {
    match float > 0.0 {
        true => float,
        false => whole as f64,
    }
}

impl<'a> Histogram<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Histogram<'a>, WireError> {
        let mut histogram = Histogram::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            histogram.field(number, value)?;
        }
        Ok(histogram)
    }

    fn field(&mut self, number: u32, value: Value<'a>) -> Result<(), WireError> {
        let (positive, negative) = (&mut self.positive, &mut self.negative);
        match number {
            1 => self.count = value.varint()?,
            2 => self.sum = value.double()?,
            3 => {
                let bucket = bucket(value.bytes()?)?;
                self.buckets.push(bucket);
            }
            4 => self.count_float = value.double()?,
            // A sint32 is cut to 32 bits as protobuf's own parsers do.
            5 => self.schema = zigzag(value.varint()?) as i32,
            6 => self.zero_threshold = value.double()?,
            7 => self.zero_count = value.varint()?,
            8 => self.zero_count_float = value.double()?,
            9 => negative.spans.push(span(value.bytes()?)?),
            10 => value.each_sint(|delta| negative.deltas.push(delta))?,
            11 => value.each_double(|count| negative.counts.push(count))?,
            12 => positive.spans.push(span(value.bytes()?)?),
            13 => value.each_sint(|delta| positive.deltas.push(delta))?,
            14 => value.each_double(|count| positive.counts.push(count))?,
            16 => self.exemplars.push(checked_exemplar(value.bytes()?)?),
            _ => {}
        }
        Ok(())
    }

    /// All observations.
    pub(super) fn count(&self) -> f64 {
        either(self.count_float, self.count)
    }

    /// Whether it has native buckets. One without observations has a zero threshold or an empty span.
    pub(super) fn is_native(&self) -> bool {
        !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
            || self.zero_count_float > 0.0
    }

    /// Its native buckets. Error: what is wrong with them.
    pub(super) fn native(
        &self,
        is_gauge: bool,
        options: HistogramOptions,
    ) -> Result<FloatHistogram, &'static str> {
        let is_float = self.count_float > 0.0 || self.zero_count_float > 0.0;
        let mut histogram = FloatHistogram {
            hint: match is_gauge {
                true => ResetHint::Gauge,
                false => ResetHint::Unknown,
            },
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: match is_float {
                true => self.zero_count_float,
                false => self.zero_count as f64,
            },
            count: match is_float {
                true => self.count_float,
                false => self.count as f64,
            },
            sum: self.sum,
            positive: self.positive.buckets(is_float)?,
            negative: self.negative.buckets(is_float)?,
            custom_bounds: Vec::new(),
        };
        if !EXPONENTIAL_SCHEMAS.contains(&self.schema) {
            return Err("its schema is not one of -4 to 8");
        }
        histogram.compact();
        histogram.validate(is_float)?;
        limit(&mut histogram, options)?;
        Ok(histogram)
    }
}

/// Merges buckets until the limits of the job are kept.
fn limit(histogram: &mut FloatHistogram, options: HistogramOptions) -> Result<(), &'static str> {
    if let Some(schema) = options.schema_max.filter(|max| histogram.schema > *max) {
        histogram.reduce_resolution(schema);
    }
    let buckets = |of: &FloatHistogram| of.positive.len() + of.negative.len();
    while options.buckets_max > 0 && buckets(histogram) > options.buckets_max {
        if histogram.schema <= *EXPONENTIAL_SCHEMAS.start() {
            return Err("it has more buckets than native_histogram_bucket_limit allows");
        }
        histogram.reduce_resolution(histogram.schema - 1);
    }
    Ok(())
}

impl Side {
    fn buckets(&self, is_float: bool) -> Result<Buckets, &'static str> {
        let mut sum = 0i64;
        let mut add = |delta: &i64| {
            sum = sum.checked_add(*delta)?;
            Some(sum as f64)
        };
        let counts = match is_float {
            true => Some(self.counts.clone()),
            false => self.deltas.iter().map(&mut add).collect(),
        };
        let counts = counts.ok_or("a count overflows")?;
        if counts.len() > BUCKETS_MAX || self.spans.len() > BUCKETS_MAX {
            return Err("it has more buckets than a histogram may have");
        }
        Buckets::from_spans(&self.spans, &counts).ok_or("spans and counts do not fit each other")
    }
}

fn bucket(message: &[u8]) -> Result<Bucket<'_>, WireError> {
    let mut bucket = Bucket::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => bucket.count = value.varint()?,
            2 => bucket.bound = value.double()?,
            3 => bucket.exemplar = Some(checked_exemplar(value.bytes()?)?),
            4 => bucket.count_float = value.double()?,
            _ => {}
        }
    }
    Ok(bucket)
}

fn span(message: &[u8]) -> Result<Span, WireError> {
    let mut span = Span::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => span.offset = zigzag(value.varint()?) as i32,
            2 => span.length = value.varint()? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// Reads an exemplar into `exemplar`, whose memory is used again.
pub(super) fn exemplar_into(message: &[u8], exemplar: &mut ExemplarParts) -> Result<(), WireError> {
    exemplar.labels.clear();
    (exemplar.value, exemplar.time_ms) = (0.0, None);
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => {
                let (name, text) = label(field.bytes()?)?;
                exemplar.labels.push(name, text);
            }
            2 => exemplar.value = field.double()?,
            3 => exemplar.time_ms = Some(timestamp_ms(field.bytes()?)?),
            _ => {}
        }
    }
    Ok(())
}

/// Reads an exemplar.
pub(super) fn exemplar(message: &[u8]) -> Result<ExemplarParts, WireError> {
    let mut exemplar = ExemplarParts::default();
    exemplar_into(message, &mut exemplar)?;
    Ok(exemplar)
}

/// The message of an exemplar that may not be written: damage is found all the same.
fn checked_exemplar(message: &[u8]) -> Result<&[u8], WireError> {
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => {
                label(field.bytes()?)?;
            }
            2 => {
                field.double()?;
            }
            3 => {
                timestamp_ms(field.bytes()?)?;
            }
            _ => {}
        }
    }
    Ok(message)
}

/// A `LabelPair`.
pub(super) fn label(message: &[u8]) -> Result<(&str, &str), WireError> {
    let (mut name, mut text) = ("", "");
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = value.text()?,
            2 => text = value.text()?,
            _ => {}
        }
    }
    Ok((name, text))
}

/// A `google.protobuf.Timestamp`.
fn timestamp_ms(message: &[u8]) -> Result<i64, WireError> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => seconds = value.varint()? as i64,
            2 => nanos = i64::from(value.varint()? as i32),
            _ => {}
        }
    }
    Ok(seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000))
}
