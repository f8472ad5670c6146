//! Go's `text/template`, as far as prometheus-adapter's rules use it: fields, `index` and the comparing functions, `if`,
//! `range`, `with`, variables, pipelines, trimmed space. Between `<<` and `>>`.
//!
//! What a template may do is bounded: it loops over what it is given, and its output has a limit.

mod render;

use std::collections::BTreeMap;

use crate::template::parse::{self, Node};
use crate::template::{Delimiters, read};

pub use crate::template::TemplateError;

/// What is around an action.
const DELIMITERS: Delimiters = Delimiters {
    open: "<<",
    close: ">>",
};

/// A template that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    nodes: Vec<Node>,
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
        let nodes = read(text, DELIMITERS)?;
        render::refuse_named(&nodes)?;
        Ok(Template { nodes })
    }

    /// Whether it reads this field (`LabelMatchers`) in any of its branches.
    pub fn reads(&self, field: &str) -> bool {
        parse::read_field(&self.nodes, field)
    }

    /// Fills it in.
    pub fn render(&self, arguments: &Arguments) -> Result<String, TemplateError> {
        render::render(&self.nodes, arguments)
    }
}

#[cfg(test)]
mod tests;
