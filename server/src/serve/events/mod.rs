//! `events`: an Event on each HorizontalPodAutoscaler and ScaledObject that reads a signal, when that becomes unknown, is
//! told with a configured number, or has a number again.
//!
//! ```text
//!  API server --list, watch--> scaler (what each reads) --every 2 s--> state (what that says) --> ledger (what is news) --> event
//! ```
//!
//! What was told is compared with what is, so nothing waits in a queue: while the API server is away the news are kept as
//! the difference, and a change that has gone back by then is never told. It is a task beside the APIs; every request has a
//! deadline, and reads are those of an HPA.

mod event;
mod ledger;
mod scaler;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use self::event::Sender;
use self::ledger::Ledger;
use self::scaler::{Scaler, ScalerKind};
use super::app::App;
use crate::config::Events;
use crate::discovery::{Change, NO_SUCH_KIND, Selectors, TRY_AGAIN, connect, follow};

/// Between two looks at what signals say; an HPA looks every 15 s.
const LOOK: Duration = Duration::from_secs(2);
/// Scalers that are followed; a cluster has some hundreds.
const SCALERS_MAX: usize = 5_000;
/// Events of one look; what is left is told after the next.
const EVENTS_PER_LOOK_MAX: usize = 20;
/// After an Event that could not be written: at first, and at most.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The scalers of a cluster by kind, and `namespace/name`.
type Scalers = Arc<Mutex<BTreeMap<(ScalerKind, String), Arc<Scaler>>>>;

/// Runs until `quit` turns true, by the section of the configuration that is in force.
pub(super) async fn run(app: Arc<App>, mut quit: watch::Receiver<bool>) {
    let mut sections = app.events();
    loop {
        let section = sections.borrow_and_update().clone();
        let work = async {
            match section {
                Some(section) => tell(&app, &section).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = work => {}
            changed = sections.changed() => if changed.is_err() { return },
            _ = quit.changed() => return,
        }
    }
}

/// Tells scalers what happens to what they read. Never ends.
async fn tell(app: &Arc<App>, section: &Events) {
    let mut said = String::new();
    let (client, namespaces) = loop {
        match connect(&section.cluster).await {
            Ok(connected) => break connected,
            Err(why) if why != said => {
                warn!(why, "events: the API server cannot be reached");
                said = why;
            }
            Err(_) => {}
        }
        tokio::time::sleep(TRY_AGAIN).await;
    };
    let scalers = Scalers::default();
    // Dropped with this future, and the watches with it.
    let mut watches = JoinSet::new();
    for kind in ScalerKind::ALL {
        for namespace in &namespaces {
            watches.spawn(watch(
                kind,
                namespace.clone(),
                client.clone(),
                Arc::clone(&scalers),
            ));
        }
    }
    let sender = Sender::new(client);
    let mut ledger = Ledger::default();
    let began = Instant::now();
    let (mut pause, mut not_before) = (PAUSE, began);
    loop {
        tokio::time::sleep(LOOK).await;
        // Before that, unknown is no news (S9d).
        if !app.ready() || Instant::now() < not_before {
            continue;
        }
        let all: Vec<Arc<Scaler>> = scalers.lock().values().cloned().collect();
        let seen = state::look(app, all).await;
        let now_s = began.elapsed().as_secs();
        for news in ledger.news(&seen, now_s, EVENTS_PER_LOOK_MAX) {
            match sender.send(&news).await {
                Ok(()) => {
                    ledger.told(&news, now_s);
                    pause = PAUSE;
                }
                Err(why) => {
                    let object = news.scaler.to_string();
                    warn!(why, object, "an Event cannot be written");
                    not_before = Instant::now() + pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                    break;
                }
            }
        }
    }
}

/// Keeps what is known of the scalers of a kind in a namespace (empty: in all) up to date. Never ends.
async fn watch(kind: ScalerKind, namespace: String, client: Client, scalers: Scalers) {
    let resource = ApiResource::from_gvk_with_plural(&kind.gvk(), kind.plural());
    let api: Api<DynamicObject> = match namespace.as_str() {
        "" => Api::all_with(client, &resource),
        namespace => Api::namespaced_with(client, namespace, &resource),
    };
    let said = Mutex::new(String::new());
    let take = |change: Change<Option<Arc<Scaler>>>| {
        match change {
            Change::All(all) => {
                let mut known = scalers.lock();
                let here = |of: &Scaler| namespace.is_empty() || of.namespace == namespace;
                known.retain(|(of, _), scaler| *of != kind || !here(scaler));
                for (key, scaler) in all {
                    put(&mut known, (kind, key), scaler);
                }
                said.lock().clear();
            }
            Change::Put(key, scaler) => put(&mut scalers.lock(), (kind, key), scaler),
            Change::Gone(key) => drop(scalers.lock().remove(&(kind, key))),
            // Of a cluster without KEDA.
            Change::Failed(why) if why == NO_SUCH_KIND => {}
            Change::Failed(why) => {
                let mut said = said.lock();
                if *said != why {
                    warn!(why, "events: {} cannot be listed", kind.plural());
                    *said = why;
                }
            }
        }
        std::future::ready(())
    };
    let keep = |object: DynamicObject| Scaler::read(kind, &object).map(Arc::new);
    follow(api, Selectors::default(), keep, take).await;
}

fn put(
    known: &mut BTreeMap<(ScalerKind, String), Arc<Scaler>>,
    key: (ScalerKind, String),
    scaler: Option<Arc<Scaler>>,
) {
    match scaler {
        None => drop(known.remove(&key)),
        Some(scaler) if known.len() < SCALERS_MAX || known.contains_key(&key) => {
            known.insert(key, scaler);
        }
        Some(scaler) => info!(
            scaler = scaler.to_string(),
            "events: {SCALERS_MAX} scalers are followed, this one is not"
        ),
    }
}
