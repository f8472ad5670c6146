//! `monitors` and `inference_pools`: jobs and rules from the objects of a cluster.
//!
//! ```text
//!  API server --list, watch--> objects --one file per kind: a scrape_config in JSON--> Secrets --> config parser --> jobs
//!                                      --prometheus_rule: a rule file--> parser of rule files --> groups of rules
//! ```
//!
//! An object becomes the `scrape_config` that its operator would write, which is read like one of the configuration file;
//! so its targets are found, relabelled and fetched as those of any job. An object that cannot be followed is said in the
//! log and costs its own targets or rules only. Objects name no files of this process, and read Secrets of their own namespace.

mod endpoint;
mod inference_pool;
mod job;
mod pod_monitor;
mod pod_monitoring;
mod prometheus_rule;
mod relabel;
mod room;
mod rooms;
mod scrape_config;
mod secrets;
mod service_monitor;
mod state;

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;
use stillwell_engine::promql::Features;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::job::{Job, Object};
use self::state::State;
use super::groups::Groups;
use super::kubernetes::client;
use crate::cluster::list_watch::{Change, Selectors, follow};
use crate::config::{Discovery, Global, MonitorKind, Monitors, ScrapeJob, job_from_json};
use crate::rule_groups::RuleFile;

/// Changes under way between the watches and the jobs.
const CHANGES_MAX: usize = 64;
/// Changes that come in a row are rendered together.
const GATHER: Duration = Duration::from_millis(20);
/// Rules that rewrite targets and series of a job, with the twenty or so that each kind of object has.
const RELABEL_RULES_MAX: usize = 200;

/// Which objects are read, and what their jobs inherit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Section {
    pub(super) options: Monitors,
    pub(super) global: Global,
    /// Of the queries in rules.
    pub(super) features: Features,
}

/// What an object gives, or all objects of a section.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) jobs: Vec<ScrapeJob>,
    pub(super) rules: Vec<RuleFile>,
}

/// What all objects of a section give, as of one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) found: Found,
    /// Every kind that gives targets has been listed.
    pub(super) are_targets_listed: bool,
    /// Why this is not all that there is, where that is so.
    pub(super) partial: Option<String>,
}

/// Where an object is read: kinds that moved are read in each of their groups.
#[derive(Clone, Copy, Debug)]
struct Place {
    kind: MonitorKind,
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    namespaced: bool,
}

#[rustfmt::skip]
const PLACES: [Place; 8] = [
    Place { kind: MonitorKind::ServiceMonitor, group: "monitoring.coreos.com", version: "v1", plural: "servicemonitors", namespaced: true },
    Place { kind: MonitorKind::PodMonitor, group: "monitoring.coreos.com", version: "v1", plural: "podmonitors", namespaced: true },
    Place { kind: MonitorKind::ScrapeConfig, group: "monitoring.coreos.com", version: "v1alpha1", plural: "scrapeconfigs", namespaced: true },
    Place { kind: MonitorKind::PrometheusRule, group: "monitoring.coreos.com", version: "v1", plural: "prometheusrules", namespaced: true },
    Place { kind: MonitorKind::PodMonitoring, group: "monitoring.googleapis.com", version: "v1", plural: "podmonitorings", namespaced: true },
    Place { kind: MonitorKind::ClusterPodMonitoring, group: "monitoring.googleapis.com", version: "v1", plural: "clusterpodmonitorings", namespaced: false },
    Place { kind: MonitorKind::InferencePool, group: "inference.networking.k8s.io", version: "v1", plural: "inferencepools", namespaced: true },
    Place { kind: MonitorKind::InferencePool, group: "inference.networking.x-k8s.io", version: "v1alpha2", plural: "inferencepools", namespaced: true },
];

/// An object: its place in `PLACES`, and `namespace/name`.
type Id = (usize, String);

/// A change of what one watch sees.
struct Seen {
    place: usize,
    namespace: String,
    change: Change<Value>,
}

/// Sends what all objects give whenever that changes, until it is dropped. `status` says how reading them goes.
pub(super) async fn run(section: Section, status: Groups, given: mpsc::Sender<Given>) {
    let (client, namespaces) = loop {
        match client::connect(&section.options.cluster).await {
            Ok(connected) => break connected,
            Err(why) => status.fail(why),
        }
        tokio::time::sleep(client::TRY_AGAIN).await;
    };
    let (tell, mut changes) = mpsc::channel(CHANGES_MAX);
    // Dropped with this future, and the watches with it.
    let mut watches = JoinSet::new();
    let mut expected = BTreeSet::new();
    for (at, place) in PLACES.iter().enumerate() {
        if !section.options.kinds.contains(&place.kind) {
            continue;
        }
        let scopes = match place.namespaced {
            true => namespaces.clone(),
            false => vec![String::new()],
        };
        for namespace in scopes {
            expected.insert((at, namespace.clone()));
            let selector = section.options.selector.clone();
            watches.spawn(watch(at, namespace, selector, client.clone(), tell.clone()));
        }
    }
    let mut state = State::new(section, client, expected);
    let mut told = (false, None);
    loop {
        let again = state.secrets_due().unwrap_or_else(far_away);
        tokio::select! {
            seen = changes.recv() => match seen {
                Some(seen) => state.take(seen),
                None => return,
            },
            () = tokio::time::sleep_until(again) => state.read_secrets_again(),
        }
        // What comes in a row.
        let until = Instant::now() + GATHER;
        while let Ok(Some(seen)) = tokio::time::timeout_at(until, changes.recv()).await {
            state.take(seen);
        }
        let has_changed = state.make().await;
        let partial = state.partial().cloned();
        if partial.is_some() {
            status.set_partial(partial.clone()); // before what is made of a part
        }
        let tells = (state.are_targets_listed(), partial.clone());
        let is_news = has_changed || tells != told;
        told = tells;
        if is_news && given.send(state.given()).await.is_err() {
            return; // nobody uses it any more
        }
        match state.failure() {
            Some(why) => status.fail(why.clone()),
            None if state.is_complete() => status.read_nothing(),
            None => {}
        }
        status.set_partial(partial);
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(86_400)
}

async fn watch(
    at: usize,
    namespace: String,
    label: String,
    client: Client,
    tell: mpsc::Sender<Seen>,
) {
    let place = PLACES[at];
    let kind = GroupVersionKind::gvk(place.group, place.version, place.kind.as_str());
    let resource = ApiResource::from_gvk_with_plural(&kind, place.plural);
    let api: Api<DynamicObject> = match namespace.as_str() {
        "" => Api::all_with(client, &resource),
        namespace => Api::namespaced_with(client, namespace, &resource),
    };
    let selectors = Selectors {
        label,
        ..Selectors::default()
    };
    let send = move |change: Change<Value>| {
        let (tell, namespace) = (tell.clone(), namespace.clone());
        async move {
            let seen = Seen {
                place: at,
                namespace,
                change,
            };
            tell.send(seen).await.ok(); // nobody listens: then this future is dropped next
        }
    };
    let spec = |object: DynamicObject| object.data.get("spec").cloned().unwrap_or_default();
    follow(api, selectors, spec, send).await;
}

/// The jobs of an object. Error: why there are none.
fn jobs_of(kind: MonitorKind, object: &Object<'_>) -> Result<Vec<Job>, String> {
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

/// Reads a finished job, which asks the same API server as the objects came from.
fn read(job: &Job, section: &Section) -> Result<ScrapeJob, String> {
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
