//! Labels as configurations give them: a mapping of names to values.

use stillwell_engine::labels::{Labels, LabelsBuilder};

use crate::yaml::{Entry, Report};

/// A mapping of label names to values.
pub(crate) fn labels(entry: &Entry, report: &mut Report) -> Labels {
    let mut builder = LabelsBuilder::default();
    for label in report.entries(&entry.value, &entry.key) {
        let value = report.text(&label.value, &label.key).unwrap_or("");
        if label.key.is_empty() {
            report.error(label.line, "a label needs a name");
        } else {
            builder.set(&label.key, value);
        }
    }
    builder.build()
}
