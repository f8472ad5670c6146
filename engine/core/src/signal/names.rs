//! The names of EPP's metric families from release to release, their labels, and what they measure, as a table.
//!
//! Sources: gateway-api-inference-extension v0.3 to v1.5 and llm-d-router v0.9 to the v0.11 line, each release's
//! `pkg/epp/metrics`. A row is one family under all its names, newest first, with the labels that its series have in
//! addition to those of the target. Users add rows, demand families and witnesses by configuration.

/// What a family describes. It decides which metrics are witnesses of the family (S4a).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The queue in front of the pool.
    FlowControl,
    /// Requests by model.
    Request,
    /// Requests that endpoints are processing: only gateways that run the inflight producer expose it.
    Inflight,
    /// The pool as a whole, as every replica sees it.
    Pool,
}

/// One name of a family, and the labels that its series have in addition to those of their target. The three lists are
/// disjoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The family's name.
    pub family: &'static str,
    /// Labels that every release gives it.
    pub labels: &'static [&'static str],
    /// Labels that older releases lack. Every release that exposes a witness of the class (S4a) has them.
    pub late: &'static [&'static str],
    /// Labels that some releases have and others lack, where no witness distinguishes them.
    pub sometimes: &'static [&'static str],
}

impl Name {
    /// Whether some release gives the family this label.
    pub fn may_have(&self, label: &str) -> bool {
        self.all_labels().any(|have| have == label)
    }

    /// Every label that some release gives the family.
    pub fn all_labels(&self) -> impl Iterator<Item = &'static str> {
        let all = [self.labels, self.late, self.sometimes];
        all.into_iter().flatten().copied()
    }

    /// Whether two names have the same labels according to the table.
    pub(crate) fn has_labels_of(&self, other: &Name) -> bool {
        self.all_labels().count() == other.all_labels().count()
            && self.all_labels().all(|label| other.may_have(label))
    }

    /// Whether releases of the llm-d router have the name; otherwise older ones do.
    fn is_of_router(&self) -> bool {
        self.family.starts_with(ROUTER_PREFIX)
    }
}

/// The metric with the start time of a process, in seconds since the epoch (Prometheus' client libraries).
pub(crate) const START_TIME: &str = "process_start_time_seconds";

/// The metric that is 1 on the replica that holds a lease and 0 on the others (controller-runtime).
pub(crate) const LEADER: &str = "leader_election_master_status";

/// Prefix of every name that the llm-d router introduced.
const ROUTER_PREFIX: &str = "llm_d_epp_";

/// The place of one name in the table: its family in [`FAMILIES`], and the name among the names of the family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameIndex {
    pub(crate) family: usize,
    pub(crate) name: usize,
}

impl NameIndex {
    /// The place of a name that [`Names::family`] found.
    pub(crate) fn of(family: &'static Family, name: &Name) -> Option<NameIndex> {
        let mut names = family.names.iter();
        Some(NameIndex {
            family: FAMILIES.iter().position(|one| std::ptr::eq(one, family))?,
            name: names.position(|one| one.family == name.family)?,
        })
    }
}

/// A family under all its names.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// What it is about.
    pub class: Class,
    /// Whether it measures demand: a sum of it is how much is asked for now (`signal/RULES.md` S7).
    pub demand: bool,
    /// A gauge of the pool that every replica repeats, so that a sum counts each replica. It is there whenever its value
    /// is known, so its absence never means 0.
    pub replicated: bool,
    /// Newest first.
    pub names: &'static [Name],
}

const QUEUE: &[&str] = &["fairness_id", "priority"];
/// Given to the queue's families by GIE v1.3.0, before any witness of flow control came to be.
const QUEUE_LATE: &[&str] = &["inference_pool", "model_name", "target_model_name"];
const FLOW: &[&str] = &[
    "fairness_id",
    "inference_pool",
    "model_name",
    "priority",
    "target_model_name",
];
const FLOW_OUTCOME: &[&str] = &[
    "fairness_id",
    "inference_pool",
    "model_name",
    "outcome",
    "priority",
    "target_model_name",
];
const INFLIGHT: &[&str] = &[
    "endpoint_name",
    "fairness_id",
    "namespace",
    "priority",
    "producer_name",
];
const L4: &[&str] = &["fairness_id", "model_name", "priority", "target_model_name"];
const MODELS: &[&str] = &["model_name", "target_model_name"];
const MODEL: &[&str] = &["model_name"];
const POOL: &[&str] = &["name"];
const INFERENCE_POOL: &[&str] = &["inference_pool"];

const fn name(family: &'static str, labels: &'static [&'static str]) -> Name {
    Name {
        family,
        labels,
        late: &[],
        sometimes: &[],
    }
}

const fn late(mut name: Name, labels: &'static [&'static str]) -> Name {
    name.late = labels;
    name
}

const fn sometimes(mut name: Name, labels: &'static [&'static str]) -> Name {
    name.sometimes = labels;
    name
}

const fn demand(class: Class, names: &'static [Name]) -> Family {
    Family {
        class,
        demand: true,
        replicated: false,
        names,
    }
}

const fn counted(class: Class, names: &'static [Name]) -> Family {
    Family {
        class,
        demand: false,
        replicated: false,
        names,
    }
}

const fn repeated(class: Class, names: &'static [Name]) -> Family {
    Family {
        class,
        demand: false,
        replicated: true,
        names,
    }
}

/// Every family that has had several names, and those whose meaning matters.
pub static FAMILIES: &[Family] = &[
    demand(
        Class::FlowControl,
        &[
            name("llm_d_epp_flow_control_queue_size", FLOW),
            late(
                name("inference_extension_flow_control_queue_size", QUEUE),
                QUEUE_LATE,
            ),
        ],
    ),
    demand(
        Class::FlowControl,
        &[
            name("llm_d_epp_flow_control_queue_bytes", FLOW),
            name("inference_extension_flow_control_queue_bytes", FLOW),
        ],
    ),
    demand(
        Class::Request,
        &[
            name("llm_d_epp_request_running", L4),
            name("inference_objective_running_requests", MODEL),
            name("inference_model_running_requests", MODEL),
        ],
    ),
    demand(
        Class::Inflight,
        &[name("llm_d_epp_inflight_requests", INFLIGHT)],
    ),
    demand(
        Class::Inflight,
        &[name("llm_d_epp_inflight_tokens", INFLIGHT)],
    ),
    repeated(
        Class::FlowControl,
        &[
            sometimes(
                name("llm_d_epp_flow_control_pool_saturation", INFERENCE_POOL),
                &["stage"],
            ),
            sometimes(
                name(
                    "inference_extension_flow_control_pool_saturation",
                    INFERENCE_POOL,
                ),
                &["stage"],
            ),
        ],
    ),
    counted(
        Class::FlowControl,
        &[
            name(
                "llm_d_epp_flow_control_request_queue_duration_seconds",
                FLOW_OUTCOME,
            ),
            late(
                name(
                    "inference_extension_flow_control_request_queue_duration_seconds",
                    &["fairness_id", "outcome", "priority"],
                ),
                QUEUE_LATE,
            ),
        ],
    ),
    counted(
        Class::FlowControl,
        &[
            name(
                "llm_d_epp_flow_control_request_enqueue_duration_seconds",
                &["fairness_id", "outcome", "priority"],
            ),
            sometimes(
                name(
                    "inference_extension_flow_control_request_enqueue_duration_seconds",
                    &["outcome", "priority"],
                ),
                &["fairness_id"],
            ),
        ],
    ),
    counted(
        Class::FlowControl,
        &[
            name(
                "llm_d_epp_flow_control_dispatch_cycle_duration_seconds",
                &[],
            ),
            name(
                "inference_extension_flow_control_dispatch_cycle_duration_seconds",
                &[],
            ),
        ],
    ),
    repeated(
        Class::Pool,
        &[
            name("llm_d_epp_average_queue_size", POOL),
            name("inference_pool_average_queue_size", POOL),
        ],
    ),
    repeated(
        Class::Pool,
        &[
            name("llm_d_epp_average_running_requests", POOL),
            name("inference_pool_average_running_requests", POOL),
        ],
    ),
    repeated(
        Class::Pool,
        &[
            name("llm_d_epp_average_kv_cache_utilization", POOL),
            name("inference_pool_average_kv_cache_utilization", POOL),
        ],
    ),
    repeated(
        Class::Pool,
        &[
            name("llm_d_epp_ready_endpoints", POOL),
            name("inference_pool_ready_pods", POOL),
        ],
    ),
    repeated(
        Class::Pool,
        &[
            name(
                "llm_d_epp_per_endpoint_queue_size",
                &["model_server_endpoint", "name"],
            ),
            name(
                "inference_pool_per_pod_queue_size",
                &["model_server_pod", "name"],
            ),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_total", L4),
            sometimes(
                name("inference_objective_request_total", MODELS),
                &["priority"],
            ),
            name("inference_model_request_total", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name(
                "llm_d_epp_request_error_total",
                &[
                    "error_code",
                    "fairness_id",
                    "model_name",
                    "priority",
                    "target_model_name",
                ],
            ),
            name(
                "inference_objective_request_error_total",
                &["error_code", "model_name", "target_model_name"],
            ),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_duration_seconds", L4),
            name("inference_objective_request_duration_seconds", MODELS),
            name("inference_model_request_duration_seconds", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_size_bytes", L4),
            name("inference_objective_request_sizes", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_response_size_bytes", L4),
            name("inference_objective_response_sizes", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_input_tokens", L4),
            name("inference_objective_input_tokens", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_output_tokens", L4),
            name("inference_objective_output_tokens", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_cached_tokens", L4),
            name("inference_objective_prompt_cached_tokens", MODELS),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_request_ntpot_seconds", L4),
            name(
                "inference_objective_normalized_time_per_output_token_seconds",
                MODELS,
            ),
        ],
    ),
    counted(
        Class::Request,
        &[
            name("llm_d_epp_scheduler_e2e_duration_seconds", &[]),
            name("inference_extension_scheduler_e2e_duration_seconds", &[]),
        ],
    ),
];

/// Labels that a client's request decides; they never put a target out of scope (S3b), and `or vector(c)` waives
/// their proof (S4).
pub(crate) const REQUEST_LABELS: &[&str] =
    &["fairness_id", "model_name", "priority", "target_model_name"];

/// The gauges in which gateways expose their build.
pub(crate) const INFO: [&str; 2] = ["llm_d_epp_info", "inference_extension_info"];

/// Labels that name the pool which a gateway serves: constant for a process (S3b).
pub(crate) const POOL_LABELS: &[&str] = &["inference_pool", "name"];

/// Parts of a histogram or summary.
const SUFFIXES: [&str; 4] = ["", "_bucket", "_sum", "_count"];

/// The table of names, with what a user configures in addition.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Further families that measure demand.
    pub demand: Vec<String>,
    /// Further witnesses: `(family, witness)`, each a metric whose presence proves that the gateway would expose the
    /// family.
    pub witnesses: Vec<(String, String)>,
}

impl Names {
    /// The family of a metric, its name in the table, and the suffix (`_bucket`, ...); `None` if it is in no row.
    pub fn family(&self, metric: &str) -> Option<(&'static Family, &'static Name, &'static str)> {
        SUFFIXES.iter().find_map(|suffix| {
            let base = metric.strip_suffix(suffix)?;
            FAMILIES.iter().find_map(|family| {
                let name = family.names.iter().find(|name| name.family == base)?;
                Some((family, name, *suffix))
            })
        })
    }

    /// The other names of a metric, newest first.
    pub fn equivalents(&self, metric: &str) -> Vec<(String, &'static Name)> {
        let Some((family, _, suffix)) = self.family(metric) else {
            return Vec::new();
        };
        let others = family
            .names
            .iter()
            .map(|name| (format!("{}{suffix}", name.family), name));
        others.filter(|(other, _)| other != metric).collect()
    }

    /// Whether a metric measures demand.
    pub fn is_demand(&self, metric: &str) -> bool {
        self.demand.iter().any(|family| family == metric)
            || self
                .family(metric)
                .is_some_and(|(family, _, suffix)| family.demand && suffix.is_empty())
    }

    /// Yields whether a page with the given metric is that of a gateway which may expose `metric` (S3a).
    pub fn witnesses<'n>(&'n self, metric: &'n str) -> impl Fn(&str) -> bool + 'n {
        let class = self.family(metric).map(|(family, _, _)| family.class);
        move |present| {
            self.is_users_witness(metric, present)
                || class.is_some_and(|class| is_class_witness(class, present))
        }
    }

    /// Yields whether a page with the given metric and without `metric` proves that `metric` has no series (S4a). Gauges of
    /// the pool are exposed whenever their value is known, so nothing proves that they are 0.
    pub fn absence_witnesses<'n>(&'n self, metric: &'n str) -> impl Fn(&str) -> bool + 'n {
        let class = self
            .family(metric)
            .filter(|(family, _, _)| !family.replicated)
            .map(|(family, _, _)| family.class);
        move |present| {
            self.is_users_witness(metric, present)
                || class.is_some_and(|class| is_class_witness(class, present))
        }
    }

    fn is_users_witness(&self, metric: &str, present: &str) -> bool {
        let given = |(family, witness): &(String, String)| family == metric && witness == present;
        self.witnesses.iter().any(given)
    }

    /// Whether negative samples of this gauge come from the known race in the gateway and mean 0.
    pub fn is_queue_gauge(metric: &str) -> bool {
        metric.ends_with("_queue_size") || metric.ends_with("_queue_bytes")
    }
}

/// Whether this metric is a witness of a class: a page with it would have the families of the class if they had series.
pub(crate) fn is_class_witness(class: Class, present: &str) -> bool {
    match class {
        Class::FlowControl => {
            present.ends_with("flow_control_pool_saturation")
                || present.ends_with("flow_control_dispatch_cycle_duration_seconds_count")
        }
        Class::Inflight => {
            present == "llm_d_epp_inflight_requests" || present == "llm_d_epp_inflight_tokens"
        }
        Class::Request | Class::Pool => {
            INFO.contains(&present)
                || present == "llm_d_epp_ready_endpoints"
                || present.starts_with("inference_pool_")
        }
    }
}

/// The release lines whose names a gateway uses, by the gauges in which it exposes its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lines {
    router: bool,
    legacy: bool,
}

impl Lines {
    fn of(shows: impl Fn(&str) -> bool) -> Lines {
        Lines {
            router: shows(INFO[0]),
            legacy: shows(INFO[1]),
        }
    }
}

/// The release of a gateway, as far as its page tells: by its build info, otherwise by the names that it uses. `None` if
/// the page is no gateway's. `shows` says whether the page has a metric.
pub(crate) fn release(build_ref: &str, shows: impl Fn(&str) -> bool) -> Option<String> {
    let Lines { router, legacy } = Lines::of(shows);
    let line = match (router, legacy) {
        (false, false) => return None,
        (false, true) => "GIE",
        (true, _) => "router",
    };
    Some(match (build_ref, router, legacy) {
        ("", true, true) => "router v0.9 or v0.10".to_owned(),
        ("", true, false) => "router v0.11 or later".to_owned(),
        ("", ..) => line.to_owned(),
        (build_ref, ..) => format!("{line} {build_ref}"),
    })
}

/// The name under which a gateway would expose a family that it has not exposed yet (S8): the requested one, if it belongs
/// to a release line whose names the gateway uses, otherwise the newest that does.
pub(crate) fn expected_name(
    family: &'static Family,
    requested: &'static Name,
    shows: impl Fn(&str) -> bool,
) -> &'static Name {
    let lines = Lines::of(shows);
    let is_used = |name: &Name| {
        if name.is_of_router() {
            lines.router
        } else {
            lines.legacy
        }
    };
    let newest = || family.names.iter().find(|name| is_used(name));
    if is_used(requested) {
        requested
    } else {
        newest().unwrap_or(requested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_in_two_rows_and_no_label_twice_in_a_name() {
        let mut seen = std::collections::BTreeSet::new();
        for name in FAMILIES.iter().flat_map(|family| family.names) {
            assert!(seen.insert(name.family), "{}", name.family);
            let mut labels: Vec<&str> = name.all_labels().collect();
            labels.sort_unstable();
            labels.dedup();
            assert_eq!(labels.len(), name.all_labels().count(), "{}", name.family);
        }
    }

    #[test]
    fn parts_of_a_histogram_follow_their_family() {
        let names = Names::default();
        let others: Vec<String> = names
            .equivalents("inference_objective_request_sizes_bucket")
            .into_iter()
            .map(|(n, _)| n)
            .collect();
        assert_eq!(others, ["llm_d_epp_request_size_bytes_bucket"]);
        assert!(names.is_demand("inference_objective_running_requests"));
        assert!(!names.is_demand("llm_d_epp_request_total"));
    }

    #[test]
    fn witnesses_are_those_of_the_class() {
        let names = Names::default();
        let queue = "inference_extension_flow_control_queue_size";
        assert!(names.witnesses(queue)(
            "llm_d_epp_flow_control_pool_saturation"
        ));
        assert!(!names.witnesses(queue)("inference_pool_ready_pods"));
        assert!(names.witnesses("llm_d_epp_request_running")(
            "inference_pool_ready_pods"
        ));
        assert!(!names.witnesses("vllm:num_requests_running")(
            "inference_pool_ready_pods"
        ));
    }
}
