//! From text to the shape of a query.
//!
//! ```text
//!  text --lex--> tokens --scan--> atoms --skeleton--> text of stand-ins --promql-parser--> tree
//!                                   '--------------------- lower ----------------------------'--> plan
//! ```
//!
//! promql-parser is the parser of the language: it decides what binds what, and checks arity and types. It knows no
//! positions, aborts or stalls on hostile text, and reads some literals otherwise than Prometheus
//! (byte escapes, raw strings, RE2, big durations); it has no duration arithmetic, no trim operators, no `anchored`
//! or `smoothed`. All of these are about literals, selectors and modifiers, which bind tighter than any operator and
//! need no grammar. So our lexer and a flat scanner read those completely, and the crate sees
//! stand-ins: `rate(m[1s]) / m`. What it cannot express is never passed to it, so nothing has to be removed from its
//! tree.
//!
//! Budget: text of any bytes up to the limit is refused or accepted in time linear in its length, below 100 ms;
//! depth is capped before anything recurses.

mod atom;
mod cursor;
mod duration;
mod error;
mod lex;
mod metricsql;
mod number;
mod scan;
mod selector;
mod skeleton;
mod types;
mod unquote;

use promql_parser::parser::Expr as Tree;

use crate::Features;
use crate::plan::{Selector, Span};
use selector::fits_everything;

pub(crate) use atom::{Atom, AtomKind, Grouping};
pub(crate) use error::{SourceError, line_and_column};
pub(crate) use number::{parse_duration, parse_number};
pub(crate) use unquote::{is_valid_label_name, quote_bytes};

/// The atoms of a query and the tree that says how they belong together.
pub(crate) fn read(text: &str, features: &Features) -> Result<(Vec<Atom>, Tree), SourceError> {
    let (tokens, unread) = lex::lex_some(text);
    let mut cursor = cursor::Cursor::new(text, &tokens);
    let scanned = scan::scan(&mut cursor, features);
    // What is wrong first is told: a text that cannot be read on is where the tokens end.
    let scanned = match (scanned, unread) {
        (Ok(_), Some(unread)) => Err((unread, None)),
        (
            Err(scan::Failed {
                is_at_end: true, ..
            }),
            Some(unread),
        ) => Err((unread, None)),
        (Err(failed), _) => Err((failed.error, failed.call)),
        (Ok(atoms), None) => Ok(atoms),
    };
    let atoms = scanned.map_err(|(error, call)| metricsql::explained(text, error, call))?;
    types::check(&atoms)?;
    let tree = promql_parser::parser::parse(&skeleton::skeleton(&atoms)).map_err(|message| {
        let span = Span {
            start: 0,
            end: text.len(),
        };
        SourceError::new(span, message.replace('\'', "\""))
    })?;
    Ok((atoms, tree))
}

/// A bare vector selector and nothing else.
pub(crate) fn read_selector(text: &str) -> Result<Selector, SourceError> {
    let selector = read_labels(text)?;
    if fits_everything(&selector) {
        let message = "vector selector must contain at least one non-empty matcher";
        return Err(SourceError::new(selector.span, message));
    }
    Ok(selector)
}

/// Like `read_selector`, but it may fit everything: a series as test scripts write it.
pub(crate) fn read_labels(text: &str) -> Result<Selector, SourceError> {
    let tokens = lex::lex(text)?;
    let mut cursor = cursor::Cursor::new(text, &tokens);
    if !cursor.is(&lex::TokenKind::LeftBrace) && cursor.word().is_none() {
        return Err(cursor.unexpected(""));
    }
    let selector = selector::selector(&mut cursor)?;
    if !cursor.is(&lex::TokenKind::End) {
        return Err(cursor.unexpected(""));
    }
    Ok(selector)
}

/// One string literal and nothing else.
pub(crate) fn read_string(text: &str) -> Result<String, SourceError> {
    let tokens = lex::lex(text)?;
    match tokens.as_slice() {
        [
            lex::Token {
                kind: lex::TokenKind::String(value),
                ..
            },
            _,
        ] => Ok(value.clone()),
        _ => Err(SourceError::new(
            Span {
                start: 0,
                end: text.len(),
            },
            "a string was expected",
        )),
    }
}
