//! A place in the tokens, with the few moves that every part of the scanner makes.

use crate::plan::{AggregateOp, Span};

use super::error::SourceError;
use super::lex::{Token, TokenKind};

pub(crate) struct Cursor<'a> {
    pub(crate) text: &'a str,
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// `tokens` ends with `End`, which the cursor never passes.
    pub(crate) fn new(text: &'a str, tokens: &'a [Token]) -> Cursor<'a> {
        Cursor {
            text,
            tokens,
            at: 0,
        }
    }

    pub(crate) fn peek(&self) -> &'a Token {
        self.ahead(0)
    }

    pub(crate) fn ahead(&self, by: usize) -> &'a Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + by).min(last)]
    }

    pub(crate) fn next(&mut self) -> &'a Token {
        let token = self.peek();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// Where the last token taken ended.
    pub(crate) fn end(&self) -> usize {
        self.at
            .checked_sub(1)
            .map_or(0, |at| self.tokens[at].span.end)
    }

    pub(crate) fn is(&self, kind: &TokenKind) -> bool {
        self.peek().kind == *kind
    }

    /// Takes the token if it is of this kind.
    pub(crate) fn take(&mut self, kind: &TokenKind) -> bool {
        let taken = self.is(kind);
        if taken {
            self.next();
        }
        taken
    }

    pub(crate) fn word_of(&self, token: &Token) -> &'a str {
        &self.text[token.span.start..token.span.end]
    }

    /// The identifier at the cursor.
    pub(crate) fn word(&self) -> Option<&'a str> {
        (self.peek().kind == TokenKind::Identifier).then(|| self.word_of(self.peek()))
    }

    /// Whether the identifier at the cursor is this keyword, in any case.
    pub(crate) fn is_keyword(&self, keyword: &str) -> bool {
        self.word()
            .is_some_and(|word| word.eq_ignore_ascii_case(keyword))
    }

    pub(crate) fn expect(
        &mut self,
        kind: &TokenKind,
        shown: &str,
        place: &str,
    ) -> Result<(), SourceError> {
        if self.take(kind) {
            return Ok(());
        }
        Err(self.unexpected(&format!("in {place}, expected {shown:?}")))
    }

    /// "unexpected <this token> <context>", as Prometheus describes tokens.
    pub(crate) fn unexpected(&self, context: &str) -> SourceError {
        let token = self.peek();
        let text = self.word_of(token);
        let in_braces = context.starts_with("in label matching");
        let shown = match &token.kind {
            TokenKind::End => "end of input".to_owned(),
            TokenKind::Identifier if in_braces => format!("identifier {text:?}"),
            TokenKind::Identifier => word(text),
            TokenKind::Number(_) => format!("number {}", shortened(text)),
            TokenKind::Duration(_) => format!("duration {}", shortened(text)),
            TokenKind::String(_) => format!("string {}", shortened(text)),
            kind if is_operator(kind) => format!("<op:{text}>"),
            _ => format!("{text:?}"),
        };
        let message = format!("unexpected {shown} {context}");
        SourceError::new(token.span, message.trim_end())
    }

    pub(crate) fn span_from(&self, start: usize) -> Span {
        Span {
            start,
            end: self.end(),
        }
    }
}

/// Words that are no names everywhere.
pub(crate) const KEYWORDS: [&str; 16] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "start",
    "end",
    "step",
    "range",
    "anchored",
    "smoothed",
    "fill_left",
    "fill_right",
];

fn word(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "and" | "or" | "unless" | "atan2" => format!("<op:{text}>"),
        "fill" => format!("<{text}>"),
        other if KEYWORDS.contains(&other) => format!("<{text}>"),
        other if AggregateOp::from_name(other).is_some() => format!("<aggr:{text}>"),
        other if other.contains(':') => format!("metric identifier {text:?}"),
        _ => format!("identifier {text:?}"),
    }
}

/// Texts of more than ten bytes are cut.
fn shortened(text: &str) -> String {
    match text.len() > 10 {
        true => format!("{:?}...", text.chars().take(10).collect::<String>()),
        false => format!("{text:?}"),
    }
}

fn is_operator(kind: &TokenKind) -> bool {
    use TokenKind as T;
    matches!(
        kind,
        T::EqualRegex
            | T::NotEqualRegex
            | T::Equal
            | T::NotEqual
            | T::Greater
            | T::Less
            | T::GreaterEqual
            | T::LessEqual
            | T::TrimUpper
            | T::TrimLower
            | T::Add
            | T::Sub
            | T::Mul
            | T::Div
            | T::Mod
            | T::Pow
            | T::At
    )
}
