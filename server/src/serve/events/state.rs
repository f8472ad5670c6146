//! What each metric of each scaler says now: read as the scaler reads it, but nobody counts as having read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stillwell_adapters::host::{Host, ObjectQuestion, ScaledObject, Signals};
use stillwell_adapters::objects::{Kinds, Selector};
use stillwell_engine::Timestamp;
use stillwell_engine::signal::State;

use super::ledger::{Seen, Told};
use super::scaler::{Read, Scaler};
use crate::serve::app::App;
use crate::serve::signals::ConfiguredSignals;

/// Pods of a namespace by name.
type Pods = BTreeMap<String, Vec<String>>;

/// What is told to each of them now. What is nobody's business here (another server's metric) is left out.
pub(super) async fn look(app: &Arc<App>, scalers: Vec<Arc<Scaler>>) -> Vec<Seen> {
    let pods = pods(app, &scalers).await;
    let app = Arc::clone(app);
    let looking = move || {
        let view = View {
            signals: app.configured_signals(),
            kinds: app.objects().kinds(),
            triggers: app.scalers().objects,
            pods,
            now: app.now(),
        };
        let of = |scaler: Arc<Scaler>| -> Vec<Seen> {
            let reads = scaler.reads.iter().enumerate();
            let seen = reads.filter_map(|(read, what)| {
                Some(Seen {
                    scaler: Arc::clone(&scaler),
                    read,
                    told: view.told(&scaler, what)?,
                })
            });
            seen.collect()
        };
        scalers.into_iter().flat_map(of).collect()
    };
    // Some signals are evaluated when they are read.
    let looked = tokio::task::spawn_blocking(looking).await;
    looked.unwrap_or_default() // a panic has been logged
}

/// The pods of the namespaces in which an HPA reads a metric of pods that is ours.
async fn pods(app: &Arc<App>, scalers: &[Arc<Scaler>]) -> Pods {
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for scaler in scalers {
        for read in &scaler.reads {
            if let Read::Pods { metric, .. } = read {
                wanted.entry(metric).or_default().insert(&scaler.namespace);
            }
        }
    }
    if wanted.is_empty() {
        return Pods::new();
    }
    let (signals, objects) = (app.configured_signals(), app.objects());
    let kinds = objects.kinds();
    let Some(kind) = kinds.named("pod", "").cloned() else {
        return Pods::new();
    };
    let listing = tokio::task::spawn_blocking(move || signals.object_metrics(&kinds));
    let listed = listing.await.unwrap_or_default(); // a panic has been logged
    let path = kind.path();
    let ours = listed.iter().filter(|metric| metric.resource == path);
    let namespaces: BTreeSet<&str> = ours
        .filter_map(|metric| wanted.get(metric.name.as_str()))
        .flatten()
        .copied()
        .collect();
    let mut pods = Pods::new();
    for namespace in namespaces {
        let asked = objects.names(Arc::clone(&kind), namespace.to_owned(), Selector::default());
        if let Ok(Some(names)) = asked.await {
            pods.insert(namespace.to_owned(), names);
        }
    }
    pods
}

struct View {
    signals: Arc<ConfiguredSignals>,
    kinds: Arc<Kinds>,
    triggers: Vec<ScaledObject>,
    pods: Pods,
    now: Timestamp,
}

impl View {
    fn told(&self, scaler: &Scaler, read: &Read) -> Option<Told> {
        match read {
            Read::External { metric, selector } => {
                let namespace = &scaler.namespace;
                let state = self.signals.state(metric, namespace, selector, self.now);
                Some(of_state(state?))
            }
            Read::Pods { metric, selector } => self.of_pods(scaler, metric, selector),
            Read::Object {
                metric,
                selector,
                group,
                kind,
                name,
            } => {
                let kind = self.kinds.named(kind, group)?;
                // Objects that are in no namespace, a Namespace itself among them.
                let namespace = match kind.namespaced {
                    true => scaler.namespace.as_str(),
                    false => "",
                };
                let question = ObjectQuestion {
                    metric,
                    namespace,
                    kind,
                    kinds: &self.kinds,
                    selector,
                };
                let state = self.signals.object_state(&question, name, self.now);
                Some(of_state(state?))
            }
            Read::Guarded { query } => self.signals.guarded_state(query, self.now).map(of_state),
            Read::Trigger { source } => self.of_trigger(scaler, source),
        }
    }

    /// Unknown where no pod of the namespace has a number: which of them the HPA asks for is not known here.
    fn of_pods(&self, scaler: &Scaler, metric: &str, selector: &Selector) -> Option<Told> {
        let names = self.pods.get(&scaler.namespace)?;
        let question = ObjectQuestion {
            metric,
            namespace: &scaler.namespace,
            kind: self.kinds.named("pod", "")?,
            kinds: &self.kinds,
            selector,
        };
        let list = self
            .signals
            .read_objects(&question, Some(names), self.now)?;
        Some(match list {
            Err(none) => Told::Unknown(none.to_string()),
            Ok(list) if !list.told.is_empty() => Told::Measured,
            Ok(list) => {
                let (name, why) = list.missing.into_iter().next()?;
                Told::Unknown(format!("no pod has a number; {name}: {why}"))
            }
        })
    }

    /// Of KEDA's external scaler, which has judged it already.
    fn of_trigger(&self, scaler: &Scaler, source: &str) -> Option<Told> {
        let one = self.triggers.iter().find(|one| {
            one.namespace == scaler.namespace && one.name == scaler.name && one.trigger == source
        })?;
        Some(match one.state {
            "unknown" => Told::Unknown(one.reason.clone()),
            "configured" => Told::Configured(one.reason.clone()),
            _ => Told::Measured,
        })
    }
}

fn of_state(state: State) -> Told {
    match state {
        State::Value | State::Held { .. } => Told::Measured,
        State::Configured { why } => Told::Configured(why),
        State::Unknown { why } => Told::Unknown(why),
    }
}
