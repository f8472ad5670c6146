//! When a stream says `true`: at once, on the commit that crosses the threshold, after 1, 2 and 5 s, and every 15 s while
//! active. Each message costs KEDA a status patch, so there is not one more; and KEDA drops messages that come before it
//! knows the trigger, so there is not one less.

/// What a trigger says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// No number may be told.
    Unknown,
    /// At or below the activation threshold.
    Inactive,
    /// Above it, or latched.
    Active {
        /// Which activation; the next one has another number.
        edge: u64,
    },
    /// There is nothing more to say: the signal is gone.
    Ended,
}

/// After the edge, in milliseconds.
const FIRST_MS: [u64; 4] = [0, 1_000, 2_000, 5_000];
/// After the first ones.
const REPEAT_MS: u64 = 15_000;

/// One stream's schedule.
#[derive(Debug, Default)]
pub struct Pace {
    active: Option<Active>,
    opened: bool,
}

#[derive(Debug)]
struct Active {
    edge: u64,
    began_ms: u64,
    sent: u64,
}

impl Pace {
    /// What to send now, and when to look again if nothing changes. Call it when the stream opens, when the level changes
    /// and when the time has come; `now_ms` is the stream's own.
    pub fn step(&mut self, level: Level, now_ms: u64) -> (Option<bool>, Option<u64>) {
        let opens = !std::mem::replace(&mut self.opened, true);
        let edge = match level {
            Level::Unknown | Level::Ended => return (None, None),
            Level::Inactive => {
                self.active = None;
                return (opens.then_some(false), None);
            }
            Level::Active { edge } => edge,
        };
        if self
            .active
            .as_ref()
            .is_none_or(|active| active.edge != edge)
        {
            self.active = Some(Active {
                edge,
                began_ms: now_ms,
                sent: 0,
            });
        }
        let active = self.active.as_mut().expect("was set above");
        let mut send = None;
        // What was missed, while the state was unknown or the client did not read, is not sent late.
        while active.due_ms() <= now_ms {
            active.sent += 1;
            send = Some(true);
        }
        (send, Some(active.due_ms()))
    }
}

impl Active {
    fn due_ms(&self) -> u64 {
        let first = FIRST_MS.len() as u64;
        let after_ms = match FIRST_MS.get(self.sent as usize) {
            Some(after_ms) => *after_ms,
            None => FIRST_MS[FIRST_MS.len() - 1] + (self.sent - first + 1) * REPEAT_MS,
        };
        self.began_ms + after_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays levels that begin at a time; answers what was sent when.
    fn play(levels: &[(u64, Level)], until_ms: u64) -> Vec<(u64, bool)> {
        let mut pace = Pace::default();
        let mut sent = Vec::new();
        for (index, &(from_ms, level)) in levels.iter().enumerate() {
            let end_ms = levels.get(index + 1).map_or(until_ms, |(next, _)| *next);
            let mut now_ms = from_ms;
            loop {
                let (send, again_ms) = pace.step(level, now_ms);
                sent.extend(send.map(|value| (now_ms, value)));
                match again_ms {
                    Some(again_ms) if again_ms < end_ms => now_ms = again_ms,
                    _ => break,
                }
            }
        }
        sent
    }

    const ON: Level = Level::Active { edge: 1 };
    const ON_AGAIN: Level = Level::Active { edge: 2 };

    #[test]
    fn true_comes_at_the_edge_then_slower_and_never_for_nothing() {
        for (levels, expected) in [
            (&[(0, Level::Inactive)][..], &[(0, false)][..]),
            (&[(0, Level::Unknown)], &[]),
            (&[(0, Level::Unknown), (50, Level::Inactive)], &[]),
            (
                &[(0, ON)],
                &[
                    (0, true),
                    (1_000, true),
                    (2_000, true),
                    (5_000, true),
                    (20_000, true),
                    (35_000, true),
                ],
            ),
            (
                &[
                    (0, Level::Inactive),
                    (100, ON),
                    (1_500, Level::Inactive),
                    (1_600, ON_AGAIN),
                ],
                &[
                    (0, false),
                    (100, true),
                    (1_100, true),
                    (1_600, true),
                    (2_600, true),
                    (3_600, true),
                    (6_600, true),
                    (21_600, true),
                    (36_600, true),
                ],
            ),
            // Silent while unknown; what was due then is told once afterwards.
            (
                &[
                    (0, ON),
                    (500, Level::Unknown),
                    (4_000, ON),
                    (4_100, Level::Inactive),
                ],
                &[(0, true), (4_000, true)],
            ),
            (
                &[
                    (0, ON),
                    (500, Level::Unknown),
                    (700, ON),
                    (900, Level::Ended),
                ],
                &[(0, true)],
            ),
        ] {
            assert_eq!(play(levels, 40_000), expected, "{levels:?}");
        }
    }
}
