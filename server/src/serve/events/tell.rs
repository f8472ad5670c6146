//! The task: looks at what signals say, and tells scalers what is news.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use super::event::{NotWritten, Sender};
use super::followed::{self, Scalers};
use super::ledger::Ledger;
use super::said::Said;
use super::scaler::{Scaler, ScalerKind};
use super::state;
use crate::config::Events;
use crate::discovery::{TRY_AGAIN, connect};
use crate::serve::app::App;

/// Between two looks at what signals say; an HPA looks every 15 s.
const LOOK: Duration = Duration::from_secs(2);
/// Events of one look; what is left is told after the next.
const EVENTS_PER_LOOK_MAX: usize = 20;
/// After a look at which the API server did not answer: at first, and at most.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Runs until `quit` turns true, by the section of the configuration that is in force.
pub(in crate::serve) async fn run(app: Arc<App>, mut quit: watch::Receiver<bool>) {
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
            watches.spawn(followed::watch(
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
