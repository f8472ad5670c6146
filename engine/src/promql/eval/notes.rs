//! Annotations as they gather: each text once, in order of appearance.

use crate::promql::Annotations;
use crate::promql::plan::Span;
use crate::promql::source::line_and_column;

/// More distinct texts than this are dropped; Prometheus shows 10 by default.
const KEPT_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Notes {
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Notes {
    pub(crate) fn warn(&mut self, text: &str, span: Span, message: &str) {
        add(
            &mut self.warnings,
            format!(
                "PromQL warning: {message} ({})",
                line_and_column(text, span.start)
            ),
        );
    }

    pub(crate) fn info(&mut self, text: &str, span: Span, message: &str) {
        add(
            &mut self.infos,
            format!(
                "PromQL info: {message} ({})",
                line_and_column(text, span.start)
            ),
        );
    }

    pub(crate) fn into_annotations(self) -> Annotations {
        Annotations {
            warnings: self.warnings,
            infos: self.infos,
        }
    }
}

fn add(list: &mut Vec<String>, text: String) {
    if list.len() < KEPT_MAX && !list.contains(&text) {
        list.push(text);
    }
}
