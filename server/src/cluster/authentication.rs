//! The ConfigMap in which the API server says whom its extensions may believe, read and then watched: CAs rotate.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use tracing::debug;

use super::Cluster;

/// The ConfigMap's name.
pub const AUTHENTICATION_CONFIG: &str = "extension-apiserver-authentication";
const NAMESPACE: &str = "kube-system";

/// One read.
const READ_MS: u64 = 5_000;
/// The server ends a watch after this long; a stream that stays silent for longer is dead.
const WATCH_S: u32 = 290;
const SILENCE_MS: u64 = 300_000;
/// Between a stream's end and the next read: at first, and at most.
const PAUSE_MS: u64 = 100;
const PAUSE_MS_MAX: u64 = 5_000;

/// What the ConfigMap holds.
pub(crate) type Data = BTreeMap<String, String>;

/// Hands on what the ConfigMap holds, now and whenever it changes, and why it cannot be read. Never ends.
pub(crate) async fn follow(cluster: Cluster, mut tell: impl FnMut(Result<Data, String>)) {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let mut pause_ms = PAUSE_MS;
    loop {
        match read(&api).await {
            Ok((data, version)) => {
                tell(Ok(data));
                pause_ms = PAUSE_MS;
                let why = watch(&api, &version, &mut tell).await;
                debug!(
                    why,
                    "the watch on {AUTHENTICATION_CONFIG} ended; it is read again"
                );
            }
            Err(why) => {
                tell(Err(unread(&why)));
                pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
            }
        }
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

impl Cluster {
    /// What the ConfigMap holds now.
    pub(crate) async fn authentication(&self) -> Result<Data, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        match read(&api).await {
            Ok((data, _)) => Ok(data),
            Err(why) => Err(unread(&why)),
        }
    }
}

fn unread(why: &str) -> String {
    format!("the ConfigMap {NAMESPACE}/{AUTHENTICATION_CONFIG} cannot be read: {why}")
}

async fn read(api: &Api<ConfigMap>) -> Result<(Data, String), String> {
    let reading = api.get(AUTHENTICATION_CONFIG);
    match tokio::time::timeout(Duration::from_millis(READ_MS), reading).await {
        Ok(Ok(found)) => {
            let version = found.metadata.resource_version.clone();
            Ok((found.data.unwrap_or_default(), version.unwrap_or_default()))
        }
        Ok(Err(error)) => Err(super::words(&error)),
        Err(_) => Err(format!("no answer within {READ_MS} ms")),
    }
}

/// Until the stream ends; answers why it did.
async fn watch(
    api: &Api<ConfigMap>,
    version: &str,
    tell: &mut impl FnMut(Result<Data, String>),
) -> String {
    let only = format!("metadata.name={AUTHENTICATION_CONFIG}");
    let parameters = WatchParams::default().fields(&only).timeout(WATCH_S);
    let stream = match api.watch(&parameters, version).await {
        Ok(stream) => stream,
        Err(error) => return super::words(&error),
    };
    let mut stream = pin!(stream);
    loop {
        let next = tokio::time::timeout(Duration::from_millis(SILENCE_MS), stream.next());
        match next.await {
            Err(_) => return "it was silent for too long".to_owned(),
            Ok(None) => return "the server ended it".to_owned(),
            Ok(Some(Err(error))) => return super::words(&error),
            Ok(Some(Ok(WatchEvent::Error(status)))) => return status.message.clone(),
            Ok(Some(Ok(WatchEvent::Added(changed) | WatchEvent::Modified(changed)))) => {
                tell(Ok(changed.data.unwrap_or_default()));
            }
            // What was believed stays believed: a ConfigMap that is gone revokes nothing, as in every API server.
            Ok(Some(Ok(WatchEvent::Deleted(_)))) => return "the ConfigMap is gone".to_owned(),
            Ok(Some(Ok(WatchEvent::Bookmark(_)))) => {}
        }
    }
}
