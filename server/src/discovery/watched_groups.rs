//! What several mechanisms find together, for whoever needs addresses and is no scrape job.

use std::sync::Arc;

use tokio::sync::Notify;

use super::mechanism::Mechanism;
use crate::config::Discovery;
use crate::http_client::Resolver;
use crate::scrape::TargetGroup;

/// Running mechanisms. They end when this is dropped.
pub struct WatchedGroups {
    mechanisms: Vec<Mechanism>,
}

impl WatchedGroups {
    /// Starts them on the current runtime. `owner` is named in what they log; `changed` is told of every change.
    pub fn start(
        owner: &str,
        configs: &[Discovery],
        changed: &Arc<Notify>,
        resolver: &Resolver,
    ) -> WatchedGroups {
        let start = |config| Mechanism::start(owner, config, changed, resolver);
        WatchedGroups {
            mechanisms: configs.iter().map(start).collect(),
        }
    }

    /// The groups as of now, in the order of the configuration and of their sources.
    pub fn get(&self) -> Vec<Arc<TargetGroup>> {
        let all = self.mechanisms.iter();
        all.flat_map(|mechanism| mechanism.groups.get().groups.into_values())
            .collect()
    }
}
