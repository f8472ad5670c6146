//! The kinds of objects, and where the API server has them.

use serde_json::Value;

use crate::cluster::list_watch::Change;
use crate::config::MonitorKind;

/// Where an object is read: kinds that moved are read in each of their groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) kind: MonitorKind,
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) plural: &'static str,
    pub(super) namespaced: bool,
}

/// All of them.
#[rustfmt::skip]
pub(super) const PLACES: [Place; 8] = [
    Place { kind: MonitorKind::ServiceMonitor, group: "monitoring.coreos.com", version: "v1", plural: "servicemonitors", namespaced: true },
    Place { kind: MonitorKind::PodMonitor, group: "monitoring.coreos.com", version: "v1", plural: "podmonitors", namespaced: true },
    Place { kind: MonitorKind::ScrapeConfig, group: "monitoring.coreos.com", version: "v1alpha1", plural: "scrapeconfigs", namespaced: true },
    Place { kind: MonitorKind::PrometheusRule, group: "monitoring.coreos.com", version: "v1", plural: "prometheusrules", namespaced: true },
    Place { kind: MonitorKind::PodMonitoring, group: "monitoring.googleapis.com", version: "v1", plural: "podmonitorings", namespaced: true },
    Place { kind: MonitorKind::ClusterPodMonitoring, group: "monitoring.googleapis.com", version: "v1", plural: "clusterpodmonitorings", namespaced: false },
    Place { kind: MonitorKind::InferencePool, group: "inference.networking.k8s.io", version: "v1", plural: "inferencepools", namespaced: true },
    Place { kind: MonitorKind::InferencePool, group: "inference.networking.x-k8s.io", version: "v1alpha2", plural: "inferencepools", namespaced: true },
];

/// An object: its place in [`PLACES`], and `namespace/name`.
pub(in crate::discovery) type Id = (usize, String);

/// A change of what one watch sees.
pub(super) struct Seen {
    pub(super) place: usize,
    pub(super) namespace: String,
    pub(super) change: Change<Value>,
}
