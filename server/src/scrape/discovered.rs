//! What discovery says of targets: groups of them, and each target's labels before relabelling.

use std::sync::Arc;

use stillwell_engine::labels::{Labels, LabelsBuilder};

use crate::config::units::show_duration_ms;
use crate::config::{ScrapeJob, StaticGroup};

/// What discovery in Kubernetes calls a target that is not ready to serve, by role (Prometheus, discovery/kubernetes).
const READINESS: [&str; 3] = [
    "__meta_kubernetes_pod_ready",
    "__meta_kubernetes_endpoint_ready",
    "__meta_kubernetes_endpointslice_endpoint_conditions_ready",
];

/// Targets that were found together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Labels of each target, `__address__` among them.
    pub targets: Vec<Labels>,
    /// Labels of all of them.
    pub labels: Labels,
    /// Labels that other objects give to all of them, and that win over those: they are shared by thousands of groups, such as
    /// those of a namespace, and a copy for each of its pods was gigabytes.
    pub attached: Vec<Labels>,
}

impl TargetGroup {
    /// All labels of a target: its own win over those that are attached, and both over the group's.
    pub fn labels_of(&self, at: usize) -> LabelsBuilder {
        let mut labels = self.labels.to_builder();
        for given in self.attached.iter().chain([&self.targets[at]]) {
            for (name, value) in given.iter() {
                labels.set(name, value);
            }
        }
        labels
    }

    /// Bytes of labels that the group holds for itself.
    pub fn bytes(&self) -> usize {
        self.targets.iter().map(Labels::bytes).sum::<usize>() + self.labels.bytes()
    }
}

impl From<&StaticGroup> for TargetGroup {
    fn from(fixed: &StaticGroup) -> TargetGroup {
        TargetGroup {
            targets: fixed.targets.iter().map(|at| address_labels(at)).collect(),
            labels: fixed.labels.clone(),
            attached: Vec::new(),
        }
    }
}

/// The labels of a target of which nothing is known but where it is.
pub fn address_labels(address: &str) -> Labels {
    let mut labels = LabelsBuilder::default();
    labels.set("__address__", address);
    labels.build()
}

/// What is known of a target before relabelling, by where it was found. Its labels are put together for whoever looks at them: a
/// cluster has 100,000 pods of which a job scrapes a few, and those of all were a kilobyte each; and a pod may have thousands of
/// ports and a quarter of a megabyte of annotations.
#[derive(Clone, Debug)]
pub struct Discovered {
    pub(super) options: Arc<ScrapeJob>,
    pub(super) group: Arc<TargetGroup>,
    pub(super) at: usize,
}

impl Discovered {
    /// Of a target that nobody looks for: it has these labels.
    pub fn given(options: &Arc<ScrapeJob>, labels: &Labels) -> Discovered {
        let group = TargetGroup {
            targets: vec![labels.clone()],
            ..TargetGroup::default()
        };
        Discovered {
            options: Arc::clone(options),
            group: Arc::new(group),
            at: 0,
        }
    }

    /// Its labels: those of its own win over its group's, and both over the job's.
    pub fn labels(&self) -> Labels {
        self.builder().build()
    }

    /// Whether discovery says that it is not ready to serve.
    pub fn is_not_ready(&self) -> bool {
        let is_false = |label: &&str| self.get(label) == Some("false");
        READINESS.iter().any(is_false)
    }

    fn get(&self, label: &str) -> Option<&str> {
        let attached = self.group.attached.iter().rev();
        let all = [&self.group.targets[self.at]]
            .into_iter()
            .chain(attached)
            .chain([&self.group.labels]);
        all.into_iter().find_map(|labels| labels.get(label))
    }

    pub(super) fn builder(&self) -> LabelsBuilder {
        let job = &*self.options;
        let mut labels = self.group.labels_of(self.at);
        let mut default = |name: &str, value: &str| {
            if labels.get(name).is_empty() {
                labels.set(name, value);
            }
        };
        default("job", &job.name);
        default("__scrape_interval__", &show_duration_ms(job.interval_ms));
        default("__scrape_timeout__", &show_duration_ms(job.timeout_ms));
        default("__metrics_path__", &job.path);
        default("__scheme__", &job.scheme);
        for (name, values) in &job.params {
            if let Some(first) = values.first() {
                default(&format!("__param_{name}"), first);
            }
        }
        labels
    }
}

/// Equal where their labels are.
impl PartialEq for Discovered {
    fn eq(&self, other: &Discovered) -> bool {
        let is_same = Arc::ptr_eq(&self.group, &other.group) && self.at == other.at;
        (is_same && Arc::ptr_eq(&self.options, &other.options)) || self.labels() == other.labels()
    }
}
