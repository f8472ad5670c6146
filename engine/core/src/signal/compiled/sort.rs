//! The order of a result that `sort` or `sort_desc` asks for.

use crate::promql::incremental::by_value;

use super::vector::Vector;

/// Memory for sorting one vector.
#[derive(Default)]
pub(super) struct Sorted {
    /// Value, place in the input, element.
    places: Vec<(f64, u32, u32)>,
}

impl Sorted {
    /// For a vector of at most so many elements.
    pub(super) fn bind(elements: usize) -> Sorted {
        Sorted {
            places: Vec::with_capacity(elements),
        }
    }

    pub(super) fn run(&mut self, descending: bool, input: &Vector, out: &mut Vector) {
        let elements = input.iter().enumerate();
        self.places.clear();
        self.places
            .extend(elements.map(|(place, (at, value))| (value, place as u32, at)));
        self.places
            .sort_unstable_by(|a, b| by_value(a.0, b.0, descending).then(a.1.cmp(&b.1)));
        for &(value, _, at) in &self.places {
            out.push(at, value);
        }
    }
}
