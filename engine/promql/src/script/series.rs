//! The series notation: `metric{a="b"} 1 2+3x2 _ stale {{schema:0 buckets:[1 2]}}x3`.

use std::sync::Arc;

use crate::select::STALE_NAN_BITS;
use crate::source::{self, parse_duration, parse_number};
use stillwell_model::histogram::{Bucket, Buckets, FloatHistogram, ResetHint};
use stillwell_model::labels::{Labels, METRIC_NAME, MatchOp};

/// One value of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// No sample.
    Nothing,
    /// A number, or the stale marker.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// A series as a script describes it.
#[derive(Clone, Debug)]
pub(crate) struct SeriesDescription {
    pub(crate) labels: Labels,
    /// The items are start timestamps, in milliseconds relative to the samples, not values.
    pub(crate) is_start: bool,
    pub(crate) items: Vec<Item>,
}

/// A line of a `load` or of expected results.
pub(crate) fn describe(line: &str) -> Result<SeriesDescription, String> {
    let (mut labels_text, mut rest) = split_labels(line)?;
    if let Some(name) = labels_text.strip_suffix("@st") {
        let at = name.len();
        (labels_text, rest) = (name, &line[at..]);
    }
    let labels = labels(labels_text)?;
    let (is_start, rest) = match rest.strip_prefix("@st") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut items = Vec::new();
    let mut text = rest.trim();
    while !text.is_empty() {
        text = item(text, is_start, &mut items)?.trim_start();
    }
    Ok(SeriesDescription {
        labels,
        is_start,
        items,
    })
}

/// A line that is nothing but a number.
pub(crate) fn bare_number(line: &str) -> Option<f64> {
    let (negative, magnitude) = match line.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix('+').unwrap_or(line)),
    };
    let first = magnitude.bytes().next()?;
    let word = magnitude.eq_ignore_ascii_case("nan") || magnitude.eq_ignore_ascii_case("inf");
    if !word && !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    let value = parse_number(magnitude)?;
    Some(if negative { -value } else { value })
}

/// A quoted string, alone on the rest of a line.
pub(crate) fn quoted(text: &str) -> Result<String, String> {
    source::read_string(text).map_err(|error| error.message)
}

/// Where the labels end: at the brace that closes them, or at the first blank.
fn split_labels(line: &str) -> Result<(&str, &str), String> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '}') => return Ok((&line[..=at], &line[at + 1..])),
            (None, c) if c.is_whitespace() && !line[..at].contains('{') => {
                // `metric {a="b"}` is written too.
                let rest = line[at..].trim_start();
                if !rest.starts_with('{') || rest.starts_with("{{") {
                    return Ok((&line[..at], &line[at..]));
                }
            }
            (None, _) => {}
        }
    }
    if line.contains('{') {
        Err(format!("unclosed braces in {line:?}"))
    } else {
        Ok((line, ""))
    }
}

fn labels(text: &str) -> Result<Labels, String> {
    if text.trim() == "{}" {
        return Ok(Labels::empty());
    }
    let selector =
        source::read_labels(text).map_err(|error| format!("{text:?}: {}", error.message))?;
    let mut builder = Labels::empty().to_builder();
    for matcher in &selector.matchers {
        if matcher.op() != MatchOp::Equal {
            return Err(format!("{text:?} is no metric"));
        }
        builder.set(matcher.name(), matcher.value());
    }
    debug_assert!(builder.get(METRIC_NAME).is_empty() || !selector.matchers.is_empty());
    Ok(builder.build())
}

/// Reads one item with its repetition; answers the rest of the text.
fn item<'t>(text: &'t str, is_start: bool, items: &mut Vec<Item>) -> Result<&'t str, String> {
    if text.starts_with("{{") {
        return histogram_item(text, items);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, rest) = (&text[..end], &text[end..]);
    if let Some(count) = word.strip_prefix('_') {
        let count = match count.strip_prefix('x') {
            Some(count) => times(count)?,
            None => 1,
        };
        items.extend(std::iter::repeat_n(Item::Nothing, count));
        return Ok(rest);
    }
    if word == "stale" {
        items.push(Item::Float(f64::from_bits(STALE_NAN_BITS)));
        return Ok(rest);
    }
    let (value, step, count) = expanded(word, is_start)?;
    // The first value and then `count` more.
    let mut value = value;
    items.push(Item::Float(value));
    for _ in 0..count {
        value += step;
        items.push(Item::Float(value));
    }
    Ok(rest)
}

fn times(text: &str) -> Result<usize, String> {
    let count: usize = text
        .parse()
        .map_err(|_| format!("not a repetition: {text:?}"))?;
    if count > 1_000_000 {
        Err(format!("too many repetitions: {count}"))
    } else {
        Ok(count)
    }
}

/// `value`, `valuexN`, `value+stepxN`, `value-stepxN`.
fn expanded(word: &str, is_start: bool) -> Result<(f64, f64, usize), String> {
    let (body, count) = match word.rfind('x') {
        Some(at) => (&word[..at], times(&word[at + 1..])?),
        None => (word, 0),
    };
    // The sign between value and step is not one of an exponent, nor the first.
    let sign = body
        .char_indices()
        .skip(1)
        .find(|(at, c)| matches!(c, '+' | '-') && !body[..*at].ends_with(['e', 'E']));
    let (value, step) = match sign {
        Some((at, _)) => (
            number(&body[..at], is_start)?,
            number(&body[at..], is_start)?,
        ),
        None => (number(body, is_start)?, 0.0),
    };
    Ok((value, step, count))
}

fn number(text: &str, is_start: bool) -> Result<f64, String> {
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = if is_start {
        parse_duration(magnitude).ok().map(|ms| ms as f64)
    } else {
        parse_number(magnitude)
    };
    let value = value.ok_or_else(|| format!("not a number: {text:?}"))?;
    Ok(if negative { -value } else { value })
}

/// `{{..}}`, `{{..}}xN`, `{{..}}+{{..}}xN`, `{{..}}-{{..}}xN`.
fn histogram_item<'t>(text: &'t str, items: &mut Vec<Item>) -> Result<&'t str, String> {
    let (first, mut rest) = histogram(text)?;
    let mut step = None;
    if let Some(sign) = rest.chars().next().filter(|c| matches!(c, '+' | '-')) {
        let (increment, behind) = histogram(&rest[1..])?;
        (step, rest) = (Some((sign, increment)), behind);
    }
    let mut count = 0;
    if let Some(behind) = rest.strip_prefix('x') {
        let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
        (count, rest) = (times(&behind[..end])?, &behind[end..]);
    }
    let mut value = first;
    items.push(Item::Histogram(Arc::new(value.clone())));
    for _ in 0..count {
        let merged = match &step {
            Some(('+', increment)) => value.add(increment),
            Some((_, increment)) => value.subtract(increment),
            None => Ok(Default::default()),
        };
        merged.map_err(|_| format!("these histograms do not add up: {text:?}"))?;
        items.push(Item::Histogram(Arc::new(value.clone())));
    }
    Ok(rest)
}

/// One `{{key:value ...}}`; answers what is behind it.
fn histogram(text: &str) -> Result<(FloatHistogram, &str), String> {
    let malformed = || format!("malformed histogram: {text:?}");
    let body = text.strip_prefix("{{").ok_or_else(malformed)?;
    let end = body.find("}}").ok_or_else(malformed)?;
    let (mut body, rest) = (body[..end].trim(), &body[end + 2..]);
    let mut histogram = FloatHistogram::default();
    let (mut positive, mut negative) = (Side::default(), Side::default());
    while !body.is_empty() {
        let (key, behind) = body.split_once(':').ok_or_else(malformed)?;
        let behind = behind.trim_start();
        let (value, behind) = match behind.strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or_else(malformed)?,
            None => behind
                .split_once(char::is_whitespace)
                .unwrap_or((behind, "")),
        };
        body = behind.trim_start();
        let one = || number(value.trim(), false);
        let list = || {
            value
                .split_whitespace()
                .map(|word| number(word, false))
                .collect::<Result<Vec<_>, _>>()
        };
        match key.trim() {
            "schema" => histogram.schema = one()? as i32,
            "sum" => histogram.sum = one()?,
            "count" => histogram.count = one()?,
            "z_bucket" => histogram.zero_count = one()?,
            "z_bucket_w" => histogram.zero_threshold = one()?,
            "custom_values" => histogram.custom_bounds = list()?,
            "buckets" => positive.counts = list()?,
            "offset" => positive.offset = one()? as i32,
            "n_buckets" => negative.counts = list()?,
            "n_offset" => negative.offset = one()? as i32,
            "counter_reset_hint" => histogram.hint = hint(value)?,
            key => return Err(format!("unknown histogram field {key:?}")),
        }
    }
    (histogram.positive, histogram.negative) = (positive.buckets(), negative.buckets());
    Ok((histogram, rest))
}

#[derive(Default)]
struct Side {
    offset: i32,
    counts: Vec<f64>,
}

impl Side {
    fn buckets(self) -> Buckets {
        let indices = self.offset..;
        Buckets::from_sorted(
            indices
                .zip(self.counts)
                .map(|(index, count)| Bucket { index, count })
                .collect(),
        )
    }
}

fn hint(text: &str) -> Result<ResetHint, String> {
    match text {
        "unknown" => Ok(ResetHint::Unknown),
        "reset" => Ok(ResetHint::Reset),
        "not_reset" => Ok(ResetHint::NotReset),
        "gauge" => Ok(ResetHint::Gauge),
        _ => Err(format!("unknown counter reset hint {text:?}")),
    }
}
