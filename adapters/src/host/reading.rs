//! What a signal says now, and its elements.

use std::fmt;

use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;
use stillwell_engine::nearest::seen_instead;

use crate::objects::{Requirement, Selector};

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
    /// There are elements, and none of them is what was asked for.
    NoneFits(NoneFits),
    /// What was asked for is not there, and what is: no series shows it, and every target that could has answered.
    NotThere(String),
    /// This namespace may not read it.
    Forbidden,
}

/// The condition that leaves none of a signal's elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoneFits {
    /// How many elements there are.
    pub elements: usize,
    /// The label that the condition is about.
    pub label: String,
    /// The condition, as a selector.
    pub condition: String,
    /// What the label is instead, as the end of an error: `; seen: "a"`. Empty where no element has it.
    pub seen: String,
}

impl NoneFits {
    /// Keeps the elements that fit. Error: which condition leaves none of them.
    pub fn or_keep(selector: &Selector, elements: &mut Vec<Element>) -> Result<(), NoneFits> {
        let all = elements.len();
        for requirement in selector.requirements() {
            let fits = |element: &Element| requirement.matches(|label| element.labels.get(label));
            if !elements.iter().any(fits) {
                let values = elements
                    .iter()
                    .map(|one| one.labels.get(requirement.label()));
                return Err(NoneFits::of(all, requirement, values.flatten()));
            }
            elements.retain(fits);
        }
        Ok(())
    }

    /// That of `requirement`, where the label has these values in elements that fit otherwise.
    pub fn of<'v>(
        elements: usize,
        requirement: &Requirement,
        values: impl Iterator<Item = &'v str>,
    ) -> NoneFits {
        NoneFits {
            elements,
            label: requirement.label().to_owned(),
            condition: requirement.to_string(),
            seen: seen_instead(requirement.wanted(), values),
        }
    }
}

impl fmt::Display for NoneFits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoneFits {
            elements,
            condition,
            seen,
            ..
        } = self;
        write!(f, "none of its {elements} elements has {condition}{seen}")
    }
}

impl Reading {
    /// Only the elements that fit; `NoneFits` where none does.
    pub fn select(self, selector: &Selector) -> Reading {
        self.keep(|elements| NoneFits::or_keep(selector, elements))
    }

    /// Only the elements that `keep` leaves; `NoneFits` where it says so.
    pub fn keep(self, keep: impl FnOnce(&mut Vec<Element>) -> Result<(), NoneFits>) -> Reading {
        match self {
            Reading::Value(mut elements) => match keep(&mut elements) {
                Ok(()) => Reading::Value(elements),
                Err(none) => Reading::NoneFits(none),
            },
            Reading::Held {
                mut elements,
                age_ms,
                why,
            } => match keep(&mut elements) {
                Ok(()) => Reading::Held {
                    elements,
                    age_ms,
                    why,
                },
                Err(none) => Reading::NoneFits(none),
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
