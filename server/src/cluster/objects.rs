//! The cluster's objects for the custom metrics API: the kinds there are, and which objects of a kind labels select.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use stillwell_adapters::host::{ListedObject, ObjectAnswer, Objects};
use stillwell_adapters::objects::{Kind, Kinds, Selector};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Cluster;
use super::kinds::kinds;
use super::object_names::Watched;

/// Objects that nobody has asked about for this long are no longer watched.
const EXPIRES: Duration = Duration::from_secs(600);
/// Watches at once: kinds times namespaces.
const WATCHES_MAX: usize = 500;
/// Kinds are looked up again after this long, ...
const KINDS_EVERY: Duration = Duration::from_secs(600);
/// ... when one is asked for that is not known, but not sooner after the last time than this, ...
const KINDS_SOONEST: Duration = Duration::from_secs(10);
/// ... and a question waits for that no longer than this.
const KINDS_WAIT: Duration = Duration::from_millis(1_500);

/// The objects of a cluster.
pub(crate) struct ClusterObjects {
    cluster: Cluster,
    kinds: RwLock<Arc<Kinds>>,
    /// When kinds were last looked up. Held while they are, so it is tokio's.
    looked: tokio::sync::Mutex<Option<Instant>>,
    /// By path of the kind and namespace, with the time of the last question.
    watched: Mutex<HashMap<(String, String), LastAsked>>,
}

/// A watch, and when it was last asked.
type LastAsked = (Arc<Watched>, Instant);

impl ClusterObjects {
    /// The objects of this cluster; kinds are kept up to date on the current runtime for as long as somebody has them.
    pub(crate) fn start(cluster: Cluster) -> Arc<ClusterObjects> {
        let objects = Arc::new(ClusterObjects {
            cluster,
            kinds: RwLock::default(),
            looked: tokio::sync::Mutex::default(),
            watched: Mutex::default(),
        });
        let weak = Arc::downgrade(&objects);
        tokio::spawn(async move {
            while let Some(objects) = weak.upgrade() {
                objects.look_up().await;
                drop(objects);
                tokio::time::sleep(KINDS_EVERY).await;
            }
        });
        objects
    }

    /// Looks up the kinds there are, unless that was done just now.
    async fn look_up(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|looked| looked.elapsed() < KINDS_SOONEST) {
            return;
        }
        match kinds(&self.cluster.client).await {
            Ok(found) => {
                debug!(kinds = found.len(), "the API server has listed its kinds");
                *self.kinds.write() = Arc::new(Kinds::usual().with(found));
            }
            Err(why) => warn!(
                why,
                "the API server does not list its kinds; the usual ones are known without"
            ),
        }
        *looked = Some(Instant::now());
    }

    /// The watch on the objects of a kind in a namespace, begun where there is none. Error: there are too many.
    fn watch(&self, kind: &Kind, namespace: &str) -> Result<Arc<Watched>, String> {
        let now = Instant::now();
        let mut watched = self.watched.lock();
        watched.retain(|_, (_, asked)| now.duration_since(*asked) < EXPIRES);
        let key = (kind.path(), namespace.to_owned());
        if let Some((known, asked)) = watched.get_mut(&key) {
            *asked = now;
            return Ok(Arc::clone(known));
        }
        if watched.len() >= WATCHES_MAX {
            return Err(format!(
                "{WATCHES_MAX} kinds and namespaces are watched already, the most there may be"
            ));
        }
        let client = self.cluster.client.clone();
        let started = Arc::new(Watched::start(client, kind, namespace));
        watched.insert(key, (Arc::clone(&started), now));
        Ok(started)
    }
}

impl Objects for ClusterObjects {
    fn kinds(&self) -> Arc<Kinds> {
        Arc::clone(&self.kinds.read())
    }

    fn find_kind(&self, path: String) -> ObjectAnswer<'_, Option<Arc<Kind>>> {
        Box::pin(async move {
            // What there is by then decides.
            tokio::time::timeout(KINDS_WAIT, self.look_up()).await.ok();
            self.kinds().of_path(&path).cloned()
        })
    }

    fn names(
        &self,
        kind: Arc<Kind>,
        namespace: String,
        selector: Selector,
    ) -> ObjectAnswer<'_, Result<Option<Vec<String>>, String>> {
        Box::pin(async move {
            let watched = self.watch(&kind, &namespace)?;
            watched.names(&selector).await.map(Some)
        })
    }

    fn list(
        &self,
        kind: Arc<Kind>,
        namespace: String,
        selector: Selector,
    ) -> ObjectAnswer<'_, Result<Option<Vec<ListedObject>>, String>> {
        Box::pin(async move {
            let watched = self.watch(&kind, &namespace)?;
            watched.list(&selector).await.map(Some)
        })
    }
}
