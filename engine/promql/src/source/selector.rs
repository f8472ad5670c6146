//! Vector selectors: a name, matchers in braces, and the modifiers behind them.

use std::sync::Arc;

use crate::plan::{At, Duration, Edges, Selector};
use stillwell_model::labels::{METRIC_NAME, MatchOp, Matcher};

use super::cursor::Cursor;
use super::error::SourceError;
use super::lex::TokenKind;

/// Matchers of one selector. Each series that is looked at is looked at by all of them, and whoever looks holds the store: with
/// 1,500 of them scrapes waited for milliseconds. Nobody writes more than some twenty.
const MATCHERS_MAX: usize = 100;

/// Reads `name{matchers}`, `name` or `{matchers}` at the cursor, without modifiers.
pub(crate) fn selector(cursor: &mut Cursor<'_>) -> Result<Selector, SourceError> {
    let start = cursor.peek().span.start;
    let mut matchers = Vec::new();
    let mut name: Option<String> = None;
    if let Some(word) = cursor.word() {
        name = Some(word.to_owned());
        cursor.next();
    }
    if cursor.take(&TokenKind::LeftBrace) {
        braces(cursor, &mut matchers, &mut name)?;
    }
    let span = cursor.span_from(start);
    let other_name = matchers
        .iter()
        .find(|m| m.name() == METRIC_NAME && m.op() == MatchOp::Equal);
    if let (Some(name), Some(other)) = (&name, other_name) {
        let message = format!(
            "metric name must not be set twice: {name:?} or {:?}",
            other.value()
        );
        return Err(SourceError::new(span, message));
    }
    if let Some(name) = &name {
        matchers.push(Matcher::equal(METRIC_NAME, name));
    }
    Ok(Selector {
        named: name.is_some(),
        detect_resets: false,
        matchers,
        offset: Duration::ZERO,
        at: None,
        span,
        edges: Edges::Plain,
    })
}

/// A selector that fits everything is a typo; `info()` is the one place that may have it.
pub(crate) fn fits_everything(selector: &Selector) -> bool {
    selector.matchers.iter().all(|matcher| matcher.matches(""))
}

fn braces(
    cursor: &mut Cursor<'_>,
    matchers: &mut Vec<Matcher>,
    name: &mut Option<String>,
) -> Result<(), SourceError> {
    loop {
        if cursor.take(&TokenKind::RightBrace) {
            return Ok(());
        }
        let token = cursor.peek();
        if matchers.len() >= MATCHERS_MAX {
            let message = format!("more than {MATCHERS_MAX} matchers in one selector");
            return Err(SourceError::new(token.span, message));
        }
        let (label, quoted) = match &token.kind {
            TokenKind::Identifier => (cursor.word_of(token).to_owned(), false),
            TokenKind::String(text) => (text.clone(), true),
            _ => return Err(cursor.unexpected("in label matching, expected identifier or \"}\"")),
        };
        cursor.next();
        let op = match cursor.peek().kind {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::NotEqual => MatchOp::NotEqual,
            TokenKind::EqualRegex => MatchOp::Regex,
            TokenKind::NotEqualRegex => MatchOp::NotRegex,
            TokenKind::Comma | TokenKind::RightBrace if quoted => {
                if let Some(first) = name {
                    let message =
                        format!("metric name must not be set twice: {first:?} or {label:?}");
                    return Err(SourceError::new(token.span, message));
                }
                *name = Some(label);
                comma(cursor)?;
                continue;
            }
            _ if quoted => {
                return Err(cursor.unexpected("in label matching, expected \",\" or \"}\""));
            }
            _ => {
                return Err(
                    cursor.unexpected("in label matching, expected label matching operator")
                );
            }
        };
        cursor.next();
        let value = match &cursor.peek().kind {
            TokenKind::String(text) => text.clone(),
            _ => return Err(cursor.unexpected("in label matching, expected string")),
        };
        let matcher = Matcher::new(op, &label, &value)
            .map_err(|error| SourceError::new(token.span, error.error.to_string()))?;
        cursor.next();
        matchers.push(matcher);
        comma(cursor)?;
    }
}

/// Between two matchers; one may stand behind the last.
fn comma(cursor: &mut Cursor<'_>) -> Result<(), SourceError> {
    if cursor.take(&TokenKind::Comma) || cursor.is(&TokenKind::RightBrace) {
        return Ok(());
    }
    Err(cursor.unexpected("in label matching, expected \",\" or \"}\""))
}

/// `@ 123.4`, `@ -1`, `@ start()`; the cursor is behind the `@`.
pub(crate) fn at(cursor: &mut Cursor<'_>) -> Result<At, SourceError> {
    if let Some(word) = cursor.word() {
        let at = match word.to_ascii_lowercase().as_str() {
            "start" => At::Start,
            "end" => At::End,
            _ => return Err(cursor.unexpected("in @, expected timestamp")),
        };
        cursor.next();
        for bracket in [TokenKind::LeftParen, TokenKind::RightParen] {
            if !cursor.take(&bracket) {
                return Err(cursor.unexpected("in @, expected timestamp"));
            }
        }
        return Ok(at);
    }
    let negative = cursor.take(&TokenKind::Sub);
    if !negative {
        cursor.take(&TokenKind::Add);
    }
    let seconds = match cursor.peek().kind {
        TokenKind::Number(value) => value,
        TokenKind::Duration(ms) => ms as f64 / 1000.0,
        _ => return Err(cursor.unexpected("in @, expected timestamp")),
    };
    let seconds = if negative { -seconds } else { seconds };
    let ms = (seconds * 1000.0).round();
    // Infinite, NaN and 64-bit overflow are all out of range, also one past the largest value.
    if !(ms > i64::MIN as f64 && ms < i64::MAX as f64) {
        let message = format!("timestamp out of bounds for @ modifier: {seconds}");
        return Err(SourceError::new(cursor.peek().span, message));
    }
    cursor.next();
    Ok(At::Time(ms as i64))
}

/// `(a, "b", c,)`: the labels of `by`, `on`, `group_left` and the like.
pub(crate) fn grouping_labels(cursor: &mut Cursor<'_>) -> Result<Vec<Arc<str>>, SourceError> {
    cursor.expect(&TokenKind::LeftParen, "(", "grouping opts")?;
    let mut labels = Vec::new();
    loop {
        if cursor.take(&TokenKind::RightParen) {
            return Ok(labels);
        }
        let token = cursor.peek();
        match &token.kind {
            TokenKind::Identifier => {
                labels.push(Arc::from(cursor.word_of(token)));
            }
            TokenKind::String(text) if !text.is_empty() && !super::unquote::has_raw_byte(text) => {
                labels.push(Arc::from(text.as_str()));
            }
            TokenKind::Number(value) if !value.is_finite() => {
                labels.push(Arc::from(cursor.word_of(token)))
            }
            _ => return Err(cursor.unexpected("in grouping opts, expected label")),
        }
        cursor.next();
        if !cursor.take(&TokenKind::Comma) && !cursor.is(&TokenKind::RightParen) {
            return Err(cursor.unexpected("in grouping opts, expected \",\" or \")\""));
        }
    }
}
