//! Watches the objects of a section, and tells what all of them give.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::places::{PLACES, Seen};
use super::section::{Given, Section};
use super::state::State;
use crate::cluster::list_watch::{Change, Selectors, follow};
use crate::discovery::groups::Groups;
use crate::discovery::kubernetes::client;

/// Changes under way between the watches and the jobs.
const CHANGES_MAX: usize = 64;
/// Changes that come in a row are rendered together.
const GATHER: Duration = Duration::from_millis(20);

/// Sends what all objects give whenever that changes, until it is dropped. `status` says how reading them goes.
pub(in crate::discovery) async fn run(
    section: Section,
    status: Groups,
    given: mpsc::Sender<Given>,
) {
    let (client, namespaces) = loop {
        match client::connect(&section.options.cluster).await {
            Ok(connected) => break connected,
            Err(why) => status.fail(why),
        }
        tokio::time::sleep(client::TRY_AGAIN).await;
    };
    let (tell, mut changes) = mpsc::channel(CHANGES_MAX);
    // Dropped with this future, and the watches with it.
    let mut watches = JoinSet::new();
    let mut expected = BTreeSet::new();
    for (at, place) in PLACES.iter().enumerate() {
        if !section.options.kinds.contains(&place.kind) {
            continue;
        }
        let scopes = match place.namespaced {
            true => namespaces.clone(),
            false => vec![String::new()],
        };
        for namespace in scopes {
            expected.insert((at, namespace.clone()));
            let selector = section.options.selector.clone();
            watches.spawn(watch(at, namespace, selector, client.clone(), tell.clone()));
        }
    }
    let mut state = State::new(section, client, expected);
    let mut told = None;
    loop {
        let again = state.secrets_due().unwrap_or_else(far_away);
        tokio::select! {
            seen = changes.recv() => match seen {
                Some(seen) => state.take(seen),
                None => return,
            },
            () = tokio::time::sleep_until(again) => state.read_secrets_again(),
        }
        // What comes in a row.
        let until = Instant::now() + GATHER;
        while let Ok(Some(seen)) = tokio::time::timeout_at(until, changes.recv()).await {
            state.take(seen);
        }
        let has_changed = state.make().await;
        let partial = state.partial();
        let why = partial.as_ref().map(|part| part.why.clone());
        if why.is_some() {
            status.set_partial(why.clone()); // before what is made of a part
        }
        let tells = (state.not_read(), partial);
        let is_news = has_changed || told.as_ref() != Some(&tells);
        told = Some(tells);
        if is_news && given.send(state.given()).await.is_err() {
            return; // nobody uses it any more
        }
        match state.failure() {
            Some(why) => status.fail(why.clone()),
            None if state.is_complete() => status.read_nothing(),
            None => {}
        }
        status.set_partial(why);
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(86_400)
}

async fn watch(
    at: usize,
    namespace: String,
    label: String,
    client: Client,
    tell: mpsc::Sender<Seen>,
) {
    let place = PLACES[at];
    let kind = GroupVersionKind::gvk(place.group, place.version, place.kind.as_str());
    let resource = ApiResource::from_gvk_with_plural(&kind, place.plural);
    let api: Api<DynamicObject> = match namespace.as_str() {
        "" => Api::all_with(client, &resource),
        namespace => Api::namespaced_with(client, namespace, &resource),
    };
    let selectors = Selectors {
        label,
        ..Selectors::default()
    };
    let send = move |change: Change<Value>| {
        let (tell, namespace) = (tell.clone(), namespace.clone());
        async move {
            let seen = Seen {
                place: at,
                namespace,
                change,
            };
            tell.send(seen).await.ok(); // nobody listens: then this future is dropped next
        }
    };
    let spec = |object: DynamicObject| object.data.get("spec").cloned().unwrap_or_default();
    follow(api, selectors, spec, send).await;
}
