//! Parses the commands of a script.

use crate::source::parse_duration;

use super::series::{self, SeriesDescription};

/// One command of a script.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Clear,
    Load {
        step_ms: i64,
        with_nhcb: bool,
        series: Vec<SeriesDescription>,
    },
    Eval(Box<Eval>),
}

/// When an expression is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Instant(i64),
    Range {
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Eval {
    pub(crate) expression: String,
    pub(crate) when: When,
    pub(crate) expect: Expect,
    /// Expected series; a bare number has no series.
    pub(crate) series: Vec<SeriesDescription>,
    pub(crate) scalar: Option<f64>,
    pub(crate) string: Option<String>,
    /// `expect range vector`: the grid of an instant query's matrix.
    pub(crate) matrix: Option<When>,
}

/// What an annotation or error must say.
#[derive(Clone, Debug)]
pub(crate) enum AnnotationKind {
    Anything,
    Exactly(String),
    Regex(String),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Expect {
    pub(crate) fail: Option<AnnotationKind>,
    pub(crate) warn: Vec<AnnotationKind>,
    pub(crate) info: Vec<AnnotationKind>,
    pub(crate) no_warn: bool,
    pub(crate) no_info: bool,
    pub(crate) ordered: bool,
}

/// A command, or why it cannot be read, with its line number and text.
pub(crate) struct Parsed {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) command: Result<Command, String>,
}

pub(crate) fn parse(script: &str) -> Vec<Parsed> {
    let mut commands = Vec::new();
    let mut lines = script
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .peekable();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // A command's lines go on until an empty one or a comment.
        let mut body = Vec::new();
        while let Some((_, next)) = lines.peek() {
            if next.is_empty() || next.starts_with('#') || line == "clear" {
                break;
            }
            body.push(*next);
            lines.next();
        }
        commands.push(Parsed {
            line: number,
            text: line.to_owned(),
            command: command(line, &body),
        });
    }
    commands
}

fn command(line: &str, body: &[&str]) -> Result<Command, String> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match word {
        "clear" => Ok(Command::Clear),
        "load" | "load_with_nhcb" => {
            let step_ms = time(rest.trim())?;
            let series = body
                .iter()
                .map(|line| series::describe(line))
                .collect::<Result<_, _>>()?;
            Ok(Command::Load {
                step_ms,
                with_nhcb: word == "load_with_nhcb",
                series,
            })
        }
        _ if word.starts_with("eval") => eval(word, rest.trim(), body),
        _ => Err(format!("unknown command {word:?}")),
    }
}

/// A duration, or a number of seconds, with sign.
fn time(text: &str) -> Result<i64, String> {
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if let Ok(ms) = parse_duration(magnitude) {
        return Ok(sign * ms);
    }
    let seconds: f64 = magnitude
        .parse()
        .map_err(|_| format!("not a time: {text:?}"))?;
    Ok(sign * (seconds * 1000.0).round() as i64)
}

fn eval(word: &str, rest: &str, body: &[&str]) -> Result<Command, String> {
    let mut expect = Expect::default();
    match word.strip_prefix("eval").unwrap_or("") {
        "" => {}
        "_fail" => expect.fail = Some(AnnotationKind::Anything),
        "_warn" => expect.warn.push(AnnotationKind::Anything),
        "_info" => expect.info.push(AnnotationKind::Anything),
        "_ordered" => expect.ordered = true,
        other => return Err(format!("unknown kind of eval {other:?}")),
    }
    let (when, expression) = when(rest)?;
    let mut eval = Eval {
        expression: expression.to_owned(),
        when,
        expect,
        series: Vec::new(),
        scalar: None,
        string: None,
        matrix: None,
    };
    for line in body {
        expected_line(&mut eval, line)?;
    }
    Ok(Command::Eval(Box::new(eval)))
}

fn when(rest: &str) -> Result<(When, &str), String> {
    let malformed = || format!("malformed eval: {rest:?}");
    let (kind, rest) = rest.split_once(char::is_whitespace).ok_or_else(malformed)?;
    let rest = rest.trim_start();
    let mut cursor = Words(rest);
    if kind == "instant" {
        if !rest.starts_with("at ") {
            return Ok((When::Instant(0), rest));
        }
        cursor.keyword("at")?;
        let at_ms = time(cursor.word())?;
        return Ok((When::Instant(at_ms), cursor.0.trim()));
    }
    let range = range_words(&mut cursor)?;
    Ok((range, cursor.0.trim()))
}

/// `from START to END step STEP`.
fn range_words(cursor: &mut Words<'_>) -> Result<When, String> {
    cursor.keyword("from")?;
    let start_ms = time(cursor.word())?;
    cursor.keyword("to")?;
    let end_ms = time(cursor.word())?;
    cursor.keyword("step")?;
    let step_ms = time(cursor.word())?;
    Ok(When::Range {
        start_ms,
        end_ms,
        step_ms,
    })
}

struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn word(&mut self) -> &'a str {
        let text = self.0.trim_start();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        self.0 = rest;
        word
    }

    fn keyword(&mut self, wanted: &str) -> Result<(), String> {
        match self.word() {
            word if word == wanted => Ok(()),
            word => Err(format!("expected {wanted:?}, found {word:?}")),
        }
    }
}

fn expected_line(eval: &mut Eval, line: &str) -> Result<(), String> {
    if let Some(rest) = line
        .strip_prefix("expect ")
        .or_else(|| line.strip_prefix("expect\t"))
    {
        return expectation(eval, rest.trim());
    }
    if let Some(text) = line.strip_prefix("expected_fail_message") {
        eval.expect.fail = Some(AnnotationKind::Exactly(text.trim().to_owned()));
        return Ok(());
    }
    if let Some(text) = line.strip_prefix("expected_fail_regexp") {
        eval.expect.fail = Some(AnnotationKind::Regex(text.trim().to_owned()));
        return Ok(());
    }
    if let Some(value) = series::bare_number(line) {
        eval.scalar = Some(value);
        return Ok(());
    }
    eval.series.push(series::describe(line)?);
    Ok(())
}

fn expectation(eval: &mut Eval, text: &str) -> Result<(), String> {
    let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let say = || {
        if let Some(message) = rest.strip_prefix("msg:") {
            AnnotationKind::Exactly(message.trim().to_owned())
        } else if let Some(pattern) = rest.strip_prefix("regex:") {
            AnnotationKind::Regex(pattern.trim().to_owned())
        } else {
            AnnotationKind::Anything
        }
    };
    match kind {
        "fail" => eval.expect.fail = Some(say()),
        "warn" => eval.expect.warn.push(say()),
        "info" => eval.expect.info.push(say()),
        "no_warn" => eval.expect.no_warn = true,
        "no_info" => eval.expect.no_info = true,
        "ordered" => eval.expect.ordered = true,
        "string" => eval.string = Some(series::quoted(rest)?),
        "range" => {
            let mut cursor = Words(rest);
            cursor.keyword("vector")?;
            eval.matrix = Some(range_words(&mut cursor)?);
        }
        _ => return Err(format!("unknown expectation {kind:?}")),
    }
    Ok(())
}
