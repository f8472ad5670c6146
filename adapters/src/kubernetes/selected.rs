//! Selectors of requests: how they are read, and what is said where one leaves nothing.

use super::status::Status;
use crate::form::Form;
use crate::host::NoneFits;
use crate::objects::Selector;

/// A selector that a client sent.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    parameter: &'static str,
    /// As the client wrote it, for errors.
    text: String,
    pub(super) selector: Selector,
}

impl Selected {
    /// Of the labels of a metric's series, by this parameter.
    pub(super) fn of_metric(form: &Form, parameter: &'static str) -> Result<Selected, Status> {
        Selected::read(form, parameter, Selector::parse_of_metric)
    }

    /// Of the labels of objects.
    pub(super) fn of_objects(form: &Form) -> Result<Selected, Status> {
        Selected::read(form, "labelSelector", Selector::parse)
    }

    fn read<E: std::fmt::Display>(
        form: &Form,
        parameter: &'static str,
        parse: impl FnOnce(&str) -> Result<Selector, E>,
    ) -> Result<Selected, Status> {
        let text = form.get(parameter);
        let selector =
            parse(text).map_err(|error| Status::bad_request(format!("{parameter}: {error}")))?;
        Ok(Selected {
            parameter,
            text: text.to_owned(),
            selector,
        })
    }

    /// Whether it selects everything.
    pub(super) fn is_everything(&self) -> bool {
        self.selector.requirements().is_empty()
    }

    /// The parameter as it stands in errors: `labelSelector "a=b"`.
    pub(super) fn name(&self) -> String {
        format!("{} {:?}", self.parameter, self.text)
    }

    /// The same in parentheses behind what it selects of; nothing where it selects everything.
    pub(super) fn beside(&self) -> String {
        match self.is_everything() {
            true => String::new(),
            false => format!(" ({})", self.name()),
        }
    }

    /// Why none of the elements was selected.
    pub(super) fn excludes(&self, none: &NoneFits) -> String {
        let NoneFits {
            elements,
            condition,
            seen,
            ..
        } = none;
        let which = match self.selector.requirements() {
            [_] => String::new(),
            _ => format!(": none has {condition}"),
        };
        format!(
            "none of its {elements} elements fits {}{which}{seen}",
            self.name()
        )
    }
}
