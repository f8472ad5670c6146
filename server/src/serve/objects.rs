//! What the wire carries of a signal, and what of that is about one object that a label names.
//!
//! A total over several objects must not pass for the number of one. An element is about an object where its own label
//! says so, or where every selector of the query pins that label, so that nothing else can be in it.

use stillwell_adapters::host::{Element, NoneFits, Reading};
use stillwell_adapters::objects::Requirement;
use stillwell_engine::labels::Labels;
use stillwell_engine::signal::State;

/// Whether a query can only be about this object, though its result has no such label.
pub(super) fn is_pinned(pinned: &[(String, String)], (label, name): (&str, &str)) -> bool {
    pinned
        .iter()
        .any(|(key, value)| key == label && value == name)
}

/// Only the elements that are about the object; `NoneFits` where none is.
pub(super) fn about(
    reading: Reading,
    pinned: &[(String, String)],
    (label, name): (&str, &str),
    (namespace_label, namespace): (&str, &str),
) -> Reading {
    let of = |element: &Element, label: &str| -> Option<String> {
        let constant = || {
            let (_, value) = pinned.iter().find(|(key, _)| key == label)?;
            Some(value.clone())
        };
        element
            .labels
            .get(label)
            .map(str::to_owned)
            .or_else(constant)
    };
    let keep = |elements: &mut Vec<Element>, label: &str, wanted: &str, unlabelled_fits: bool| {
        let fits = |element: &Element| match of(element, label) {
            Some(value) => value == wanted,
            None => unlabelled_fits,
        };
        let all = elements.len();
        if !elements.iter().any(fits) {
            let values: Vec<String> = elements.iter().filter_map(|one| of(one, label)).collect();
            let wanted = Requirement::Equal(label.to_owned(), wanted.to_owned());
            let values = values.iter().map(String::as_str);
            return Err(NoneFits::of(all, &wanted, values));
        }
        elements.retain(fits);
        Ok(())
    };
    reading.keep(|elements| {
        keep(elements, label, name, false)?;
        match namespace {
            "" => Ok(()),
            namespace => keep(elements, namespace_label, namespace, true),
        }
    })
}

/// What the wire carries of a reading (S9a, S9b), with the labels that the configuration adds.
pub(super) fn told(reading: stillwell_engine::signal::Reading, labels: &Labels) -> Reading {
    let element = |element: stillwell_engine::signal::Element| {
        let mut builder = element.labels.to_builder();
        for (label, value) in labels.iter() {
            builder.set(label, value);
        }
        Element {
            labels: builder.build(),
            value: element.value,
            at: element.time,
        }
    };
    let elements = reading.elements.into_iter().map(element).collect();
    match reading.state {
        State::Value => Reading::Value(elements),
        State::Held { age_ms, why } => Reading::Held {
            elements,
            age_ms,
            why,
        },
        // A number that was not measured, but one that the user wants told.
        State::Configured { why } => Reading::Held {
            elements,
            age_ms: 0,
            why,
        },
        State::Unknown { why } => Reading::Unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::{Timestamp, labels};

    use super::*;

    #[test]
    fn a_number_is_told_only_of_the_object_that_it_is_about() {
        let element = |labels| Element {
            labels,
            value: 7.0,
            at: Timestamp::from_ms(0),
        };
        let pin = |label: &str, value: &str| vec![(label.to_owned(), value.to_owned())];
        let pool = ("inference_pool", "p");
        for (labels, pinned, fits) in [
            (labels! { "inference_pool" => "p" }, vec![], true),
            (labels! { "inference_pool" => "q" }, vec![], false),
            (labels! {}, vec![], false),
            (labels! {}, pin("inference_pool", "p"), true),
            (labels! {}, pin("inference_pool", "q"), false),
            (
                labels! { "inference_pool" => "p", "namespace" => "a" },
                vec![],
                true,
            ),
            (
                labels! { "inference_pool" => "p", "namespace" => "b" },
                vec![],
                false,
            ),
            (
                labels! { "inference_pool" => "p" },
                pin("namespace", "b"),
                false,
            ),
        ] {
            let told = Reading::Value(vec![element(labels.clone())]);
            let found = about(told.clone(), &pinned, pool, ("namespace", "a"));
            assert_eq!(found == told, fits, "{labels} {pinned:?}: {found:?}");
            assert!(fits || matches!(found, Reading::NoneFits(_)), "{found:?}");
        }
        let unknown = Reading::Unknown("down".to_owned());
        assert_eq!(
            about(unknown.clone(), &[], pool, ("namespace", "a")),
            unknown
        );
    }
}
