//! Writes Events (`core/v1`), as clients of Kubernetes do: one object for the same news of the same object, which counts.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::ledger::{News, Phase};
use crate::serve::app::hostname;

/// One request.
const ASK: Duration = Duration::from_secs(5);
/// Of a message; the API server takes no more.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// Of an object's name in the name of its Event, which may have 253 in all.
const NAME_BYTES_MAX: usize = 200;
/// The other replica has told the same within this time.
const SAME_S: i64 = 30;
const COMPONENT: &str = "stillwell";
const EXISTS: u16 = 409;
const NOT_FOUND: u16 = 404;

const TOO_MANY_REQUESTS: u16 = 429;
const UNAVAILABLE: u16 = 503;

/// Why an Event was not written.
pub(super) struct NotWritten {
    pub(super) why: String,
    /// The API server answers nobody; otherwise it does not take this one.
    pub(super) is_away: bool,
}

pub(super) struct Sender {
    client: Client,
    host: String,
}

impl Phase {
    /// Type and reason of its Event.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Phase::Unknown => ("Warning", "SignalUnknown"),
            Phase::Configured => ("Normal", "SignalConfigured"),
            Phase::Measured => ("Normal", "SignalRecovered"),
        }
    }
}

impl Sender {
    pub(super) fn new(client: Client) -> Sender {
        Sender {
            client,
            host: hostname(),
        }
    }

    /// Writes it, or counts it where the same has been told before.
    pub(super) async fn send(&self, news: &News) -> Result<(), NotWritten> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &news.scaler.namespace);
        let event = self.event(news);
        let created = in_time(api.create(&PostParams::default(), &event)).await?;
        match created {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == EXISTS => {
                self.count(&api, &event).await
            }
            Err(error) => Err(not_written(&error)),
        }
    }

    /// Counts an Event that is there already.
    async fn count(&self, api: &Api<Event>, event: &Event) -> Result<(), NotWritten> {
        let name = event.metadata.name.as_deref().unwrap_or("");
        let found = in_time(api.get_opt(name)).await?;
        let Some(found) = found.map_err(|error| not_written(&error))? else {
            return Err(has_ended(name));
        };
        let now = Timestamp::now();
        let last_s = found.last_timestamp.as_ref().map(|time| time.0.as_second());
        if last_s.is_some_and(|last_s| now.as_second() - last_s < SAME_S) {
            return Ok(());
        }
        let patch = json!({
            "count": found.count.unwrap_or(1).saturating_add(1),
            "lastTimestamp": Time(now), "message": event.message,
        });
        let patch = Patch::Merge(&patch);
        let counted = in_time(api.patch(name, &PatchParams::default(), &patch)).await?;
        match counted {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Err(has_ended(name)),
            Err(error) => Err(not_written(&error)),
        }
    }

    fn event(&self, news: &News) -> Event {
        let scaler = &news.scaler;
        let (kind, reason) = news.phase.words();
        let gvk = scaler.kind.gvk();
        let now = Time(Timestamp::now());
        Event {
            metadata: ObjectMeta {
                name: Some(name_of(news, reason)),
                namespace: Some(scaler.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(gvk.api_version()),
                kind: Some(gvk.kind),
                namespace: Some(scaler.namespace.clone()),
                name: Some(scaler.name.clone()),
                uid: Some(scaler.uid.clone()),
                ..ObjectReference::default()
            },
            type_: Some(kind.to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(cut(&news.message, MESSAGE_BYTES_MAX)),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            source: Some(EventSource {
                component: Some(COMPONENT.to_owned()),
                host: Some(self.host.clone()),
            }),
            reporting_component: Some(COMPONENT.to_owned()),
            ..Event::default()
        }
    }
}

async fn in_time<T>(asking: impl Future<Output = T>) -> Result<T, NotWritten> {
    let asked = tokio::time::timeout(ASK, asking).await;
    asked.map_err(|_| NotWritten {
        why: format!("the API server gives no answer within {ASK:?}"),
        is_away: true,
    })
}

fn has_ended(name: &str) -> NotWritten {
    NotWritten {
        why: format!("the Event {name} has just ended"),
        is_away: false,
    }
}

fn not_written(error: &kube::Error) -> NotWritten {
    let is_away = match error {
        // Any other status may be about this object: its namespace ends, a webhook refuses or fails.
        kube::Error::Api(status) => matches!(status.code, TOO_MANY_REQUESTS | UNAVAILABLE),
        _ => true,
    };
    NotWritten {
        why: in_words(error),
        is_away,
    }
}

fn in_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "{}: bind a ClusterRole to it with the verbs create, get and patch on events",
            status.message
        ),
        error => crate::cluster::words(error),
    }
}

/// The same for the same news of the same object.
fn name_of(news: &News, reason: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    for text in [news.scaler.uid.as_str(), news.about.as_str(), reason] {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    format!("{}.{hash:016x}", cut(&news.scaler.name, NAME_BYTES_MAX))
}

fn cut(text: &str, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max);
    text[..end].to_owned()
}
