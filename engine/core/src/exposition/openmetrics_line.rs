//! One line of OpenMetrics 1.0 as Prometheus reads it (grammar: model/textparse, openmetricslex.l and
//! openmetricsparse.go): stricter than the text format in blanks and comments, laxer than the specification, whose own
//! rules `openmetrics` checks.

use std::borrow::Cow;

use crate::labels::{Labels, METRIC_NAME};
use crate::limits::LABELS_PER_SERIES_MAX;
use crate::metadata::FamilyType;

use super::dialect::Dialect;
use super::line::{Cursor, Line, Sample, ascii, check_unique, is_name, is_name_start, unescape};

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// An exemplar: a sample of the events behind a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExemplarLine {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    pub(crate) time_ms: Option<i64>,
}

/// Reads the line at the cursor up to its line break.
pub(super) fn parse<'a>(cursor: &mut Cursor<'a>, dialect: Dialect) -> Result<Line<'a>, String> {
    match cursor.peek() {
        Some(b'#') => comment(cursor, dialect),
        _ => Ok(Line::Sample(sample(cursor, dialect)?)),
    }
}

fn comment<'a>(cursor: &mut Cursor<'a>, dialect: Dialect) -> Result<Line<'a>, String> {
    let line = cursor.here();
    let rest = cursor.rest_of_line();
    let word = match rest.strip_prefix(b"# ") {
        Some([b'H', b'E', b'L', b'P', b' ', ..]) => "HELP",
        Some([b'T', b'Y', b'P', b'E', b' ', ..]) => "TYPE",
        Some([b'U', b'N', b'I', b'T', b' ', ..]) => "UNIT",
        Some(b"EOF") => return Err("something follows # EOF".to_owned()),
        _ => {
            return Err(format!(
                "expected # HELP, # TYPE, # UNIT or # EOF, got {line}; OpenMetrics has no other comments"
            ));
        }
    };
    // Back to where the family begins.
    cursor.at -= rest.len() - "# HELP ".len();
    let family = match cursor.peek() {
        Some(b'"') => cursor.quoted()?,
        Some(byte) if is_name_start(byte) => Cow::Borrowed(ascii(cursor.take_while(is_name))),
        _ => {
            return Err(format!(
                "expected a metric name after {word}, got {}",
                cursor.here()
            ));
        }
    };
    let [b' ', text @ ..] = cursor.rest_of_line() else {
        return Err(format!("expected a space and a text after {word} {family}"));
    };
    let text = std::str::from_utf8(text)
        .map_err(|_| format!("{word} text of {family:?} is not valid UTF-8"))?;
    match word {
        "HELP" => Ok(Line::Help {
            family,
            text: unescape(text, true),
        }),
        "TYPE" => Ok(Line::Type {
            family_type: family_type(&family, text)?,
            family,
        }),
        _ => {
            // Protobuf's rule is another one, kept where it is decoded.
            if dialect == Dialect::OpenMetrics {
                check_unit(&family, text)?;
            }
            Ok(Line::Unit { family, unit: text })
        }
    }
}

fn family_type(family: &str, text: &str) -> Result<FamilyType, String> {
    const TYPES: [FamilyType; 8] = [
        FamilyType::Counter,
        FamilyType::Gauge,
        FamilyType::Histogram,
        FamilyType::GaugeHistogram,
        FamilyType::Summary,
        FamilyType::Info,
        FamilyType::StateSet,
        FamilyType::Unknown,
    ];
    let found = TYPES.into_iter().find(|known| known.as_str() == text);
    found.ok_or_else(|| {
        let known = TYPES.map(FamilyType::as_str).join(", ");
        format!("invalid metric type {text:?} of {family:?}; valid are {known}")
    })
}

fn check_unit(family: &str, unit: &str) -> Result<(), String> {
    let rest = family.strip_suffix(unit);
    match unit.is_empty() || rest.is_some_and(|rest| rest.ends_with('_')) {
        true => Ok(()),
        false => Err(format!(
            "unit {unit:?} is not a suffix of metric {family:?}"
        )),
    }
}

fn sample<'a>(cursor: &mut Cursor<'a>, dialect: Dialect) -> Result<Sample<'a>, String> {
    let mut labels = Vec::with_capacity(12);
    match cursor.peek() {
        Some(byte) if is_name_start(byte) => {
            let name = ascii(cursor.take_while(is_name));
            labels.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name)));
        }
        Some(b'{') => {}
        _ => {
            return Err(format!(
                "expected a metric name or one of # HELP, # TYPE, # UNIT, # EOF, got {}",
                cursor.here()
            ));
        }
    }
    if cursor.peek() == Some(b'{') {
        label_pairs(cursor, &mut labels, true)?;
    }
    let named =
        |(name, value): &(Cow<'_, str>, Cow<'_, str>)| name == METRIC_NAME && !value.is_empty();
    if !labels.iter().any(named) {
        return Err("the sample has no metric name".to_owned());
    }
    check_unique(&labels)?;
    if cursor.peek() != Some(b' ') {
        return Err(format!(
            "expected a space and a value after the metric, got {}",
            cursor.here()
        ));
    }
    cursor.at += 1;
    let value_at = cursor.at;
    let Some(tail) = dialect.tail(&cursor.page[value_at..]) else {
        return Err(format!(
            "expected a value, then a timestamp in seconds and an exemplar or nothing, got {}",
            cursor.here()
        ));
    };
    // The line break is left to the caller.
    let end = value_at + tail.len;
    let has_break = tail.len > 0 && cursor.page[end - 1] == b'\n';
    cursor.at = end - usize::from(has_break);
    Ok(Sample {
        value: value_at..value_at + tail.value_len,
        number: f64::from_bits(tail.bits),
        histogram: tail.histogram,
        exemplar: tail
            .exemplar
            .map(|range| value_at + range.start..value_at + range.end),
        time_ms: tail.time_ms,
        labels,
    })
}

/// From the opening brace to the closing one. In those of a metric a quoted text alone is its name.
fn label_pairs<'a>(
    cursor: &mut Cursor<'a>,
    labels: &mut Pairs<'a>,
    may_name: bool,
) -> Result<(), String> {
    cursor.at += 1;
    loop {
        let (name, was_quoted) = match cursor.peek() {
            Some(b'}') => {
                cursor.at += 1;
                return Ok(());
            }
            Some(b'"') => (cursor.quoted()?, true),
            Some(byte) if is_name_start(byte) && byte != b':' => (
                Cow::Borrowed(ascii(cursor.take_while(|b| is_name(b) && b != b':'))),
                false,
            ),
            _ => return Err(format!("expected a label name, got {}", cursor.here())),
        };
        if may_name && was_quoted && matches!(cursor.peek(), Some(b',' | b'}')) {
            if labels
                .first()
                .is_some_and(|(first, _)| first == METRIC_NAME)
            {
                return Err(format!(
                    "the metric name is given twice, the second time as {name:?}"
                ));
            }
            labels.insert(0, (Cow::Borrowed(METRIC_NAME), name));
        } else {
            labels.push(label_value(cursor, name)?);
        }
        if labels.len() > LABELS_PER_SERIES_MAX {
            return Err(format!("more than {LABELS_PER_SERIES_MAX} labels"));
        }
        match cursor.peek() {
            Some(b',') => cursor.at += 1,
            Some(b'}') => {}
            _ => {
                return Err(format!(
                    "expected \",\" or \"}}\" after a label, got {}",
                    cursor.here()
                ));
            }
        }
    }
}

/// `="value"` after the name of a label. A value has no raw line break, unlike in the text format.
fn label_value<'a>(
    cursor: &mut Cursor<'a>,
    name: Cow<'a, str>,
) -> Result<(Cow<'a, str>, Cow<'a, str>), String> {
    if !cursor.page[cursor.at..].starts_with(b"=\"") {
        return Err(format!(
            "expected \"=\" and the quoted value of label {name:?}, got {}",
            cursor.here()
        ));
    }
    cursor.at += 1;
    let start = cursor.at;
    let value = cursor.quoted()?;
    if memchr::memchr(b'\n', &cursor.page[start..cursor.at]).is_some() {
        return Err(format!("the value of label {name:?} holds a line break"));
    }
    Ok((name, value))
}

/// Reads the text of one exemplar. `None`: it is malformed.
pub(crate) fn exemplar(text: &[u8], dialect: Dialect) -> Option<ExemplarLine> {
    let (exemplar, others) = first_exemplar(text, dialect)?;
    others.is_none().then_some(exemplar)
}

/// Reads the text of exemplars, of which a native histogram may have several; it ends before one that is malformed.
pub(crate) fn exemplars(text: &[u8], dialect: Dialect) -> impl Iterator<Item = ExemplarLine> + '_ {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (exemplar, others) = first_exemplar(rest.take()?, dialect)?;
        if others.is_some() && dialect != Dialect::Decoded {
            return None;
        }
        rest = others;
        Some(exemplar)
    })
}

/// The first exemplar, and the text of those behind it.
fn first_exemplar(text: &[u8], dialect: Dialect) -> Option<(ExemplarLine, Option<&[u8]>)> {
    let mut cursor = Cursor { page: text, at: 0 };
    let mut labels = Vec::new();
    label_pairs(&mut cursor, &mut labels, false).ok()?;
    check_unique(&labels).ok()?;
    let [b' ', rest @ ..] = &text[cursor.at..] else {
        return None;
    };
    let tail = dialect.tail(rest)?;
    if tail.histogram.is_some() {
        return None;
    }
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort_unstable();
    let exemplar = ExemplarLine {
        labels: Labels::from_sorted(labels.iter().map(|(name, value)| (&**name, &**value))),
        value: f64::from_bits(tail.bits),
        time_ms: tail.time_ms,
    };
    Some((exemplar, tail.exemplar.map(|others| &rest[others])))
}
