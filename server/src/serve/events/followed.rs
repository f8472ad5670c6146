//! The scalers of a cluster, as watches of them say.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use super::said::Said;
use super::scaler::{Scaler, ScalerKind};
use crate::cluster::list_watch::{Change, NO_SUCH_KIND, Selectors, follow};

/// Scalers that are followed; a cluster has some hundreds.
const SCALERS_MAX: usize = 5_000;

/// By kind, and `namespace/name`.
type Key = (ScalerKind, String);
pub(super) type Scalers = Arc<Mutex<Known>>;

/// The scalers of a cluster.
#[derive(Default)]
pub(super) struct Known {
    pub(super) scalers: BTreeMap<Key, Arc<Scaler>>,
    /// When it was said that there are more than are followed.
    left_out: Said,
}

/// Keeps what is known of the scalers of a kind in a namespace (empty: in all) up to date. Never ends.
pub(super) async fn watch(kind: ScalerKind, namespace: String, client: Client, scalers: Scalers) {
    let resource = ApiResource::from_gvk_with_plural(&kind.gvk(), kind.plural());
    let api: Api<DynamicObject> = match namespace.as_str() {
        "" => Api::all_with(client, &resource),
        namespace => Api::namespaced_with(client, namespace, &resource),
    };
    let said = Mutex::new(String::new());
    let take = |change: Change<Option<Arc<Scaler>>>| {
        match change {
            // What cannot be seen gets no Events.
            Change::All(all) | Change::AllBut { all, .. } => {
                let mut known = scalers.lock();
                let here = |of: &Scaler| namespace.is_empty() || of.namespace == namespace;
                known
                    .scalers
                    .retain(|(of, _), scaler| *of != kind || !here(scaler));
                for (key, scaler) in all {
                    known.put((kind, key), scaler);
                }
                said.lock().clear();
            }
            Change::Put(key, scaler) => scalers.lock().put((kind, key), scaler),
            Change::Gone(key) => drop(scalers.lock().scalers.remove(&(kind, key))),
            // Of a cluster without KEDA.
            Change::Failed(why) if why == NO_SUCH_KIND => {}
            Change::Failed(why) | Change::Beyond(why) => {
                let mut said = said.lock();
                if *said != why {
                    warn!(why, "events: {} cannot be listed", kind.plural());
                    *said = why;
                }
            }
        }
        std::future::ready(())
    };
    let keep = |object: DynamicObject| Scaler::read(kind, &object).map(Arc::new);
    follow(api, Selectors::default(), keep, take).await;
}

impl Known {
    fn put(&mut self, key: Key, scaler: Option<Arc<Scaler>>) {
        let Some(scaler) = scaler else {
            return drop(self.scalers.remove(&key));
        };
        if self.scalers.len() < SCALERS_MAX || self.scalers.contains_key(&key) {
            self.scalers.insert(key, scaler);
        } else if self.left_out.again(Instant::now()) {
            // Each status that is written puts it again.
            let scaler = scaler.to_string();
            info!(
                scaler,
                "events: {SCALERS_MAX} scalers are followed, this one and maybe others are not"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalers_beyond_the_limit_are_left_out() {
        let scaler = |at: usize| {
            Arc::new(Scaler {
                kind: ScalerKind::Hpa,
                namespace: "n".to_owned(),
                name: at.to_string(),
                uid: at.to_string(),
                reads: Vec::new(),
            })
        };
        let mut known = Known::default();
        for at in 0..SCALERS_MAX + 10 {
            let key = (ScalerKind::Hpa, at.to_string());
            known.put(key, Some(scaler(at)));
            assert_eq!(known.left_out.is_some(), at >= SCALERS_MAX, "{at}");
        }
        assert_eq!(known.scalers.len(), SCALERS_MAX);
        let key = |at: usize| (ScalerKind::Hpa, at.to_string());
        known.put(key(7), Some(scaler(8)));
        assert_eq!(
            known.scalers[&key(7)].name,
            "8",
            "one that is known changes"
        );
        known.put(key(7), None);
        known.put(key(SCALERS_MAX), Some(scaler(0)));
        assert!(
            known.scalers.contains_key(&key(SCALERS_MAX)),
            "there is room"
        );
    }
}
