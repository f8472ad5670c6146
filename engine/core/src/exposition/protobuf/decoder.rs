//! The walk over a page: each family, metric and sample where it lies.

use super::family::Family;
use super::histogram::{self, Histogram};
use super::values::{checked_summary, quantile, single};
use super::wire::{self, Fields, WireError};
use crate::exposition::custom_buckets::ClassicHistogram;
use crate::exposition::decoded::{Decoded, ExemplarParts, LabelText, LineParts};
use crate::metadata::FamilyType;
use crate::scrape::HistogramOptions;

/// Decodes a page into text. The memory of `text` is used again. Error: what is wrong with which family.
pub(crate) fn decode(
    page: &[u8],
    options: HistogramOptions,
    text: Vec<u8>,
) -> Result<Decoded, String> {
    let mut decoder = Decoder {
        options,
        out: Decoded::new(text, page.len()),
        labels: LabelText::default(),
        exemplar: ExemplarParts::default(),
    };
    let mut rest = page;
    let mut name = "";
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let one = wire::varint(&mut rest).and_then(|len| wire::take(&mut rest, len));
        let result = one
            .map_err(str::to_owned)
            .and_then(|message| decoder.family(message, &mut name));
        if let Err(why) = result {
            return Err(format!("metric family {number} ({name:?}): {why}"));
        }
    }
    Ok(decoder.out)
}

struct Decoder {
    options: HistogramOptions,
    out: Decoded,
    labels: LabelText,
    exemplar: ExemplarParts,
}

/// A metric: its messages.
#[derive(Default)]
struct Metric<'a> {
    gauge: &'a [u8],
    counter: &'a [u8],
    summary: &'a [u8],
    untyped: &'a [u8],
    histogram: &'a [u8],
    time_ms: Option<i64>,
}

impl Decoder {
    fn family<'a>(&mut self, message: &'a [u8], name: &mut &'a str) -> Result<(), String> {
        let family = Family::read(message)?;
        *name = family.name;
        if !family.has_metrics {
            return Ok(());
        }
        let family_type = family.family_type()?;
        family.check_unit(family_type)?;
        if family.name.is_empty() {
            return Err("it has no name".to_owned());
        }
        self.out.family_type(family.name, family_type);
        if !family.help.is_empty() {
            self.out.help(family.name, family.help);
        }
        if !family.unit.is_empty() {
            self.out.unit(family.name, family.unit);
        }
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 4 {
                let metric = self.metric(value.bytes()?)?;
                self.samples(&family, family_type, &metric)?;
            }
        }
        Ok(())
    }

    /// Reads a metric; its labels are written to `self.labels`.
    fn metric<'a>(&mut self, message: &'a [u8]) -> Result<Metric<'a>, WireError> {
        self.labels.clear();
        let mut metric = Metric::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    let (name, text) = histogram::label(value.bytes()?)?;
                    self.labels.push(name, text);
                }
                2 => metric.gauge = single(value.bytes()?)?.message,
                3 => metric.counter = single(value.bytes()?)?.message,
                4 => metric.summary = checked_summary(value.bytes()?)?,
                5 => metric.untyped = single(value.bytes()?)?.message,
                6 => metric.time_ms = Some(value.varint()? as i64).filter(|time_ms| *time_ms != 0),
                7 => metric.histogram = value.bytes()?,
                _ => {}
            }
        }
        Ok(metric)
    }

    fn samples(
        &mut self,
        family: &Family<'_>,
        family_type: FamilyType,
        metric: &Metric<'_>,
    ) -> Result<(), String> {
        let message = match family_type {
            FamilyType::Counter => metric.counter,
            FamilyType::Gauge => metric.gauge,
            FamilyType::Summary => return self.summary(family, metric),
            FamilyType::Histogram | FamilyType::GaugeHistogram => {
                return self.histogram(family, family_type, metric);
            }
            _ => metric.untyped,
        };
        let single = single(message)?;
        let exemplar = single
            .exemplar
            .filter(|_| family_type == FamilyType::Counter);
        let parts = LineParts {
            time_ms: metric.time_ms,
            ..LineParts::default()
        };
        self.sample(family.name, single.value, parts, exemplar)
    }

    /// Writes a sample with the exemplar whose message is given.
    fn sample(
        &mut self,
        name: &str,
        value: f64,
        parts: LineParts<'_>,
        exemplar: Option<&[u8]>,
    ) -> Result<(), String> {
        let exemplars = match exemplar {
            None => &[],
            Some(message) => {
                histogram::exemplar_into(message, &mut self.exemplar)?;
                std::slice::from_ref(&self.exemplar)
            }
        };
        let parts = LineParts { exemplars, ..parts };
        self.out.sample(name, &self.labels, value, parts)
    }

    fn summary(&mut self, family: &Family<'_>, metric: &Metric<'_>) -> Result<(), String> {
        let (mut count, mut sum) = (0u64, 0.0);
        let mut fields = Fields::new(metric.summary);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => count = value.varint()?,
                2 => sum = value.double()?,
                _ => {}
            }
        }
        let part = |suffix, bound| LineParts {
            suffix,
            bound,
            time_ms: metric.time_ms,
            exemplars: &[],
        };
        self.sample(family.name, count as f64, part("_count", None), None)?;
        self.sample(family.name, sum, part("_sum", None), None)?;
        let mut fields = Fields::new(metric.summary);
        while let Some((number, value)) = fields.next()? {
            if number != 3 {
                continue;
            }
            let (quantile, estimate) = quantile(value.bytes()?)?;
            let bound = Some(("quantile", quantile));
            self.sample(family.name, estimate, part("", bound), None)?;
        }
        Ok(())
    }

    /// Native, classic, or both, as the job wants it.
    fn histogram(
        &mut self,
        family: &Family<'_>,
        family_type: FamilyType,
        metric: &Metric<'_>,
    ) -> Result<(), String> {
        let sent = Histogram::read(metric.histogram)?;
        let HistogramOptions {
            native,
            always_classic,
            convert_classic,
            ..
        } = self.options;
        let is_gauge = family_type == FamilyType::GaugeHistogram;
        if native && sent.is_native() {
            self.native(family.name, metric.time_ms, &sent, is_gauge)?;
            if !always_classic || sent.buckets.is_empty() {
                return Ok(());
            }
        } else if convert_classic && !is_gauge {
            let mut classic = ClassicHistogram::default();
            let buckets = sent.buckets.iter();
            buckets.for_each(|bucket| classic.bucket(bucket.bound, bucket.cumulative()));
            classic.count(sent.count());
            classic.sum(sent.sum);
            if let Some(histogram) = classic.convert() {
                let exemplars = exemplars(sent.buckets.iter().filter_map(|one| one.exemplar))?;
                let parts = LineParts {
                    time_ms: metric.time_ms,
                    exemplars: &exemplars,
                    ..LineParts::default()
                };
                self.out
                    .histogram(family.name, &self.labels, histogram, parts)?;
            }
            if !always_classic {
                return Ok(());
            }
        }
        self.classic(family.name, metric.time_ms, &sent)
    }

    fn native(
        &mut self,
        name: &str,
        time_ms: Option<i64>,
        sent: &Histogram<'_>,
        is_gauge: bool,
    ) -> Result<(), String> {
        let histogram = sent.native(is_gauge, self.options)?;
        // Those of its buckets count where it has none of its own.
        let exemplars = match sent.exemplars.is_empty() {
            true => exemplars(sent.buckets.iter().filter_map(|one| one.exemplar))?,
            false => exemplars(sent.exemplars.iter().copied())?,
        };
        let parts = LineParts {
            time_ms,
            exemplars: &exemplars,
            ..LineParts::default()
        };
        self.out.histogram(name, &self.labels, histogram, parts)
    }

    fn classic(
        &mut self,
        name: &str,
        time_ms: Option<i64>,
        sent: &Histogram<'_>,
    ) -> Result<(), String> {
        let part = |suffix, bound| LineParts {
            suffix,
            bound,
            time_ms,
            exemplars: &[],
        };
        self.sample(name, sent.count(), part("_count", None), None)?;
        self.sample(name, sent.sum, part("_sum", None), None)?;
        for bucket in &sent.buckets {
            let bound = Some(("le", bucket.bound));
            let (count, exemplar) = (bucket.cumulative(), bucket.exemplar);
            self.sample(name, count, part("_bucket", bound), exemplar)?;
            // What follows the infinite bucket is not read.
            if bucket.bound == f64::INFINITY {
                return Ok(());
            }
        }
        let bound = Some(("le", f64::INFINITY));
        self.sample(name, sent.count(), part("_bucket", bound), None)
    }
}

/// The exemplars of a native histogram, of which messages are given.
fn exemplars<'m>(
    messages: impl Iterator<Item = &'m [u8]>,
) -> Result<Vec<ExemplarParts>, WireError> {
    let read: Result<Vec<ExemplarParts>, WireError> = messages.map(histogram::exemplar).collect();
    Ok(ExemplarParts::of_histogram(read?))
}
