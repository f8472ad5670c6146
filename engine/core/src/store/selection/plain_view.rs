//! The store as Prometheus would show it.

use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use super::super::matching::ReadBudget;
use super::super::store::Store;
use super::super::visible_ticks::ClockVisibility;
use super::Visibility;
use super::copy::ends;
use super::snapshot::SelectionSnapshot;
use crate::ids::ClockId;
use crate::promql::QueryError;
use crate::promql::select::{SelectRequest, Selection, View};

/// A view of the store exactly as Prometheus would show it: with stale markers where a series was absent or its target
/// failed. Cheap to clone. All of its selections show the moment of the first, so that `sum(x) - sum(x)` is 0 while pages are
/// committed.
#[derive(Clone)]
pub struct PlainView {
    store: Arc<RwLock<Store>>,
    budget: Option<ReadBudget>,
    /// The end of each clock when the first selector was read: what was committed since then none of the others sees.
    ends: Arc<OnceLock<Vec<i64>>>,
}

impl PlainView {
    pub(crate) fn new(store: Arc<RwLock<Store>>, budget: Option<ReadBudget>) -> PlainView {
        PlainView {
            store,
            budget,
            ends: Arc::default(),
        }
    }
}

impl View for PlainView {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
        let ends = self.ends.get_or_init(|| ends(&self.store.read()));
        let (store, budget) = (&self.store, self.budget);
        let snapshot = SelectionSnapshot::copy_until(ends, store, request, &AsScraped, budget)?;
        Ok(Box::new(snapshot))
    }
}

struct AsScraped;

impl Visibility for AsScraped {
    fn clock_visibility(&self, _: ClockId) -> ClockVisibility {
        ClockVisibility::AsScraped
    }

    fn clamps_negative(&self, _: &str) -> bool {
        false
    }
}
