//! A running mechanism: one entry of the configuration that keeps its groups of targets up to date.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::groups::Groups;
use super::{dns, file, http, kubernetes};
use crate::config::Discovery;
use crate::http_client::Resolver;

/// A running mechanism: one for all jobs that ask for the same, for a cluster's pods are many and its jobs too. It ends
/// when it is dropped.
pub(super) struct Mechanism {
    pub(super) config: Discovery,
    pub(super) groups: Groups,
    /// `None` for static targets, which nobody needs to look for.
    task: Option<AbortHandle>,
}

impl Drop for Mechanism {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Mechanism {
    /// One that finds what it is told.
    #[cfg(test)]
    pub(super) fn idle(config: &Discovery) -> Mechanism {
        Mechanism {
            config: config.clone(),
            groups: Groups::new(String::new(), Arc::default()),
            task: None,
        }
    }

    /// Starts it on the current runtime. `owner` is named in what it logs; `changed` is told of every change.
    pub(super) fn start(
        owner: &str,
        config: &Discovery,
        changed: &Arc<Notify>,
        resolver: &Resolver,
    ) -> Mechanism {
        let kind = match config {
            Discovery::Static(_) => "static_configs",
            Discovery::File(_) => "file_sd_configs",
            Discovery::Http(_) => "http_sd_configs",
            Discovery::Dns(_) => "dns_sd_configs",
            Discovery::Kubernetes(_) => "kubernetes_sd_configs",
        };
        let groups = Groups::new(format!("{kind} of {owner}"), Arc::clone(changed));
        let (into, resolver) = (groups.clone(), resolver.clone());
        let task = match config.clone() {
            Discovery::Static(group) => {
                groups.put("static".to_owned(), Some((&group).into()));
                None
            }
            Discovery::File(file) => Some(tokio::spawn(file::run(file, into))),
            Discovery::Http(http) => Some(tokio::spawn(http::run(*http, into, resolver))),
            Discovery::Dns(dns) => Some(tokio::spawn(dns::run(dns, into))),
            Discovery::Kubernetes(kubernetes) => {
                Some(tokio::spawn(kubernetes::run(*kubernetes, into)))
            }
        };
        Mechanism {
            config: config.clone(),
            groups,
            task: task.map(|task| task.abort_handle()),
        }
    }
}
