//! Go's `text/template`, as far as prometheus-adapter's rules use it: fields, `index` and the comparing functions, `if`,
//! `range`, `with`, variables, pipelines, trimmed space. Between `<<` and `>>`.
//!
//! What a template may do is bounded: it loops over what it is given, and its output has a limit.

mod lex;
mod parse;
mod render;

use std::collections::BTreeMap;
use std::fmt;

/// A template that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

/// What a template is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Texts by name: `.Series`, `.LabelMatchers`, `.GroupBy`.
    pub texts: BTreeMap<&'static str, String>,
    /// Maps by name: `.LabelValuesByName`.
    pub maps: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// Lists by name: `.GroupBySlice`.
    pub lists: BTreeMap<&'static str, Vec<String>>,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let tokens = lex::tokens(text)?;
        Ok(Template {
            nodes: parse::nodes(&tokens)?,
        })
    }

    /// Fills it in.
    pub fn render(&self, arguments: &Arguments) -> Result<String, TemplateError> {
        render::render(&self.nodes, arguments)
    }
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
    fn new(at: usize, reason: impl Into<String>) -> TemplateError {
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

#[cfg(test)]
mod tests;
