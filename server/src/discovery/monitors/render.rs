//! From an object to its jobs, read as those of the configuration file are.

use serde_json::Value;
use stillwell_engine::promql::Features;

use super::job::{Job, Object};
use super::places::PLACES;
use super::section::Section;
use super::{
    inference_pool, pod_monitor, pod_monitoring, prometheus_rule, scrape_config, service_monitor,
};
use crate::config::{Discovery, Global, MonitorKind, Monitors, ScrapeJob, job_from_json};

/// Rules that rewrite targets and series of a job, with the twenty or so that each kind of object has.
const RELABEL_RULES_MAX: usize = 200;

/// The jobs of an object. Error: why there are none.
pub(super) fn jobs_of(kind: MonitorKind, object: &Object<'_>) -> Result<Vec<Job>, String> {
    match kind {
        MonitorKind::ServiceMonitor => service_monitor::jobs(object),
        MonitorKind::PodMonitor => pod_monitor::jobs(object),
        MonitorKind::ScrapeConfig => scrape_config::jobs(object),
        MonitorKind::PodMonitoring | MonitorKind::ClusterPodMonitoring => {
            pod_monitoring::jobs(object)
        }
        MonitorKind::InferencePool => inference_pool::jobs(object),
        MonitorKind::PrometheusRule => Ok(Vec::new()), // rules alone
    }
}

/// Reads a finished job, which asks the same API server as the objects came from.
pub(super) fn read(job: &Job, section: &Section) -> Result<ScrapeJob, String> {
    let text = serde_json::to_string(&job.keys).map_err(|error| error.to_string())?;
    let mut read = job_from_json(&text, &section.global)?;
    let rules = read.relabel.len() + read.metric_relabel.len();
    if rules > RELABEL_RULES_MAX {
        return Err(format!(
            "it has {rules} relabelling rules, those of its kind included; at most {RELABEL_RULES_MAX} are taken: each is tried on \
             each new series of a page"
        ));
    }
    let cluster = &section.options.cluster;
    for way in &mut read.discovery {
        if let Discovery::Kubernetes(kubernetes) = way {
            kubernetes.api_server.clone_from(&cluster.api_server);
            kubernetes
                .kubeconfig_file
                .clone_from(&cluster.kubeconfig_file);
            kubernetes.http.clone_from(&cluster.http);
        }
    }
    Ok(read)
}

/// Renders a `spec` of any kind of object as far as that goes without a cluster, and answers how many jobs and rules it
/// gives: for a fuzz target.
pub fn read_spec(spec: &Value) -> usize {
    let Some(options) = pools_and_monitors() else {
        return 0; // it is a configuration that parses
    };
    let object = Object {
        namespace: "n",
        name: "o",
        spec,
        options: &options,
    };
    let section = Section {
        options: options.clone(),
        global: Global::default(),
        features: Features::default(),
    };
    let rules = prometheus_rule::rules("n/o", spec, &section.features);
    let rules = rules.map_or(0, |file| file.rule_count());
    let jobs = PLACES
        .iter()
        .filter_map(|place| jobs_of(place.kind, &object).ok());
    let jobs = jobs.flatten().filter(|job| read(job, &section).is_ok());
    jobs.count() + rules
}

fn pools_and_monitors() -> Option<Monitors> {
    let (config, _) = crate::config::load("monitors: {}\n");
    config?.monitors.into_iter().next()
}
