//! What the type of a family says of its samples.

use super::line::Sample;

/// The types of OpenMetrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    StateSet,
    Info,
    Summary,
    Unknown,
}

/// Types with the suffixes of their sample names.
const TYPES: [(&str, Type, &[&str]); 8] = [
    ("counter", Type::Counter, &["_total", "_created"]),
    ("gauge", Type::Gauge, &[""]),
    (
        "histogram",
        Type::Histogram,
        &["_bucket", "_count", "_sum", "_created"],
    ),
    (
        "gaugehistogram",
        Type::GaugeHistogram,
        &["_bucket", "_gcount", "_gsum"],
    ),
    ("stateset", Type::StateSet, &[""]),
    ("info", Type::Info, &["_info"]),
    (
        "summary",
        Type::Summary,
        &["", "_count", "_sum", "_created"],
    ),
    ("unknown", Type::Unknown, &[""]),
];

impl Type {
    pub(super) fn parse(text: &str) -> Result<Type, String> {
        let found = TYPES.iter().find(|(name, _, _)| *name == text);
        found.map(|(_, of, _)| *of).ok_or_else(|| {
            let known = TYPES.map(|(name, _, _)| name).join(", ");
            format!("{text:?} is not a type; types are {known}")
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        TYPES
            .iter()
            .find(|(_, of, _)| *of == self)
            .map_or("", |(name, _, _)| name)
    }

    /// Suffixes of sample names.
    pub(super) fn suffixes(self) -> &'static [&'static str] {
        TYPES
            .iter()
            .find(|(_, of, _)| *of == self)
            .map_or(&[], |(_, _, suffixes)| suffixes)
    }

    pub(super) fn is_histogram(self) -> bool {
        matches!(self, Type::Histogram | Type::GaugeHistogram)
    }

    /// The label that tells apart the samples of one point; `None` where there is only one, or for an info, whose
    /// labels are its value.
    pub(super) fn inner_label(self, family: &str) -> Option<&str> {
        match self {
            Type::Histogram | Type::GaugeHistogram => Some("le"),
            Type::Summary => Some("quantile"),
            Type::StateSet => Some(family),
            _ => None,
        }
    }
}

/// Checks the labels, the value and the exemplar of a sample of `family`.
pub(super) fn check_sample(
    of: Type,
    family: &str,
    suffix: &str,
    sample: &Sample<'_>,
) -> Result<(), String> {
    let label = |name: &str| {
        let found = sample.labels.iter().find(|(have, _)| *have == name);
        found.map(|(_, value)| value.as_ref())
    };
    let value = sample.value;
    let is_counter = matches!(suffix, "_total" | "_count" | "_gcount" | "_bucket" | "_sum");
    if (is_counter || suffix == "_gsum") && value.is_nan() {
        return Err(format!("{} counts and cannot be NaN", sample.name));
    }
    if is_counter && value < 0.0 {
        return Err(format!(
            "{} counts and cannot be negative ({value})",
            sample.name
        ));
    }
    match (of, suffix) {
        (Type::Histogram | Type::GaugeHistogram, "_bucket") => drop(bound(sample)?),
        (Type::Summary, "") => {
            let quantile = label("quantile").and_then(float);
            if !quantile.is_some_and(|quantile| (0.0..=1.0).contains(&quantile)) {
                return Err(format!(
                    "a sample of summary {family} needs a label quantile from 0 to 1, not {:?}",
                    label("quantile").unwrap_or("")
                ));
            }
            if value < 0.0 {
                return Err(format!(
                    "a quantile of {family} cannot be negative ({value})"
                ));
            }
        }
        (Type::StateSet, _) if label(family).is_none() => {
            return Err(format!(
                "a sample of stateset {family} needs a label {family:?}"
            ));
        }
        (Type::StateSet, _) if value != 0.0 && value != 1.0 => {
            return Err(format!("a state is 0 or 1, not {value}"));
        }
        (Type::Info, _) if value != 1.0 => {
            return Err(format!("an info has the value 1, not {value}"));
        }
        _ => {}
    }
    check_exemplar(of, suffix, sample)
}

fn check_exemplar(of: Type, suffix: &str, sample: &Sample<'_>) -> Result<(), String> {
    let Some(exemplar) = &sample.exemplar else {
        return Ok(());
    };
    let may_have = suffix == "_bucket" && of.is_histogram() || suffix == "_total";
    if !may_have {
        return Err(format!(
            "{} cannot have an exemplar; only counters and buckets can",
            sample.name
        ));
    }
    if suffix == "_bucket" {
        let bound = bound(sample)?;
        if exemplar.value > bound {
            return Err(format!(
                "the exemplar {} is not in its bucket, which ends at {bound}",
                exemplar.value
            ));
        }
    }
    Ok(())
}

/// The upper bound of a bucket. Infinity has one spelling, so that readers find it.
pub(super) fn bound(sample: &Sample<'_>) -> Result<f64, String> {
    let found = sample.labels.iter().find(|(name, _)| *name == "le");
    let Some((_, text)) = found else {
        return Err(format!("{} needs a label le", sample.name));
    };
    match float(text) {
        Some(bound) if bound == f64::INFINITY && text != "+Inf" => {
            Err(format!("the bound le={text:?} has to be written \"+Inf\""))
        }
        Some(bound) if !bound.is_nan() => Ok(bound),
        _ => Err(format!("the bound le={text:?} is not a number")),
    }
}

fn float(text: &str) -> Option<f64> {
    super::super::number::parse(text.as_bytes())
}
