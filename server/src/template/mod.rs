//! Go's `text/template`, read into a tree: fields, functions, `if`, `range`, `with`, variables, pipelines, trimmed space.
//! What fills one in differs by who uses it: rules of prometheus-adapter, annotations of alerts.

pub(crate) mod lex;
pub(crate) mod parse;

use std::fmt;

/// What is around an action.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delimiters {
    pub(crate) open: &'static str,
    pub(crate) close: &'static str,
}

/// Reads a template.
pub(crate) fn read(text: &str, delimiters: Delimiters) -> Result<Vec<parse::Node>, TemplateError> {
    parse::nodes(&lex::tokens(text, delimiters)?)
}

/// What is wrong with a template, or with what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Byte offset in the template.
    pub at: usize,
    /// What is wrong there.
    pub reason: String,
}

impl TemplateError {
    pub(crate) fn new(at: usize, reason: impl Into<String>) -> TemplateError {
        TemplateError {
            at,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template, byte {}: {}", self.at, self.reason)
    }
}

impl std::error::Error for TemplateError {}
