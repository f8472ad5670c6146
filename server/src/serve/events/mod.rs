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

use self::event::{NotWritten, Sender};
use self::ledger::Ledger;
use self::scaler::{Scaler, ScalerKind};
use super::app::App;
use crate::cluster::list_watch::{Change, NO_SUCH_KIND, Selectors, follow};
use crate::config::Events;
use crate::discovery::{TRY_AGAIN, connect};

/// Between two looks at what signals say; an HPA looks every 15 s.
const LOOK: Duration = Duration::from_secs(2);
/// Scalers that are followed; a cluster has some hundreds.
const SCALERS_MAX: usize = 5_000;
/// Events of one look; what is left is told after the next.
const EVENTS_PER_LOOK_MAX: usize = 20;
/// After a look at which the API server did not answer: at first, and at most.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What is logged of many objects is logged once in such a time.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// By kind, and `namespace/name`.
type Key = (ScalerKind, String);
type Scalers = Arc<Mutex<Known>>;

/// The scalers of a cluster.
#[derive(Default)]
struct Known {
    scalers: BTreeMap<Key, Arc<Scaler>>,
    left_out: Said,
}

/// When something was logged last.
#[derive(Default)]
struct Said(Option<Instant>);

impl Said {
    /// Whether it is to be logged now.
    fn again(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|at| now.duration_since(at) >= SAY_AGAIN);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

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
    let (mut ledger, mut said) = (Ledger::default(), Said::default());
    let began = Instant::now();
    let (mut pause, mut not_before) = (PAUSE, began);
    loop {
        tokio::time::sleep(LOOK).await;
        // Before that, unknown is no news (S9d).
        if !app.ready() || Instant::now() < not_before {
            continue;
        }
        let all: Vec<Arc<Scaler>> = scalers.lock().scalers.values().cloned().collect();
        let seen = state::look(app, all).await;
        let now_s = began.elapsed().as_secs();
        for news in ledger.news(&seen, now_s, EVENTS_PER_LOOK_MAX) {
            match sender.send(&news).await {
                Ok(()) => {
                    ledger.told(&news, now_s);
                    pause = PAUSE;
                }
                Err(NotWritten { why, is_away }) => {
                    if said.again(Instant::now()) {
                        let object = news.scaler.to_string();
                        warn!(
                            why,
                            object,
                            "an Event cannot be written; others that cannot are not logged for a minute"
                        );
                    }
                    ledger.failed(&news, now_s);
                    if is_away {
                        not_before = Instant::now() + pause;
                        pause = (pause * 2).min(PAUSE_MAX);
                        break;
                    }
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
            // What cannot be seen gets no Events.
            Change::All(all) | Change::AllBut { all, .. } => {
                let mut known = scalers.lock();
                let here = |of: &Scaler| namespace.is_empty() || of.namespace == namespace;
                known
                    .scalers
                    .retain(|(of, _), scaler| *of != kind || !here(scaler));
                for (key, scaler) in all {
                    known.put((kind, key), scaler);
                }
                said.lock().clear();
            }
            Change::Put(key, scaler) => scalers.lock().put((kind, key), scaler),
            Change::Gone(key) => drop(scalers.lock().scalers.remove(&(kind, key))),
            // Of a cluster without KEDA.
            Change::Failed(why) if why == NO_SUCH_KIND => {}
            Change::Failed(why) | Change::Beyond(why) => {
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

impl Known {
    fn put(&mut self, key: Key, scaler: Option<Arc<Scaler>>) {
        let Some(scaler) = scaler else {
            return drop(self.scalers.remove(&key));
        };
        if self.scalers.len() < SCALERS_MAX || self.scalers.contains_key(&key) {
            self.scalers.insert(key, scaler);
        } else if self.left_out.again(Instant::now()) {
            // Each status that is written puts it again.
            let scaler = scaler.to_string();
            info!(
                scaler,
                "events: {SCALERS_MAX} scalers are followed, this one and maybe others are not"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalers_beyond_the_limit_are_left_out_and_told_once_a_minute() {
        let scaler = |at: usize| {
            Arc::new(Scaler {
                kind: ScalerKind::Hpa,
                namespace: "n".to_owned(),
                name: at.to_string(),
                uid: at.to_string(),
                reads: Vec::new(),
            })
        };
        let mut known = Known::default();
        for at in 0..SCALERS_MAX + 10 {
            let key = (ScalerKind::Hpa, at.to_string());
            known.put(key, Some(scaler(at)));
            assert_eq!(known.left_out.0.is_some(), at >= SCALERS_MAX, "{at}");
        }
        assert_eq!(known.scalers.len(), SCALERS_MAX);
        let key = |at: usize| (ScalerKind::Hpa, at.to_string());
        known.put(key(7), Some(scaler(8)));
        assert_eq!(
            known.scalers[&key(7)].name,
            "8",
            "one that is known changes"
        );
        known.put(key(7), None);
        known.put(key(SCALERS_MAX), Some(scaler(0)));
        assert!(
            known.scalers.contains_key(&key(SCALERS_MAX)),
            "there is room"
        );

        let (mut said, now) = (Said::default(), Instant::now());
        let at = |s| now + Duration::from_secs(s);
        let times: Vec<bool> = [0, 1, 59, 60, 61, 120].map(|s| said.again(at(s))).to_vec();
        assert_eq!(times, [true, false, false, true, false, true]);
    }
}
