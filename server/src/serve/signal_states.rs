//! Once a second: puts the floors into force that apply now, and logs which signals have become unknown, are told with a
//! configured number, or have recovered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use stillwell_engine::Timestamp;
use stillwell_engine::signal::{State, Transition};
use tokio::sync::watch;
use tracing::{info, warn};

use super::app::App;

/// A calendar is looked at this often; nobody wakes a pool by the second.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until `quit` turns true.
pub(super) async fn run(app: Arc<App>, mut quit: watch::Receiver<bool>) {
    let mut said = HashMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = quit.changed() => return,
        }
        let looking = Arc::clone(&app);
        let newest = tokio::task::spawn_blocking(move || looking.look_at_signals()).await;
        say(newest.unwrap_or_default(), &mut said); // a panic has been logged
    }
}

/// Logs what has changed since it was last said, by the name of the signal.
fn say(newest: Vec<(String, Transition)>, said: &mut HashMap<String, Timestamp>) {
    said.retain(|name, _| newest.iter().any(|(have, _)| have == name));
    for (signal, transition) in newest {
        let before = said.insert(signal.clone(), transition.time);
        if before == Some(transition.time) {
            continue;
        }
        match &transition.state {
            State::Unknown { why } => warn!(signal, why, "a signal is unknown"),
            State::Configured { why } => {
                warn!(
                    signal,
                    why, "a signal is told with a number that was not measured"
                );
            }
            // What starts well is no news.
            State::Value if before.is_some() => info!(signal, "a signal has a value again"),
            State::Value | State::Held { .. } => {}
        }
    }
}
