//! What a signal says now, and its elements.

use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;

use crate::objects::Selector;

/// What a signal says now.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Numbers measured now, one per group.
    Value(Vec<Element>),
    /// Numbers that may still be told, though some target is not fresh.
    Held {
        /// One per group.
        elements: Vec<Element>,
        /// How old the oldest part is.
        age_ms: i64,
        /// Who is not fresh.
        why: String,
    },
    /// No number, and why.
    Unknown(String),
    /// There are so many elements, and the selector fits none.
    NoneFits(usize),
    /// This namespace may not read it.
    Forbidden,
}

impl Reading {
    /// Only the elements that fit; `NoneFits` where none does.
    pub fn select(self, selector: &Selector) -> Reading {
        self.retain(|element| selector.matches(&element.labels))
    }

    /// Only the elements for which `fits` holds; `NoneFits` where it does for none.
    pub fn retain(self, fits: impl Fn(&Element) -> bool) -> Reading {
        let keep = |mut elements: Vec<Element>| {
            let all = elements.len();
            elements.retain(&fits);
            if elements.is_empty() {
                Err(Reading::NoneFits(all))
            } else {
                Ok(elements)
            }
        };
        match self {
            Reading::Value(elements) => keep(elements).map_or_else(|none| none, Reading::Value),
            Reading::Held {
                elements,
                age_ms,
                why,
            } => match keep(elements) {
                Ok(elements) => Reading::Held {
                    elements,
                    age_ms,
                    why,
                },
                Err(none) => none,
            },
            other => other,
        }
    }
}

/// One number of a signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// The group's labels.
    pub labels: Labels,
    /// The number; the API checks that it can be told.
    pub value: f64,
    /// When it was measured.
    pub at: Timestamp,
}
