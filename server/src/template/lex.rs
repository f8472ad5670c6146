//! Text and actions, and the words inside actions.

use super::{Delimiters, TemplateError};

/// One piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) at: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Outside actions.
    Text(String),
    /// `<<`
    Open,
    /// `>>`
    Close,
    /// `if`, `index`, `true`
    Word(String),
    /// `.`, `.A.B`: the names after the dots
    Field(Vec<String>),
    /// `$`, `$x`, `$x.A`
    Variable(String, Vec<String>),
    /// `"..."` and `` `...` ``
    Text2(String),
    /// `12`
    Number(i64),
    /// `1.5`, `1e3`
    Float(f64),
    /// `|`, `(`, `)`, `,`, `:=`, `=`
    Sign(&'static str),
}

pub(crate) fn tokens(text: &str, delimiters: Delimiters) -> Result<Vec<Token>, TemplateError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    while at < text.len() {
        let open = text[at..]
            .find(delimiters.open)
            .map_or(text.len(), |found| at + found);
        let mut plain = &text[at..open];
        if trim_next {
            plain = plain.trim_start();
        }
        if open == text.len() {
            push_text(&mut tokens, at, plain);
            break;
        }
        let inside = open + delimiters.open.len();
        let trims =
            text[inside..].starts_with('-') && text[inside + 1..].starts_with(char::is_whitespace);
        push_text(
            &mut tokens,
            at,
            if trims { plain.trim_end() } else { plain },
        );
        let start = if trims { inside + 1 } else { inside };
        let (end, trim) = action(text, (start, open), delimiters.close, &mut tokens)?;
        (at, trim_next) = (end, trim);
    }
    Ok(tokens)
}

fn push_text(tokens: &mut Vec<Token>, at: usize, text: &str) {
    if !text.is_empty() {
        tokens.push(Token {
            at,
            kind: Kind::Text(text.to_owned()),
        });
    }
}

/// The tokens of one action; answers where it ends and whether the text after it is trimmed.
fn action(
    text: &str,
    (start, open): (usize, usize),
    close: &str,
    tokens: &mut Vec<Token>,
) -> Result<(usize, bool), TemplateError> {
    let comment = text[start..].trim_start();
    if let Some(body) = comment.strip_prefix("/*") {
        let body_at = text.len() - body.len();
        let refuse = || TemplateError::new(open, format!("a comment without */ and {close}"));
        let end = body_at + body.find("*/").ok_or_else(refuse)? + 2;
        let rest = text[end..].trim_start();
        let (trims, rest) = rest
            .strip_prefix('-')
            .map_or((false, rest), |rest| (true, rest));
        let rest = rest.strip_prefix(close).ok_or_else(refuse)?;
        return Ok((text.len() - rest.len(), trims));
    }
    tokens.push(Token {
        at: open,
        kind: Kind::Open,
    });
    let mut at = start;
    loop {
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            return Err(TemplateError::new(
                open,
                format!("an action without {close}"),
            ));
        };
        if rest.starts_with(close) {
            tokens.push(Token {
                at,
                kind: Kind::Close,
            });
            return Ok((at + close.len(), false));
        }
        if first.is_whitespace() {
            at += first.len_utf8();
            let end = text[at..].strip_prefix('-');
            let trims = end.is_some_and(|end| end.starts_with(close));
            if trims {
                tokens.push(Token {
                    at,
                    kind: Kind::Close,
                });
                return Ok((at + 1 + close.len(), true));
            }
            continue;
        }
        let (kind, length) = word(rest, first).map_err(|reason| TemplateError::new(at, reason))?;
        tokens.push(Token { at, kind });
        at += length;
    }
}

fn word(rest: &str, first: char) -> Result<(Kind, usize), String> {
    let name_length = |text: &str| {
        text.find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(text.len())
    };
    match first {
        '.' => {
            let (fields, length) = fields(rest);
            Ok((Kind::Field(fields), length.max(1)))
        }
        '$' => {
            let name = &rest[1..1 + name_length(&rest[1..])];
            let (fields, length) = fields(&rest[1 + name.len()..]);
            Ok((
                Kind::Variable(name.to_owned(), fields),
                1 + name.len() + length,
            ))
        }
        '"' => quoted(rest),
        '`' => {
            let end = rest[1..].find('`').ok_or("a ` without its other one")?;
            Ok((Kind::Text2(rest[1..1 + end].to_owned()), end + 2))
        }
        '|' | '(' | ')' | ',' | '=' => {
            let sign = ["|", "(", ")", ",", "="]
                .into_iter()
                .find(|sign| rest.starts_with(sign));
            Ok((Kind::Sign(sign.unwrap_or("|")), 1))
        }
        ':' if rest.starts_with(":=") => Ok((Kind::Sign(":="), 2)),
        _ if first.is_ascii_digit()
            || (first == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) =>
        {
            let end = number_length(rest);
            let text = &rest[..end];
            let kind = match text.parse() {
                Ok(number) => Kind::Number(number),
                Err(_) => Kind::Float(text.parse().map_err(|_| format!("{text:?} is no number"))?),
            };
            Ok((kind, end))
        }
        _ if first.is_alphabetic() || first == '_' => {
            let length = name_length(rest);
            Ok((Kind::Word(rest[..length].to_owned()), length))
        }
        _ => Err(format!("{first:?} has no meaning here")),
    }
}

/// A number's digits, with a sign, a fraction and an exponent.
fn number_length(text: &str) -> usize {
    let mut before = ' ';
    let end = text.char_indices().find(|(at, c)| {
        let sign = matches!(c, '-' | '+') && (*at == 0 || matches!(before, 'e' | 'E'));
        let part = c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || sign;
        before = *c;
        !part
    });
    end.map_or(text.len(), |(at, _)| at)
}

/// `.A.B` at the start of `text`, and its length; a lone dot has no fields.
fn fields(text: &str) -> (Vec<String>, usize) {
    let (mut fields, mut length) = (Vec::new(), 0);
    while let Some(rest) = text[length..].strip_prefix('.') {
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        fields.push(rest[..end].to_owned());
        length += 1 + end;
    }
    (fields, length)
}

fn quoted(rest: &str) -> Result<(Kind, usize), String> {
    let mut out = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Kind::Text2(out), at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, escaped @ ('"' | '\\'))) => out.push(escaped),
                Some((_, other)) => {
                    return Err(format!(
                        "\\{other} is not read in a text; use ` instead of \""
                    ));
                }
                None => break,
            },
            _ => out.push(c),
        }
    }
    Err("a \" without its other one".to_owned())
}
