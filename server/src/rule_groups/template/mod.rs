//! Templates of labels and annotations: `{{ $labels.pod }} waits {{ $value | humanizeDuration }}`.
//!
//! What a template may do is bounded: each of its values and its output have a size, all that the templates of a rule do
//! together has one (`budget`), and its queries are evaluated like the rule's own.

mod budget;
mod check;
mod functions;
mod run;
mod value;

use stillwell_engine::labels::Labels;

use crate::template::Delimiters;

pub(super) use budget::Budget;
pub(super) use check::check;
pub(super) use run::expand;

/// What a template is given.
pub(super) struct Data<'a> {
    /// Of the element.
    pub(super) labels: &'a Labels,
    /// Of the element.
    pub(super) value: f64,
    /// Of this server.
    pub(super) external_labels: &'a Labels,
    /// Of this server.
    pub(super) external_url: &'a str,
    /// Seconds since the epoch.
    pub(super) now_s: f64,
    /// Evaluates a query at the time of the rule.
    pub(super) query: &'a Evaluate<'a>,
    /// Of all templates of the rule.
    pub(super) budget: &'a Budget<'a>,
}

/// Evaluates a query: the elements of its vector, or why it has none.
pub(super) type Evaluate<'a> = dyn Fn(&str) -> Result<Vec<(Labels, f64)>, String> + 'a;

const DELIMITERS: Delimiters = Delimiters {
    open: "{{",
    close: "}}",
};
/// An annotation, or a text within one, longer than this is none.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests;
