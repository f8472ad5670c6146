//! The API server of the cluster that this process serves: what is asked of it, and how it is reached.
//!
//! Everything has a deadline; the answer to a caller has one too, and what cannot be asked is refused, not guessed.

mod api_service;
mod authentication;
mod bounded;
mod budget;
mod connect;
mod kinds;
mod list_page;
pub(crate) mod list_watch;
mod object_names;
mod objects;
mod review;
mod scalers;

#[cfg(feature = "fuzzing")]
pub(crate) use api_service::read_api_service;
pub use api_service::{Owner, ServiceName, api_service_name};
pub(crate) use api_service::{WriteCa, Written};
pub use authentication::AUTHENTICATION_CONFIG;
pub(crate) use authentication::follow;
pub(crate) use bounded::bounded;
pub use connect::Cluster;
pub(crate) use objects::ClusterObjects;
pub(crate) use review::{Attributes, User, Verdict};

/// An error of the client in words, without the doubling that its own text has.
pub(crate) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        kube::Error::Service(error) => chain(&**error),
        other => chain(other),
    }
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        next = error.source();
    }
    text
}
