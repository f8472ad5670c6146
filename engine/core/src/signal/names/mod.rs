//! The names of metric families from release to release, their labels, and what they measure, as a table: of gateways
//! (`gateways`) and of model servers (`engines`).
//!
//! A row is one family under all its names, newest first, with the labels that its series have in addition to those of the
//! target. Users add demand families and witnesses by configuration.

mod engines;
mod family;
mod gateways;
mod sources;
mod table;
mod table_metrics;

pub use family::{Class, Engine, Family, Measure, Name};
pub(crate) use sources::names_source;
pub use table::FAMILIES;
pub(crate) use table_metrics::{TableMetric, TableMetrics};

/// The metric with the start time of a process, in seconds since the epoch (Prometheus' client libraries).
/// Whether whoever scraped a source behind a page could read it.
pub(crate) const UP: &str = "up";
pub(crate) const START_TIME: &str = "process_start_time_seconds";

/// The metric that is 1 on the replica that holds a lease and 0 on the others (controller-runtime).
pub(crate) const LEADER: &str = "leader_election_master_status";

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
        let name = names.position(|one| one.family == name.family)?;
        let family = table::place(family.names.first()?.family)?.family;
        Some(NameIndex { family, name })
    }
}

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
        family_of(metric)
    }

    /// Whether this label of a metric names a pool: `name` does so only on families of the class `Pool`.
    pub(crate) fn is_pool_label(metric: &str, label: &str) -> bool {
        let is_of_pool = |(family, ..): (&Family, _, _)| family.class == Class::Pool;
        label == "inference_pool" || label == "name" && family_of(metric).is_some_and(is_of_pool)
    }

    /// Whether the table gives a metric this label: it is the process' own word then, whatever else it may mean.
    pub(crate) fn gives_label(metric: &str, label: &str) -> bool {
        family_of(metric).is_some_and(|(_, name, _)| name.may_have(label))
    }

    /// Every name of the families that measure this, users' own left out.
    pub fn measuring(measure: Measure) -> impl Iterator<Item = &'static str> {
        let families = FAMILIES.iter().filter(move |one| one.measure == measure);
        families.flat_map(|family| family.names.iter().map(|name| name.family))
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

    /// Every name of the families that measure demand.
    pub(crate) fn demand_families(&self) -> impl Iterator<Item = &str> {
        let families = FAMILIES.iter().filter(|family| family.demand);
        let known = families.flat_map(|family| family.names.iter().map(|name| name.family));
        known.chain(self.demand.iter().map(String::as_str))
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
                || class.is_some_and(|class| proves_absence(class, present))
        }
    }

    /// Whether a query of one metric reads another: the same, or an equivalent of it.
    pub(crate) fn reads(&self, queried: &str, metric: &str) -> bool {
        let mut equivalents = self.equivalents(queried).into_iter();
        queried == metric || equivalents.any(|(name, _)| name == metric)
    }

    /// Whether a metric's series are there whenever its value is known, so that no page proves that one of them is 0 (S4a). A
    /// user's witness says otherwise.
    pub(crate) fn is_never_absent(&self, metric: &str) -> bool {
        let has_witness = |class: Class| match class {
            Class::Engine(engine) => {
                engines::pack(engine).is_some_and(|pack| !pack.absence.is_empty())
            }
            Class::Pool => false,
            Class::FlowControl | Class::Request | Class::Inflight => true,
        };
        let is_users = self.witnesses.iter().any(|(family, _)| family == metric);
        let family = self.family(metric);
        !is_users
            && family.is_some_and(|(family, ..)| family.replicated || !has_witness(family.class))
    }

    fn is_users_witness(&self, metric: &str, present: &str) -> bool {
        let given = |(family, witness): &(String, String)| family == metric && witness == present;
        self.witnesses.iter().any(given)
    }

    /// Whether a gauge says how much waits, of gateways of any release.
    pub fn is_queue_gauge(metric: &str) -> bool {
        metric.ends_with("_queue_size") || metric.ends_with("_queue_bytes")
    }

    /// Whether a gauge counts requests or their bytes: a negative sample comes from a race in the process that counts
    /// (llm-d#1950) and means 0.
    pub fn is_amount(metric: &str) -> bool {
        let is_demand =
            |(family, _, suffix): (&Family, _, &str)| family.demand && suffix.is_empty();
        Self::is_queue_gauge(metric) || family_of(metric).is_some_and(is_demand)
    }
}

fn family_of(metric: &str) -> Option<(&'static Family, &'static Name, &'static str)> {
    SUFFIXES.iter().find_map(|suffix| {
        let place = table::place(metric.strip_suffix(suffix)?)?;
        let family = &FAMILIES[place.family];
        Some((family, &family.names[place.name], *suffix))
    })
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
        Class::Engine(engine) => {
            engines::pack(engine).is_some_and(|pack| pack.witnesses.contains(&present))
        }
    }
}

/// Whether this metric proves that families of a class that are not beside it have no series (S4a).
fn proves_absence(class: Class, present: &str) -> bool {
    match class {
        Class::Engine(engine) => {
            engines::pack(engine).is_some_and(|pack| pack.absence.contains(&present))
        }
        class => is_class_witness(class, present),
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
