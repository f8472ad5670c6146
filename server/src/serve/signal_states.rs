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
/// Of one signal that stays unknown another reason is said after so many rounds.
const SAID_AGAIN_ROUNDS: u32 = 10;

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

/// What was said of a signal last.
struct Said {
    /// Of the change.
    time: Timestamp,
    /// Of the reason.
    kind: String,
    /// Rounds since.
    rounds: u32,
}

/// Logs what has changed since it was last said, by the name of the signal: its state, or why it is unknown.
fn say(newest: Vec<(String, Transition)>, said: &mut HashMap<String, Said>) {
    said.retain(|name, _| newest.iter().any(|(have, _)| have == name));
    for (signal, transition) in newest {
        let kind = match &transition.state {
            State::Unknown { why } => kind_of(why),
            _ => String::new(),
        };
        let is_first = !said.contains_key(&signal);
        let known = said.entry(signal.clone()).or_insert_with(|| Said {
            time: transition.time,
            kind: String::new(),
            rounds: 0,
        });
        known.rounds = known.rounds.saturating_add(1);
        let is_other = known.kind != kind && known.rounds > SAID_AGAIN_ROUNDS;
        if !is_first && known.time == transition.time && !is_other {
            continue;
        }
        *known = Said {
            time: transition.time,
            kind,
            rounds: 0,
        };
        match &transition.state {
            State::Unknown { why } => warn!(signal, why, "a signal is unknown"),
            State::Configured { why } => {
                warn!(
                    signal,
                    why, "a signal is told with a number that was not measured"
                );
            }
            // What starts well is no news.
            State::Value if !is_first => info!(signal, "a signal has a value again"),
            State::Value | State::Held { .. } => {}
        }
    }
}

/// A reason without what differs from one moment to the next: ages, counts, names.
fn kind_of(why: &str) -> String {
    let plain = |word: &&str| {
        word.chars()
            .all(|c| c.is_alphabetic() || ",;:().'".contains(c))
    };
    let words: Vec<&str> = why.split_whitespace().filter(plain).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_another_kind_is_said_again_after_some_rounds() {
        let unknown = |why: &str| {
            let state = State::Unknown {
                why: why.to_owned(),
            };
            let transition = Transition {
                time: Timestamp::from_ms(1),
                state,
                value: None,
            };
            vec![("s".to_owned(), transition)]
        };
        let mut said = HashMap::new();
        say(unknown("10.0.0.7:9090 was never good"), &mut said);
        assert_eq!(
            (said["s"].rounds, said["s"].kind.as_str()),
            (0, "was never good")
        );
        say(unknown("no series ever had a=\"b\""), &mut said);
        assert_eq!(said["s"].rounds, 1, "not so soon");
        for _ in 0..SAID_AGAIN_ROUNDS {
            say(unknown("no series ever had a=\"b\""), &mut said);
        }
        assert_eq!(
            (said["s"].rounds, said["s"].kind.as_str()),
            (0, "no series ever had")
        );
        for _ in 0..2 * SAID_AGAIN_ROUNDS {
            say(unknown("no series ever had a=\"c7\""), &mut said);
        }
        assert_eq!(said["s"].rounds, 2 * SAID_AGAIN_ROUNDS, "the same kind");
    }
}
