//! What the metrics APIs and their host say about objects of Kubernetes: their kinds, and the selectors of their labels.

mod kinds;
mod selector;

pub use kinds::{Kind, Kinds};
pub use selector::{Requirement, Selector, SelectorError};
