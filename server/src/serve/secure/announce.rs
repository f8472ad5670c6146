//! Who serves our groups in the cluster, said in the log when it changes, and the self-made certificate's CA kept in the
//! APIService where that was asked for.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use stillwell_adapters::kubernetes::Groups;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::cluster::{Cluster, Owner, ServiceName, WriteCa, Written, api_service_name};

/// Somebody may apply the manifests again, without our CA. A change is seen by a watch; without one it is looked at this
/// often.
const LOOK: Duration = Duration::from_secs(30);
/// ... and not again sooner than this: each look is a request, and may be a line of the log.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Between two watches: at first, and at most.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A watch that lasts this long was one.
const WATCHED: Duration = Duration::from_secs(60);

/// What to do about APIServices.
pub(super) struct Announcement {
    pub(super) cluster: Cluster,
    /// Each with all of its versions, of which clients may ask for any.
    pub(super) groups: Groups,
    pub(super) us: ServiceName,
    /// Written where it is given.
    pub(super) ca: Option<CertificateDer<'static>>,
    pub(super) take_over: bool,
}

impl Announcement {
    /// Looks and writes, again and again. Never ends.
    pub(super) async fn keep(self) {
        let this = Arc::new(self);
        let mut groups = JoinSet::new(); // dropped with this future
        for (group, version) in this.groups.versions() {
            let this = Arc::clone(&this);
            groups.spawn(async move { this.keep_one(&group, version).await });
        }
        while groups.join_next().await.is_some() {} // one that panicked has been logged
    }

    async fn keep_one(&self, group: &str, version: &str) {
        let name = api_service_name(group, version);
        let changed = Notify::new();
        let looking = async {
            let (mut said, mut is_first) = (String::new(), true);
            loop {
                let news = self.look(group, version, is_first).await;
                let is_written = matches!(news, Ok(Written::Added | Written::Unchanged));
                is_first &= !is_written;
                let text = format!("{news:?}");
                if said != text {
                    self.say((group, version), news);
                    said = text;
                }
                // A change meanwhile is looked at next; one that somebody changes all the time, now and then.
                tokio::time::sleep(LOOK_AGAIN).await;
                tokio::time::timeout(LOOK, changed.notified()).await.ok();
            }
        };
        let watching = async {
            let mut pause = PAUSE;
            loop {
                let begun = Instant::now();
                let why = self
                    .cluster
                    .watch_api_service(&name, || changed.notify_one())
                    .await;
                debug!(why, "the watch on APIService {name} ended");
                pause = match begun.elapsed() > WATCHED {
                    true => PAUSE,
                    false => (pause * 2).min(PAUSE_MAX),
                };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::join!(looking, watching);
    }

    async fn look(&self, group: &str, version: &str, is_first: bool) -> Result<Written, String> {
        match &self.ca {
            Some(ca) => {
                let key = (group, version);
                // The CA of the process before is replaced once. One that comes later under our name is of a process that
                // runs beside us: to remove it would have it remove ours, and so on.
                let how = WriteCa {
                    take_over: self.take_over,
                    replace_same_issuer: is_first,
                };
                self.cluster.write_ca(key, &self.us, ca, how).await
            }
            None => match self.cluster.owner(group, version, &self.us).await? {
                Owner::Us => Ok(Written::Unchanged),
                other => Ok(Written::Refused(other)),
            },
        }
    }

    fn say(&self, (group, version): (&str, &str), news: Result<Written, String>) {
        let us = &self.us;
        let name = api_service_name(group, version);
        match news {
            // A version that nobody serves is not asked for; the preferred one is missing.
            Ok(Written::Refused(Owner::Nobody)) if !self.groups.is_preferred(group, version) => {
                debug!("there is no APIService {name}");
            }
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
