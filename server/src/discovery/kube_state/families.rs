//! The kinds of objects and the families of kube-state-metrics about them, and the page that they make.
//!
//! Names and labels are those of kube-state-metrics 2.x (docs/metrics/workload); LeaderWorkerSets, of which it knows
//! nothing, are told of in the same way. A number that the API server leaves out is 0, as in Kubernetes' own types, but
//! for `spec.replicas`, which is 1.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use stillwell_engine::labels::{Labels, LabelsBuilder, METRIC_NAME, Matcher};

use super::selection::Selection;
use crate::cluster::list_watch::Kept;

/// A kind of objects.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    /// The label that names the object.
    pub(super) label: &'static str,
    /// What it tells of each object.
    pub(super) families: &'static [Family],
}

/// One family: its name, what it measures, and where an object has it.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    help: &'static str,
    /// A JSON pointer; empty for the readiness of a pod.
    at: &'static str,
    default: i64,
}

/// Told of each watch.
const OBJECTS: &str = "stillwell_kube_state_objects";

const fn family(name: &'static str, help: &'static str, at: &'static str, default: i64) -> Family {
    Family {
        name,
        help,
        at,
        default,
    }
}

#[rustfmt::skip]
const DEPLOYMENT: [Family; 6] = [
    family("kube_deployment_spec_replicas", "Desired pods of a deployment.", "/spec/replicas", 1),
    family("kube_deployment_status_replicas", "Pods of a deployment.", "/status/replicas", 0),
    family("kube_deployment_status_replicas_ready", "Ready pods of a deployment.", "/status/readyReplicas", 0),
    family("kube_deployment_status_replicas_available", "Available pods of a deployment.", "/status/availableReplicas", 0),
    family("kube_deployment_status_replicas_unavailable", "Pods that a deployment still lacks to be available.", "/status/unavailableReplicas", 0),
    family("kube_deployment_status_replicas_updated", "Pods of a deployment's newest template.", "/status/updatedReplicas", 0),
];

#[rustfmt::skip]
const STATEFUL_SET: [Family; 6] = [
    family("kube_statefulset_replicas", "Desired pods of a StatefulSet.", "/spec/replicas", 1),
    family("kube_statefulset_status_replicas", "Pods of a StatefulSet.", "/status/replicas", 0),
    family("kube_statefulset_status_replicas_ready", "Ready pods of a StatefulSet.", "/status/readyReplicas", 0),
    family("kube_statefulset_status_replicas_available", "Available pods of a StatefulSet.", "/status/availableReplicas", 0),
    family("kube_statefulset_status_replicas_current", "Pods of a StatefulSet's current revision.", "/status/currentReplicas", 0),
    family("kube_statefulset_status_replicas_updated", "Pods of a StatefulSet's newest revision.", "/status/updatedReplicas", 0),
];

#[rustfmt::skip]
const REPLICA_SET: [Family; 4] = [
    family("kube_replicaset_spec_replicas", "Desired pods of a ReplicaSet.", "/spec/replicas", 1),
    family("kube_replicaset_status_replicas", "Pods of a ReplicaSet.", "/status/replicas", 0),
    family("kube_replicaset_status_ready_replicas", "Ready pods of a ReplicaSet.", "/status/readyReplicas", 0),
    family("kube_replicaset_status_fully_labeled_replicas", "Fully labelled pods of a ReplicaSet.", "/status/fullyLabeledReplicas", 0),
];

#[rustfmt::skip]
const LEADER_WORKER_SET: [Family; 4] = [
    family("kube_leaderworkerset_spec_replicas", "Desired groups of a LeaderWorkerSet.", "/spec/replicas", 1),
    family("kube_leaderworkerset_status_replicas", "Groups of a LeaderWorkerSet.", "/status/replicas", 0),
    family("kube_leaderworkerset_status_replicas_ready", "Ready groups of a LeaderWorkerSet.", "/status/readyReplicas", 0),
    family("kube_leaderworkerset_status_replicas_updated", "Groups of a LeaderWorkerSet's newest template.", "/status/updatedReplicas", 0),
];

const POD: [Family; 1] = [family(
    "kube_pod_status_ready",
    "Whether a pod is ready to serve requests.",
    "",
    0,
)];

/// All kinds.
#[rustfmt::skip]
pub(super) static KINDS: [Kind; 5] = [
    Kind { group: "apps", version: "v1", kind: "Deployment", plural: "deployments", label: "deployment", families: &DEPLOYMENT },
    Kind { group: "apps", version: "v1", kind: "StatefulSet", plural: "statefulsets", label: "statefulset", families: &STATEFUL_SET },
    Kind { group: "apps", version: "v1", kind: "ReplicaSet", plural: "replicasets", label: "replicaset", families: &REPLICA_SET },
    Kind { group: "leaderworkerset.x-k8s.io", version: "v1", kind: "LeaderWorkerSet", plural: "leaderworkersets", label: "leaderworkerset", families: &LEADER_WORKER_SET },
    Kind { group: "", version: "v1", kind: "Pod", plural: "pods", label: "pod", families: &POD },
];

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Facts {
    /// The numbers of a workload, in the order of its kind's families.
    Numbers(Box<[i64]>),
    /// Of a pod: its UID and the status of its condition `Ready`, where it has one.
    Pod { uid: String, ready: Option<String> },
}

impl Kept for Facts {
    fn bytes(&self) -> usize {
        let text = match self {
            Facts::Numbers(numbers) => size_of_val(&**numbers),
            Facts::Pod { uid, ready } => uid.len() + ready.as_ref().map_or(0, String::len),
        };
        size_of::<Facts>() + text
    }
}

impl Facts {
    /// Reads an object. `data` is all but its metadata.
    pub(super) fn of(kind: &Kind, uid: Option<&str>, data: &Value) -> Facts {
        if kind.label == "pod" {
            let conditions = data["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten();
            let mut ready = conditions.filter(|one| one["type"] == "Ready");
            let ready = ready.next().and_then(|one| one["status"].as_str());
            return Facts::Pod {
                uid: uid.unwrap_or("").to_owned(),
                ready: ready.map(str::to_owned),
            };
        }
        let number = |family: &Family| {
            let found = data.pointer(family.at).and_then(Value::as_i64);
            found.unwrap_or(family.default)
        };
        Facts::Numbers(kind.families.iter().map(number).collect())
    }
}

/// The page about those objects of a kind that are selected; `objects` by `namespace/name`, of a namespace or of all.
pub(super) fn page(
    kind: &Kind,
    namespace: &str,
    objects: &BTreeMap<String, Facts>,
    selection: &Selection,
) -> Vec<u8> {
    let selectors = &selection.selectors;
    let mut out = String::new();
    // It is there without an object, too: of an empty page nothing is known (S4).
    let (plural, count) = (kind.plural, objects.len());
    let of = match namespace {
        "" => String::new(),
        name => format!(",namespace=\"{name}\""),
    };
    write!(
        out,
        "# HELP {OBJECTS} Objects of a kind that are watched, selected or not.\n# TYPE {OBJECTS} gauge\n\
         {OBJECTS}{{resource=\"{plural}\"{of}}} {count}\n"
    )
    .ok();
    for (index, family) in kind.families.iter().enumerate() {
        let name = family.name;
        // Writing to a String cannot fail.
        write!(out, "# HELP {name} {}\n# TYPE {name} gauge\n", family.help).ok();
        for (key, facts) in objects {
            let Some((namespace, object)) = key.split_once('/') else {
                continue; // these kinds are namespaced
            };
            if selection.but.contains(namespace) {
                continue;
            }
            let labels = labels(kind, name, namespace, object);
            match facts {
                Facts::Numbers(numbers) => {
                    if selected(&labels, selectors) {
                        let (label, value) = (kind.label, numbers[index]);
                        writeln!(
                            out,
                            "{name}{{namespace=\"{namespace}\",{label}=\"{object}\"}} {value}"
                        )
                        .ok();
                    }
                }
                Facts::Pod {
                    uid,
                    ready: Some(ready),
                } => {
                    for condition in ["true", "false", "unknown"] {
                        let mut labels = labels.to_builder();
                        labels.set("uid", uid);
                        labels.set("condition", condition);
                        if selected(&labels.build(), selectors) {
                            let value = u8::from(ready.eq_ignore_ascii_case(condition));
                            writeln!(
                                out,
                                "{name}{{namespace=\"{namespace}\",pod=\"{object}\",uid=\"{uid}\",condition=\"{condition}\"}} {value}"
                            )
                            .ok();
                        }
                    }
                }
                Facts::Pod { .. } => {} // nobody knows yet
            }
        }
    }
    out.into_bytes()
}

/// Names of objects are DNS names: nothing in them needs an escape.
fn labels(kind: &Kind, metric: &str, namespace: &str, object: &str) -> Labels {
    let mut labels = LabelsBuilder::default();
    labels.set(METRIC_NAME, metric);
    labels.set("namespace", namespace);
    labels.set(kind.label, object);
    labels.build()
}

/// Whether one of the selectors may mean this series. Labels that the target adds, and others that objects do not have,
/// decide nothing here.
fn selected(labels: &Labels, selectors: &[Vec<Matcher>]) -> bool {
    let fits = |one: &Matcher| {
        labels
            .get(one.name())
            .is_none_or(|value| one.matches(value))
    };
    selectors.iter().any(|matchers| matchers.iter().all(fits))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stillwell_engine::promql::{Features, Query};

    use super::*;

    fn selectors(query: &str) -> Selection {
        let query = Query::parse(query, &Features::default()).expect("PromQL");
        Selection {
            selectors: query.selectors().map(|one| one.matchers.to_vec()).collect(),
            but: Default::default(),
        }
    }

    #[test]
    fn a_page_tells_what_selectors_name_with_the_defaults_of_kubernetes() {
        let kind = &KINDS[0];
        let of = |data: Value| Facts::of(kind, None, &data);
        let objects = BTreeMap::from([
            (
                "a/idle".to_owned(),
                of(json!({"spec": {"replicas": 0}, "status": {}})),
            ),
            ("a/new".to_owned(), of(json!({"spec": {}}))),
            (
                "b/busy".to_owned(),
                of(
                    json!({"spec": {"replicas": 3}, "status": {"replicas": 3, "readyReplicas": 2, "unavailableReplicas": 1}}),
                ),
            ),
        ]);
        #[rustfmt::skip]
        let cases = [
            ("kube_deployment_spec_replicas", "a/idle 0;a/new 1;b/busy 3"),
            ("max(kube_deployment_spec_replicas{namespace=\"b\",job=\"any\"})", "b/busy 3"),
            ("kube_deployment_status_replicas_ready{deployment=~\"new|busy\"}", "a/new 0;b/busy 2"),
            ("kube_deployment_status_replicas_unavailable{deployment=\"busy\"}", "b/busy 1"),
            ("kube_deployment_spec_replicas{deployment=\"other\"}", ""),
        ];
        for (query, want) in cases {
            let page = page(kind, "", &objects, &selectors(query));
            let text = String::from_utf8(page).expect("text");
            let lines = text.lines().filter(|line| line.starts_with("kube_"));
            let lines: Vec<String> = lines
                .map(|line| {
                    let parts: Vec<&str> = line.split('"').collect();
                    format!("{}/{}{}", parts[1], parts[3], &parts[4][1..])
                })
                .collect();
            assert_eq!(lines.join(";"), want, "{query}");
        }
    }

    #[test]
    fn a_pod_is_ready_or_not_or_nobody_knows() {
        let kind = &KINDS[4];
        let of = |status: Value| Facts::of(kind, Some("u-1"), &json!({"status": status}));
        let objects = BTreeMap::from([
            ("a/new".to_owned(), of(json!({}))),
            (
                "a/up".to_owned(),
                of(
                    json!({"conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]}),
                ),
            ),
        ]);
        let page = page(
            kind,
            "a",
            &objects,
            &selectors("kube_pod_status_ready{condition=~\"true|false\"}"),
        );
        let text = String::from_utf8(page).expect("text");
        assert!(text.contains(
            "kube_pod_status_ready{namespace=\"a\",pod=\"up\",uid=\"u-1\",condition=\"true\"} 1\n"
        ));
        assert!(text.contains("condition=\"false\"} 0\n") && !text.contains("unknown"));
        assert!(!text.contains("pod=\"new\""));
        assert!(text.contains("objects{resource=\"pods\",namespace=\"a\"} 2\n"));
    }
}
