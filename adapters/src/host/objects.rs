//! Numbers of objects, and which objects and kinds there are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use stillwell_engine::Timestamp;

use super::reading::{Element, NoneFits};
use crate::objects::{Kind, Kinds, Selector};

/// Whose CPU and memory.
#[derive(Clone, Copy, Debug)]
pub enum UsageOf<'q> {
    /// Of the containers of pods of a namespace.
    Pods {
        /// Which.
        namespace: &'q str,
    },
    /// Of nodes.
    Nodes,
}

/// CPU and memory of objects.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageList {
    /// By name; a node has one entry without a name of its own.
    pub told: Vec<(String, Vec<ContainerUsage>)>,
    /// Those of which none may be told, and why.
    pub missing: Vec<(String, String)>,
    /// Over which rates were taken.
    pub window_ms: u64,
    /// When it was evaluated.
    pub at: Timestamp,
}

/// CPU and memory of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerUsage {
    /// Empty for a node.
    pub name: String,
    /// Cores.
    pub cpu_cores: f64,
    /// Bytes.
    pub memory_bytes: f64,
}

/// A question for a metric of objects.
#[derive(Clone, Copy, Debug)]
pub struct ObjectQuestion<'q> {
    /// The metric.
    pub metric: &'q str,
    /// Where the objects are; empty for those that are in no namespace.
    pub namespace: &'q str,
    /// What they are.
    pub kind: &'q Kind,
    /// What there is besides: rules name kinds by other names.
    pub kinds: &'q Kinds,
    /// `metricLabelSelector`.
    pub selector: &'q Selector,
}

/// Numbers of objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectList {
    /// By name.
    pub told: Vec<(String, Element)>,
    /// Those of which none may be told, and why.
    pub missing: Vec<(String, String)>,
}

/// Why no number may be told of any object.
#[derive(Clone, Debug, PartialEq)]
pub enum NoNumbers {
    /// Nothing is known of them, and why.
    Unknown(String),
    /// As [`super::Reading::NotThere`].
    NotThere(String),
    /// There are numbers, and none is what was selected.
    NoneFits(NoneFits),
    /// This namespace may not read it.
    Forbidden,
}

impl fmt::Display for NoNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoNumbers::Unknown(why) | NoNumbers::NotThere(why) => f.write_str(why),
            NoNumbers::NoneFits(none) => none.fmt(f),
            NoNumbers::Forbidden => {
                f.write_str("it is not for this namespace (signals[].namespaces)")
            }
        }
    }
}

/// A metric of a kind of objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectMetric {
    /// `resource.group`.
    pub resource: String,
    /// The metric.
    pub name: String,
    /// Whether the objects are in namespaces.
    pub namespaced: bool,
}

/// What is known of the cluster's objects.
pub trait Objects: Send + Sync {
    /// The kinds there are.
    fn kinds(&self) -> Arc<Kinds>;

    /// A kind that `kinds` does not have yet, looked for where that can be done. Waits for the API server.
    fn find_kind(&self, path: String) -> ObjectAnswer<'_, Option<Arc<Kind>>>;

    /// The names of the objects whose labels fit, in a namespace (empty: in none). `Ok(None)`: there is no API server to
    /// ask. Waits for the API server.
    fn names(
        &self,
        kind: Arc<Kind>,
        namespace: String,
        selector: Selector,
    ) -> ObjectAnswer<'_, Result<Option<Vec<String>>, String>>;

    /// The objects whose labels fit, by namespace (empty: of all) and name. `Ok(None)`: there is no API server to ask. Waits
    /// for the API server.
    fn list(
        &self,
        _kind: Arc<Kind>,
        _namespace: String,
        _selector: Selector,
    ) -> ObjectAnswer<'_, Result<Option<Vec<ListedObject>>, String>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// An object of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Empty for objects that are in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// An answer that may have to be asked for.
pub type ObjectAnswer<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// No cluster: the usual kinds, and nobody who knows which objects there are.
#[derive(Debug, Default)]
pub struct NoObjects(Arc<Kinds>);

impl Objects for NoObjects {
    fn kinds(&self) -> Arc<Kinds> {
        Arc::clone(&self.0)
    }

    fn find_kind(&self, _: String) -> ObjectAnswer<'_, Option<Arc<Kind>>> {
        Box::pin(std::future::ready(None))
    }

    fn names(
        &self,
        _: Arc<Kind>,
        _: String,
        _: Selector,
    ) -> ObjectAnswer<'_, Result<Option<Vec<String>>, String>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
