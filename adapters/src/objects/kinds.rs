//! Kinds of Kubernetes objects: what a URL calls them, what rules and labels call them, and what their kind is called.
//!
//! The usual ones are built in, so that rules work without an API server. Where there is one, its own list is added
//! ([`Kinds::with`]): custom resources are known only to it.

use std::sync::Arc;

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    /// The version in which the API server prefers to show it.
    pub version: String,
    /// As in URLs, in the plural: `pods`.
    pub resource: String,
    /// As rules write it: `pod`.
    pub singular: String,
    /// As manifests write it: `Pod`.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

impl Kind {
    /// `apps/v1`, or `v1` in the core group.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// As in URLs of the custom metrics API: `deployments.apps`, or `pods` in the core group.
    pub fn path(&self) -> String {
        match self.group.as_str() {
            "" => self.resource.clone(),
            group => format!("{}.{group}", self.resource),
        }
    }

    /// The label by which the elements of a signal name objects of this kind.
    pub fn label(&self) -> &str {
        match self.singular.as_str() {
            "inferencepool" => "inference_pool",
            singular => singular,
        }
    }

    /// Whether it is the kind of namespaces themselves.
    pub fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.resource == NAMESPACES
    }

    /// Whether metrics of it are listed as those of namespaced objects. prometheus-adapter lists all others so
    /// (`pkg/custom-provider/series_registry.go`).
    pub fn is_listed_as_namespaced(&self) -> bool {
        let root_scoped = [NAMESPACES, "nodes", "persistentvolumes"];
        self.namespaced || !(self.group.is_empty() && root_scoped.contains(&&*self.resource))
    }

    fn is_named(&self, name: &str) -> bool {
        self.resource.eq_ignore_ascii_case(name) || self.singular.eq_ignore_ascii_case(name)
    }
}

const NAMESPACES: &str = "namespaces";

/// Kinds that can be looked up by name.
#[derive(Clone, Debug)]
pub struct Kinds {
    /// Where two have one name, the first is meant.
    all: Vec<Arc<Kind>>,
}

/// Group, version, resource, singular, kind.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// The usual kinds whose objects are in namespaces.
const NAMESPACED: &[Row] = &[
    ("", "v1", "pods", "pod", "Pod"),
    ("", "v1", "services", "service", "Service"),
    ("", "v1", "endpoints", "endpoints", "Endpoints"),
    ("", "v1", "configmaps", "configmap", "ConfigMap"),
    ("", "v1", "secrets", "secret", "Secret"),
    (
        "",
        "v1",
        "serviceaccounts",
        "serviceaccount",
        "ServiceAccount",
    ),
    (
        "",
        "v1",
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        "PersistentVolumeClaim",
    ),
    (
        "",
        "v1",
        "replicationcontrollers",
        "replicationcontroller",
        "ReplicationController",
    ),
    ("", "v1", "resourcequotas", "resourcequota", "ResourceQuota"),
    ("apps", "v1", "deployments", "deployment", "Deployment"),
    ("apps", "v1", "statefulsets", "statefulset", "StatefulSet"),
    ("apps", "v1", "daemonsets", "daemonset", "DaemonSet"),
    ("apps", "v1", "replicasets", "replicaset", "ReplicaSet"),
    ("batch", "v1", "jobs", "job", "Job"),
    ("batch", "v1", "cronjobs", "cronjob", "CronJob"),
    (
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "horizontalpodautoscaler",
        "HorizontalPodAutoscaler",
    ),
    (
        "policy",
        "v1",
        "poddisruptionbudgets",
        "poddisruptionbudget",
        "PodDisruptionBudget",
    ),
    (
        "discovery.k8s.io",
        "v1",
        "endpointslices",
        "endpointslice",
        "EndpointSlice",
    ),
    ("networking.k8s.io", "v1", "ingresses", "ingress", "Ingress"),
    (
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        "networkpolicy",
        "NetworkPolicy",
    ),
    (
        "gateway.networking.k8s.io",
        "v1",
        "gateways",
        "gateway",
        "Gateway",
    ),
    (
        "gateway.networking.k8s.io",
        "v1",
        "httproutes",
        "httproute",
        "HTTPRoute",
    ),
    (
        "gateway.networking.k8s.io",
        "v1",
        "grpcroutes",
        "grpcroute",
        "GRPCRoute",
    ),
    (
        "inference.networking.k8s.io",
        "v1",
        "inferencepools",
        "inferencepool",
        "InferencePool",
    ),
    (
        "inference.networking.x-k8s.io",
        "v1alpha2",
        "inferencepools",
        "inferencepool",
        "InferencePool",
    ),
    (
        "inference.networking.x-k8s.io",
        "v1alpha2",
        "inferenceobjectives",
        "inferenceobjective",
        "InferenceObjective",
    ),
    (
        "inference.networking.x-k8s.io",
        "v1alpha2",
        "inferencemodels",
        "inferencemodel",
        "InferenceModel",
    ),
    (
        "leaderworkerset.x-k8s.io",
        "v1",
        "leaderworkersets",
        "leaderworkerset",
        "LeaderWorkerSet",
    ),
    (
        "serving.kserve.io",
        "v1beta1",
        "inferenceservices",
        "inferenceservice",
        "InferenceService",
    ),
    (
        "keda.sh",
        "v1alpha1",
        "scaledobjects",
        "scaledobject",
        "ScaledObject",
    ),
];

/// The usual kinds whose objects are not.
const ROOT_SCOPED: &[Row] = &[
    ("", "v1", NAMESPACES, "namespace", "Namespace"),
    ("", "v1", "nodes", "node", "Node"),
    (
        "",
        "v1",
        "persistentvolumes",
        "persistentvolume",
        "PersistentVolume",
    ),
    (
        "storage.k8s.io",
        "v1",
        "storageclasses",
        "storageclass",
        "StorageClass",
    ),
    (
        "gateway.networking.k8s.io",
        "v1",
        "gatewayclasses",
        "gatewayclass",
        "GatewayClass",
    ),
];

impl Default for Kinds {
    fn default() -> Kinds {
        Kinds::usual()
    }
}

impl Kinds {
    /// The usual ones.
    pub fn usual() -> Kinds {
        let kinds = |rows: &'static [Row], namespaced: bool| {
            rows.iter()
                .map(move |(group, version, resource, singular, kind)| {
                    Arc::new(Kind {
                        group: (*group).to_owned(),
                        version: (*version).to_owned(),
                        resource: (*resource).to_owned(),
                        singular: (*singular).to_owned(),
                        kind: (*kind).to_owned(),
                        namespaced,
                    })
                })
        };
        Kinds {
            all: kinds(NAMESPACED, true)
                .chain(kinds(ROOT_SCOPED, false))
                .collect(),
        }
    }

    /// With what an API server says there is: its word about a kind replaces the built-in one.
    #[must_use]
    pub fn with(mut self, found: impl IntoIterator<Item = Kind>) -> Kinds {
        for kind in found {
            let same =
                |have: &&mut Arc<Kind>| have.group == kind.group && have.resource == kind.resource;
            match self.all.iter_mut().find(same) {
                Some(have) => *have = Arc::new(kind),
                None => self.all.push(Arc::new(kind)),
            }
        }
        self
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.all.iter()
    }

    /// The kind that a rule names by its plural or singular, in any case. An empty group stands for any, the core group
    /// first, as in an API server's mapping.
    pub fn named(&self, name: &str, group: &str) -> Option<&Arc<Kind>> {
        let fits = |kind: &&Arc<Kind>| kind.is_named(name) && kind.group == group;
        let anywhere = || {
            let of_any_group = |kind: &&Arc<Kind>| group.is_empty() && kind.is_named(name);
            self.all.iter().find(of_any_group)
        };
        self.all.iter().find(fits).or_else(anywhere)
    }

    /// The kind of a URL's `resource.group`.
    pub fn of_path(&self, path: &str) -> Option<&Arc<Kind>> {
        let (resource, group) = path.split_once('.').unwrap_or((path, ""));
        self.named(resource, group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_every_name_that_people_use() {
        let kinds = Kinds::usual().with([Kind {
            group: "cheese.io".to_owned(),
            version: "v2".to_owned(),
            resource: "brands".to_owned(),
            singular: "brand".to_owned(),
            kind: "Brand".to_owned(),
            namespaced: true,
        }]);
        for (name, group, api_version, kind) in [
            ("pod", "", "v1", "Pod"),
            ("pods", "", "v1", "Pod"),
            ("Namespace", "", "v1", "Namespace"),
            ("deployment", "", "apps/v1", "Deployment"),
            ("deployments", "apps", "apps/v1", "Deployment"),
            ("brand", "cheese.io", "cheese.io/v2", "Brand"),
            (
                "inferencepool",
                "",
                "inference.networking.k8s.io/v1",
                "InferencePool",
            ),
        ] {
            let found = kinds.named(name, group).expect(name);
            assert_eq!((&*found.api_version(), &*found.kind), (api_version, kind));
            let path = found.path();
            assert_eq!(
                kinds.of_path(&path).map(|kind| &kind.kind),
                Some(&found.kind),
                "{path}"
            );
        }
        assert_eq!(kinds.named("pod", "apps"), None);
        assert_eq!(kinds.of_path("brands.wine.io"), None);
        let pool = kinds.of_path("inferencepools.inference.networking.x-k8s.io");
        let pool = pool.expect("a usual kind");
        assert_eq!(
            (&*pool.version, pool.label()),
            ("v1alpha2", "inference_pool")
        );
    }

    #[test]
    fn no_kind_stands_in_the_table_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in Kinds::usual().iter() {
            assert!(seen.insert(kind.path()), "{}", kind.path());
        }
    }
}
