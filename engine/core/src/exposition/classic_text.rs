//! Pages in a text format whose classic histograms become native ones with custom buckets
//! (`convert_classic_histograms_to_nhcb`; rules: Prometheus model/textparse/nhcbparse.go).
//!
//! Every line is parsed at every scrape and the page is written anew: the option is rare, and the samples of a histogram
//! lie in several lines.

use std::borrow::Cow;

use super::PageError;
use super::any_line;
use super::custom_buckets::ClassicHistogram;
use super::decoded::{Decoded, ExemplarParts, LabelText, LineParts};
use super::dialect::Dialect;
use super::line::{Line, Sample};
use super::number;
use super::openmetrics_line;
use crate::labels::METRIC_NAME;
use crate::metadata::FamilyType;

/// Writes the page with its histograms converted. `keep_classic`: their lines stay as well.
pub(super) fn convert(
    page: &[u8],
    dialect: Dialect,
    keep_classic: bool,
    text: Vec<u8>,
) -> Result<Decoded, PageError> {
    let mut conversion = Conversion {
        dialect,
        keep_classic,
        page,
        out: Decoded::new(text, page.len()),
        family: String::new(),
        family_type: FamilyType::Unknown,
        histogram: None,
    };
    let mut at = 0;
    let mut lines = 0;
    while at < page.len() {
        lines += 1;
        let error = |reason| PageError {
            line: lines,
            reason,
        };
        let (line, next) = any_line::parse(page, at, dialect).map_err(error)?;
        conversion.line(line).map_err(error)?;
        at = next;
    }
    let error = |reason| PageError {
        line: lines,
        reason,
    };
    conversion.finish_histogram().map_err(error)?;
    Ok(conversion.out)
}

struct Conversion<'a> {
    dialect: Dialect,
    keep_classic: bool,
    page: &'a [u8],
    out: Decoded,
    family: String,
    family_type: FamilyType,
    histogram: Option<Current>,
}

/// The histogram whose samples are being read.
struct Current {
    /// Its labels without `le`, as text.
    labels: LabelText,
    time_ms: Option<i64>,
    samples: ClassicHistogram,
    /// Of its buckets.
    exemplars: Vec<ExemplarParts>,
}

impl Conversion<'_> {
    fn line(&mut self, line: Line<'_>) -> Result<(), String> {
        match line {
            Line::Blank | Line::Comment => Ok(()),
            Line::Help { family, text } => {
                self.out.help(&family, &text);
                Ok(())
            }
            Line::Unit { family, unit } => {
                self.out.unit(&family, unit);
                Ok(())
            }
            Line::Type {
                family,
                family_type,
            } => {
                self.finish_histogram()?;
                self.out.family_type(&family, family_type);
                self.family = family.into_owned();
                self.family_type = family_type;
                Ok(())
            }
            Line::Sample(sample) => self.sample(&sample),
        }
    }

    fn sample(&mut self, sample: &Sample<'_>) -> Result<(), String> {
        let value = |name: &str| {
            let found = sample.labels.iter().find(|(have, _)| have == name);
            found.map(|(_, value)| value.clone())
        };
        let name = value(METRIC_NAME).unwrap_or_default();
        let suffix = match self.family_type {
            FamilyType::Histogram => name.strip_prefix(self.family.as_str()),
            _ => None,
        };
        let bound = value("le").and_then(|le: Cow<'_, str>| number::parse(le.as_bytes()));
        let is_part = match suffix {
            Some("_bucket") => bound.is_some(),
            Some("_count" | "_sum") => true,
            _ => false,
        };
        if !is_part {
            self.finish_histogram()?;
            return self.copy(&name, sample);
        }
        if self.keep_classic {
            self.copy(&name, sample)?;
        }
        let labels = labels_without(sample, Some("le"));
        let exemplar = self.exemplar(sample);
        let same = |now: &Current| now.labels == labels && now.time_ms == sample.time_ms;
        if !self.histogram.as_ref().is_some_and(same) {
            self.finish_histogram()?;
        }
        let now = self.histogram.get_or_insert_with(|| Current {
            labels,
            time_ms: sample.time_ms,
            samples: ClassicHistogram::default(),
            exemplars: Vec::new(),
        });
        now.exemplars.extend(exemplar);
        match (suffix, bound) {
            (Some("_bucket"), Some(bound)) => now.samples.bucket(bound, sample.number),
            (Some("_count"), _) => now.samples.count(sample.number),
            _ => now.samples.sum(sample.number),
        }
        Ok(())
    }

    /// Writes a sample as it is.
    fn copy(&mut self, name: &str, sample: &Sample<'_>) -> Result<(), String> {
        let labels = labels_without(sample, None);
        let exemplar = self.exemplar(sample);
        let parts = LineParts {
            time_ms: sample.time_ms,
            exemplars: exemplar.as_slice(),
            ..LineParts::default()
        };
        self.out.sample(name, &labels, sample.number, parts)
    }

    fn exemplar(&self, sample: &Sample<'_>) -> Option<ExemplarParts> {
        let text = &self.page[sample.exemplar.clone()?];
        let read = openmetrics_line::exemplar(text, self.dialect)?;
        let mut exemplar = ExemplarParts {
            labels: LabelText::default(),
            value: read.value,
            time_ms: read.time_ms,
        };
        for (name, value) in read.labels.iter() {
            exemplar.labels.push(name, value);
        }
        Some(exemplar)
    }

    /// Writes the histogram that is complete now. One that cannot be converted is left out, as in Prometheus.
    fn finish_histogram(&mut self) -> Result<(), String> {
        let Some(now) = self.histogram.take() else {
            return Ok(());
        };
        let Some(histogram) = now.samples.convert() else {
            return Ok(());
        };
        let exemplars = ExemplarParts::of_histogram(now.exemplars);
        let parts = LineParts {
            time_ms: now.time_ms,
            exemplars: &exemplars,
            ..LineParts::default()
        };
        self.out
            .histogram(&self.family, &now.labels, histogram, parts)
    }
}

fn labels_without(sample: &Sample<'_>, without: Option<&str>) -> LabelText {
    let mut text = LabelText::default();
    for (name, value) in &sample.labels {
        if name != METRIC_NAME && Some(&**name) != without {
            text.push(name, value);
        }
    }
    text
}
