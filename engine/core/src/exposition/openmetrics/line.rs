//! The grammar of one line (specification, "ABNF"): every blank is a single space, nothing is left over at the end.

use std::borrow::Cow;

use super::super::number;

/// Labels in page order.
pub(super) type Pairs<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// A line of a page.
#[derive(Debug)]
pub(super) enum Line<'a> {
    /// `# EOF`.
    Eof,
    /// `# TYPE`, `# HELP` or `# UNIT` with the family and the rest.
    Metadata(Keyword, &'a str, &'a str),
    Sample(Sample<'a>),
}

/// The kinds of metadata lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Type,
    Help,
    Unit,
}

impl Keyword {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Keyword::Type => "TYPE",
            Keyword::Help => "HELP",
            Keyword::Unit => "UNIT",
        }
    }
}

/// A sample.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Pairs<'a>,
    pub(super) value: f64,
    /// In seconds.
    pub(super) time_s: Option<f64>,
    pub(super) exemplar: Option<Exemplar>,
}

/// What is checked of an exemplar later.
#[derive(Debug)]
pub(super) struct Exemplar {
    pub(super) value: f64,
}

/// Characters of an exemplar's label names and values together (specification, "Exemplars").
const EXEMPLAR_CHARS_MAX: usize = 128;

/// Reads one line, which has no line break.
pub(super) fn parse(text: &str) -> Result<Line<'_>, String> {
    if text == "# EOF" {
        return Ok(Line::Eof);
    }
    if text.starts_with('#') {
        return metadata(text);
    }
    let mut cursor = Cursor { rest: text };
    let name = cursor.name(true).ok_or_else(|| match text {
        "" => "the line is empty, which the format does not allow".to_owned(),
        _ => format!("expected a metric name, got {}", cursor.here()),
    })?;
    let labels = match cursor.rest.starts_with('{') {
        true => cursor.labels()?,
        false => Vec::new(),
    };
    cursor.space("before the value")?;
    let value = cursor.number("value")?;
    let mut time_s = None;
    if cursor.rest.starts_with(' ') && !cursor.rest.starts_with(" #") {
        cursor.space("")?;
        time_s = Some(cursor.timestamp()?);
    }
    let exemplar = match cursor.rest.is_empty() {
        true => None,
        false => Some(cursor.exemplar()?),
    };
    Ok(Line::Sample(Sample {
        name,
        labels,
        value,
        time_s,
        exemplar,
    }))
}

fn metadata(text: &str) -> Result<Line<'_>, String> {
    let other = || {
        format!(
            "expected # TYPE, # HELP, # UNIT or # EOF, got {}; the format has no comments",
            shown(text)
        )
    };
    let rest = text.strip_prefix("# ").ok_or_else(other)?;
    let (word, rest) = rest.split_once(' ').ok_or_else(other)?;
    let keyword = match word {
        "TYPE" => Keyword::Type,
        "HELP" => Keyword::Help,
        "UNIT" => Keyword::Unit,
        _ => return Err(other()),
    };
    let mut cursor = Cursor { rest };
    let family = cursor.name(true).ok_or_else(|| {
        format!(
            "expected a metric name after # {word}, got {}",
            cursor.here()
        )
    })?;
    let value = cursor.rest.strip_prefix(' ').ok_or_else(|| {
        format!(
            "expected a space and the {word} after {family}, got {}",
            cursor.here()
        )
    })?;
    Ok(Line::Metadata(keyword, family, value))
}

fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    match start.as_str() {
        "" => "the end of the line".to_owned(),
        start => format!("{start:?}"),
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// What stands here, for messages.
    fn here(&self) -> String {
        shown(self.rest)
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    /// A metric name, which may have colons, or a label name.
    fn name(&mut self, colons: bool) -> Option<&'a str> {
        let fits =
            |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':');
        let bytes = self.rest.as_bytes();
        let len = bytes.iter().take_while(|byte| fits(**byte)).count();
        let is_name = len > 0 && !bytes[0].is_ascii_digit();
        is_name.then(|| self.take(len))
    }

    fn expect(&mut self, what: char, place: &str) -> Result<(), String> {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(format!("expected {what:?} {place}, got {}", self.here())),
        }
    }

    fn space(&mut self, place: &str) -> Result<(), String> {
        self.expect(' ', place)
    }

    /// Up to the next space.
    fn token(&mut self) -> &'a str {
        let len = self.rest.find(' ').unwrap_or(self.rest.len());
        self.take(len)
    }

    fn number(&mut self, what: &str) -> Result<f64, String> {
        let token = self.token();
        number::parse(token.as_bytes()).ok_or_else(|| match token {
            "" => format!("expected a {what}, got {}", self.here()),
            _ => format!("the {what} {token:?} is not a number"),
        })
    }

    /// A finite number of seconds.
    fn timestamp(&mut self) -> Result<f64, String> {
        let time_s = self.number("timestamp")?;
        match time_s.is_finite() {
            true => Ok(time_s),
            false => Err(format!("the timestamp {time_s} is not a time")),
        }
    }

    /// From the opening brace to the closing one.
    fn labels(&mut self) -> Result<Pairs<'a>, String> {
        self.expect('{', "before the labels")?;
        let mut labels: Pairs<'a> = Vec::new();
        if self.rest.starts_with('}') {
            self.take(1);
            return Ok(labels);
        }
        loop {
            let name = self.name(false).ok_or_else(|| match self.rest.as_bytes() {
                [b'"', ..] => format!(
                    "expected a label name, got {}; OpenMetrics 1.0 has no quoted names",
                    self.here()
                ),
                _ => format!("expected a label name, got {}", self.here()),
            })?;
            if name.starts_with("__") {
                return Err(format!(
                    "the label name {name:?} is reserved: names do not begin with underscores"
                ));
            }
            if labels.iter().any(|(have, _)| *have == name) {
                return Err(format!("the label name {name:?} is there twice"));
            }
            self.expect('=', &format!("after label {name:?}"))?;
            self.expect('"', &format!("before the value of label {name:?}"))?;
            labels.push((name, self.quoted(name)?));
            match self.rest.as_bytes().first() {
                Some(b',') => drop(self.take(1)),
                Some(b'}') => {
                    self.take(1);
                    return Ok(labels);
                }
                _ => {
                    return Err(format!(
                        "expected \",\" or \"}}\" after label {name:?}, got {}",
                        self.here()
                    ));
                }
            }
        }
    }

    /// The rest of a quoted value, after its opening quote.
    fn quoted(&mut self, label: &str) -> Result<Cow<'a, str>, String> {
        let mut plain: Option<String> = None;
        loop {
            let Some(len) = self.rest.find(['"', '\\']) else {
                return Err(format!("the value of label {label:?} is not closed"));
            };
            let part = self.take(len);
            if self.rest.starts_with('"') {
                self.take(1);
                return Ok(match plain {
                    None => Cow::Borrowed(part),
                    Some(plain) => Cow::Owned(plain + part),
                });
            }
            self.take(1);
            let escaped = self.rest.chars().next();
            let plain = plain.get_or_insert_default();
            plain.push_str(part);
            match escaped {
                Some('n') => plain.push('\n'),
                Some(char @ ('"' | '\\')) => plain.push(char),
                Some(char) => plain.extend(['\\', char]),
                None => return Err(format!("the value of label {label:?} is not closed")),
            }
            self.take(escaped.map_or(0, char::len_utf8));
        }
    }

    /// ` # {labels} value [timestamp]` up to the end of the line.
    fn exemplar(&mut self) -> Result<Exemplar, String> {
        let Some(rest) = self.rest.strip_prefix(" # ") else {
            return Err(format!(
                "expected the end of the line or an exemplar, got {}",
                self.here()
            ));
        };
        self.rest = rest;
        let labels = self.labels()?;
        let chars: usize = labels
            .iter()
            .map(|(name, value)| name.len() + value.chars().count())
            .sum();
        if chars > EXEMPLAR_CHARS_MAX {
            return Err(format!(
                "the labels of the exemplar have {chars} characters; the most are {EXEMPLAR_CHARS_MAX}"
            ));
        }
        self.space("before the value of the exemplar")?;
        let value = self.number("value of the exemplar")?;
        if self.rest.starts_with(' ') {
            self.space("")?;
            self.timestamp()?;
        }
        match self.rest {
            "" => Ok(Exemplar { value }),
            _ => Err(format!(
                "expected the end of the line after the exemplar, got {}",
                self.here()
            )),
        }
    }
}
