//! The guide walked step by step on a real Kubernetes control plane: what `bin/guide` consists of.
//!
//! ```text
//!  certificates --> control_plane (etcd, kube-apiserver, kube-controller-manager) <--- kubelet (marks pods ready by hand)
//!                        ^                                                             gateway (pages, asks for a token)
//!                        '--- stillwell (the process behind the shipped manifests)
//!  walk, hpa_types, discovery, events, resources, outage, readme, and keda, picker, prometheus with real programs: the steps --> table
//! ```
//!
//! It all runs in a network namespace of its own, so that the ports of the shipped manifests are free and a pod's address is
//! one that the API server takes. No kubelet runs: pods are what the controllers make of Deployments, and their status is
//! written by a thread.

#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it measures time, and waits for other programs"
)]

pub mod certificates;
pub mod control_plane;
pub mod discovery;
pub mod events;
pub mod first_signal;
pub mod gateway;
pub mod hpa_types;
pub mod http;
pub mod keda;
pub mod kubelet;
pub mod outage;
pub mod picker;
pub mod prometheus;
pub mod readme;
pub mod resources;
pub mod stillwell;
pub mod table;
pub mod walk;

/// Why a step could not be walked, or that it showed something else.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
