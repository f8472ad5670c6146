//! The read side of the engine. The methods of [`Reader`] stand in the files of what they are about: `registered` and
//! `about_signals` (which signals there are, and why they say what they say), `signals` (what they say), `queries` (PromQL and
//! exemplars), `lookup` (series and labels), `stats` (sizes and metadata).

mod about_signals;
mod lookup;
mod queries;
mod registered;
mod signals;
mod stats;

use std::sync::Arc;

use parking_lot::RwLock;

use crate::signal::SignalRegistry;
use crate::store::Store;

pub use lookup::SeriesQuery;
pub use stats::Stats;

/// Reads the store and the signals. Cheap to clone; any number of readers work on any threads.
#[derive(Clone)]
pub struct Reader {
    store: Arc<RwLock<Store>>,
    registry: Arc<RwLock<SignalRegistry>>,
    memory_bytes_max: u64,
}

impl Reader {
    pub(crate) fn new(
        store: Arc<RwLock<Store>>,
        registry: Arc<RwLock<SignalRegistry>>,
        memory_bytes_max: u64,
    ) -> Reader {
        Reader {
            store,
            registry,
            memory_bytes_max,
        }
    }

    /// The memory limit of the engine ([`crate::Limits::memory_bytes_max`]).
    pub fn memory_bytes_max(&self) -> u64 {
        self.memory_bytes_max
    }

    pub(crate) fn store(&self) -> &RwLock<Store> {
        &self.store
    }

    pub(crate) fn registry(&self) -> &RwLock<SignalRegistry> {
        &self.registry
    }

    pub(crate) fn shared_store(&self) -> &Arc<RwLock<Store>> {
        &self.store
    }
}
