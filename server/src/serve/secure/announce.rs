//! Who serves our groups in the cluster, said in the log when it changes, and the self-made certificate's CA kept in the
//! APIService where that was asked for.

use std::collections::HashMap;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tracing::{error, info, warn};

use crate::cluster::{Cluster, Owner, ServiceName, Written, api_service_name};

/// Somebody may apply the manifests again, without our CA.
const LOOK_MS: u64 = 30_000;

/// What to do about APIServices.
pub(super) struct Announcement {
    pub(super) cluster: Cluster,
    /// Group and version.
    pub(super) groups: Vec<(String, &'static str)>,
    pub(super) us: ServiceName,
    /// Written where it is given.
    pub(super) ca: Option<CertificateDer<'static>>,
    pub(super) take_over: bool,
}

impl Announcement {
    /// Looks and writes, again and again. Never ends.
    pub(super) async fn keep(self) {
        let mut said: HashMap<String, String> = HashMap::new();
        loop {
            for (group, version) in &self.groups {
                let name = api_service_name(group, version);
                let news = self.look(group, version).await;
                let text = format!("{news:?}");
                if said.get(&name) != Some(&text) {
                    self.say(&name, news);
                    said.insert(name, text);
                }
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    async fn look(&self, group: &str, version: &str) -> Result<Written, String> {
        match &self.ca {
            Some(ca) => {
                let key = (group, version);
                self.cluster
                    .write_ca(key, &self.us, ca, self.take_over)
                    .await
            }
            None => match self.cluster.owner(group, version, &self.us).await? {
                Owner::Us => Ok(Written::Unchanged),
                other => Ok(Written::Refused(other)),
            },
        }
    }

    fn say(&self, name: &str, news: Result<Written, String>) {
        let us = &self.us;
        match news {
            Ok(Written::Unchanged) => info!("APIService {name}: HPAs are sent to {us}"),
            Ok(Written::Added) => {
                info!("APIService {name}: HPAs are sent to {us}; our CA was added to its caBundle");
            }
            Ok(Written::TakenOver(before)) => warn!(
                "APIService {name}: taken over from {before} (--api-service.take-over); it points at {us} now"
            ),
            Ok(Written::Refused(owner @ Owner::Other { .. })) => warn!(
                "APIService {name}: served by {owner}, not by {us}: HPAs read from there, and it is left alone \
                 (--api-service.take-over with --api-service.ca-bundle changes that)"
            ),
            Ok(Written::Refused(owner)) => {
                warn!("APIService {name}: served by {owner}; HPAs are not sent to {us}");
            }
            Err(why) => error!(why, "APIService {name} cannot be read or written"),
        }
    }
}
