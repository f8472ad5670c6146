//! The full parser: one line of the Prometheus text format 0.0.4 (grammar: Prometheus model/textparse, promlex.l and
//! promparse.go), and what it shares with the other dialects (`openmetrics_line`). It is used for lines that the template
//! does not contain.
//!
//! A label value may contain a raw line break, so a sample is read from its position to its end; the page is not
//! split into lines first.

use std::borrow::Cow;
use std::ops::Range;

use crate::labels::METRIC_NAME;
use crate::limits::LABELS_PER_SERIES_MAX;
use crate::metadata::FamilyType;

use super::number;

/// What a line is.
#[derive(Debug)]
pub(crate) enum Line<'a> {
    /// Nothing but blanks.
    Blank,
    /// A comment without meaning.
    Comment,
    /// `# HELP name text`, unescaped.
    Help {
        family: Cow<'a, str>,
        text: Cow<'a, str>,
    },
    /// `# TYPE name type`.
    Type {
        family: Cow<'a, str>,
        family_type: FamilyType,
    },
    /// `# UNIT name unit`.
    Unit { family: Cow<'a, str>, unit: &'a str },
    /// A sample.
    Sample(Sample<'a>),
}

/// A sample as the page writes it.
#[derive(Debug)]
pub(crate) struct Sample<'a> {
    /// Where the value begins: everything before it is the series' key in the template.
    pub(crate) value: Range<usize>,
    pub(crate) number: f64,
    /// The place of the sample's native histogram among those of the page, if it is one.
    pub(crate) histogram: Option<u32>,
    /// Where the text of the exemplar is, from its opening brace on.
    pub(crate) exemplar: Option<Range<usize>>,
    /// The timestamp in milliseconds, if the line has one.
    pub(crate) time_ms: Option<i64>,
    /// Labels in page order, the metric name among them; no name twice.
    pub(crate) labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Parses the line at the cursor up to its line break.
pub(super) fn text<'a>(cursor: &mut Cursor<'a>) -> Result<Line<'a>, String> {
    cursor.blanks();
    Ok(match cursor.peek() {
        None | Some(b'\n') => Line::Blank,
        Some(b'#') => comment(cursor)?,
        Some(_) => Line::Sample(sample(cursor)?),
    })
}

/// A position on a page.
pub(super) struct Cursor<'a> {
    pub(super) page: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.page.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    pub(super) fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(&fits) {
            self.at += 1;
        }
        &self.page[start..self.at]
    }

    pub(super) fn rest_of_line(&mut self) -> &'a [u8] {
        let rest = &self.page[self.at..];
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    pub(super) fn line_break(&mut self) -> Result<(), String> {
        match self.peek() {
            None => Ok(()),
            Some(b'\n') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(format!("expected the end of the line, got {}", self.here())),
        }
    }

    /// What stands here, for messages.
    pub(super) fn here(&self) -> String {
        match self.page.get(self.at..) {
            None | Some([]) => "the end of the page".to_owned(),
            Some([b'\n', ..]) => "the end of the line".to_owned(),
            Some(rest) => {
                let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len()).min(40);
                format!("{:?}", String::from_utf8_lossy(&rest[..end]))
            }
        }
    }

    /// A quoted string, its escapes resolved.
    pub(super) fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let start = self.at + 1;
        let mut at = start;
        let mut is_plain = true;
        loop {
            match memchr::memchr2(b'"', b'\\', self.page.get(at..).unwrap_or(&[])) {
                None => return Err(format!("a quoted text is not closed, from {}", self.here())),
                Some(offset) if self.page[at + offset] == b'"' => {
                    let raw = &self.page[start..at + offset];
                    self.at = at + offset + 1;
                    let text = std::str::from_utf8(raw).map_err(|_| {
                        format!("invalid UTF-8 in {:?}", String::from_utf8_lossy(raw))
                    })?;
                    return Ok(match is_plain {
                        true => Cow::Borrowed(text),
                        false => unescape(text, true),
                    });
                }
                // An escape is two bytes, whatever the second is.
                Some(offset) => (at, is_plain) = (at + offset + 2, false),
            }
        }
    }
}

/// `\\` and `\n`, and `\"` in label values; any other backslash stands for itself.
pub(super) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let escaped = match (char, chars.peek()) {
            ('\\', Some('\\')) => '\\',
            ('\\', Some('n')) => '\n',
            ('\\', Some('"')) if quotes => '"',
            _ => {
                plain.push(char);
                continue;
            }
        };
        chars.next();
        plain.push(escaped);
    }
    Cow::Owned(plain)
}

/// Whether a metric name that needs no quotes may begin so.
pub(super) fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b':'
}

pub(super) fn is_name(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit()
}

pub(super) fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_else(|_| unreachable!("names are ASCII"))
}

fn comment<'a>(cursor: &mut Cursor<'a>) -> Result<Line<'a>, String> {
    cursor.at += 1;
    let text_at = cursor.at;
    cursor.blanks();
    let keyword = match cursor.page.get(cursor.at..cursor.at + 5) {
        Some([word @ .., b' ' | b'\t']) if cursor.at > text_at => word,
        _ => b"",
    };
    if keyword != b"HELP" && keyword != b"TYPE" {
        cursor.rest_of_line();
        return Ok(Line::Comment);
    }
    cursor.at += keyword.len();
    cursor.blanks();
    let family = match cursor.peek() {
        Some(b'"') => cursor.quoted()?,
        Some(byte) if is_name_start(byte) => Cow::Borrowed(ascii(cursor.take_while(is_name))),
        _ => {
            return Err(format!(
                "expected a metric name after {}, got {}",
                ascii(keyword),
                cursor.here()
            ));
        }
    };
    // One blank divides name and text; further ones belong to the text.
    let text = match cursor.rest_of_line() {
        [] => &[][..],
        [_, text @ ..] => text,
    };
    let text = std::str::from_utf8(text)
        .map_err(|_| format!("{} text of {family:?} is not valid UTF-8", ascii(keyword)))?;
    if keyword == b"HELP" {
        return Ok(Line::Help {
            family,
            text: unescape(text, false),
        });
    }
    let family_type = match text {
        "counter" => FamilyType::Counter,
        "gauge" => FamilyType::Gauge,
        "histogram" => FamilyType::Histogram,
        "summary" => FamilyType::Summary,
        "untyped" => FamilyType::Unknown,
        other => {
            return Err(format!(
                "invalid metric type {other:?} of {family:?}; valid are counter, gauge, histogram, summary, untyped"
            ));
        }
    };
    Ok(Line::Type {
        family,
        family_type,
    })
}

fn sample<'a>(cursor: &mut Cursor<'a>) -> Result<Sample<'a>, String> {
    let mut labels = Vec::with_capacity(12);
    match cursor.peek() {
        Some(byte) if is_name_start(byte) => {
            let name = ascii(cursor.take_while(is_name));
            labels.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name)));
            cursor.blanks();
        }
        Some(b'{') => {}
        _ => {
            return Err(format!(
                "expected a metric name, a comment or an empty line, got {}",
                cursor.here()
            ));
        }
    }
    if cursor.peek() == Some(b'{') {
        cursor.at += 1;
        label_pairs(cursor, &mut labels)?;
        cursor.blanks();
    }
    if !labels
        .iter()
        .any(|(name, value)| name == METRIC_NAME && !value.is_empty())
    {
        return Err("the sample has no metric name".to_owned());
    }
    check_unique(&labels)?;
    let value_at = cursor.at;
    let token = cursor.take_while(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'{'));
    let number = number::parse(token).ok_or_else(|| match token {
        [] => format!("expected a value after the metric, got {}", cursor.here()),
        _ => format!(
            "the value {:?} is not a number that fits 64 bits",
            String::from_utf8_lossy(token)
        ),
    })?;
    let value = value_at..cursor.at;
    cursor.blanks();
    let digits = cursor.take_while(|byte| byte.is_ascii_digit());
    let time_ms = match digits {
        [] => None,
        digits => Some(ascii(digits).parse::<i64>().map_err(|_| {
            format!(
                "the timestamp {} does not fit 64 bits of milliseconds",
                ascii(digits)
            )
        })?),
    };
    cursor.blanks();
    Ok(Sample {
        value,
        number,
        histogram: None,
        exemplar: None,
        time_ms,
        labels,
    })
}

/// Everything between the braces, the closing one included.
fn label_pairs<'a>(
    cursor: &mut Cursor<'a>,
    labels: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
) -> Result<(), String> {
    loop {
        cursor.blanks();
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
        cursor.blanks();
        // A quoted text alone is the metric name.
        if was_quoted && matches!(cursor.peek(), Some(b',' | b'}')) {
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
            if cursor.peek() != Some(b'=') {
                return Err(format!(
                    "expected \"=\" after label {name:?}, got {}",
                    cursor.here()
                ));
            }
            cursor.at += 1;
            cursor.blanks();
            if cursor.peek() != Some(b'"') {
                return Err(format!(
                    "expected the quoted value of label {name:?}, got {}",
                    cursor.here()
                ));
            }
            let value = cursor.quoted()?;
            labels.push((name, value));
        }
        if labels.len() > LABELS_PER_SERIES_MAX {
            return Err(format!("more than {LABELS_PER_SERIES_MAX} labels"));
        }
        cursor.blanks();
        // Prometheus takes pairs without a comma between them, so we do.
        if cursor.peek() == Some(b',') {
            cursor.at += 1;
        }
    }
}

pub(super) fn check_unique(labels: &[(Cow<'_, str>, Cow<'_, str>)]) -> Result<(), String> {
    let mut names: Vec<&str> = labels.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("the label name {:?} is there twice", pair[0])),
        None => Ok(()),
    }
}
