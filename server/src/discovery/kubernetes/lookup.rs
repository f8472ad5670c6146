//! What the group of one object needs of others.

use k8s_openapi::api::core::v1::Service;
use stillwell_engine::labels::Labels;

use super::pod::PodFacts;

/// Where the group of an object finds the others that it needs.
pub(super) trait Lookup {
    /// By `namespace/name`.
    fn pod(&self, key: &str) -> Option<&PodFacts>;
    /// By `namespace/name`.
    fn service(&self, key: &str) -> Option<&Service>;
    /// Labels of a node, where they are attached.
    fn node(&self, name: &str) -> Option<&Labels>;
    /// Labels of a namespace, where they are attached.
    fn namespace(&self, name: &str) -> Option<&Labels>;
}
