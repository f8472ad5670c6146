//! The signals' part of a snapshot.
//!
//! A signal is known by its expression and its jobs. What is read of a snapshot waits until such a signal is registered,
//! by whomever; results are not kept, for they follow from the history.

use super::registry::SignalRegistry;
use super::remembered::{Remembered, RememberedRef};
use super::signal::Signal;
use crate::limits::SIGNALS_MAX;
use crate::wire::{In, WireError, put_list};

impl SignalRegistry {
    /// Writes what is remembered of every signal, and of those of an earlier snapshot that nobody has registered since.
    pub(crate) fn put_signals(&self, out: &mut Vec<u8>) {
        let registered = self.signals.iter().flatten().map(remembered);
        let others = self.remembered.iter().take(SIGNALS_MAX);
        let all: Vec<RememberedRef<'_>> =
            registered.chain(others.map(Remembered::as_ref)).collect();
        put_list(out, all.iter(), |out, signal| signal.put(out));
    }

    /// Reads them.
    pub(crate) fn take_signals(&mut self, bytes: &mut In<'_>) -> Result<(), WireError> {
        self.remembered = bytes.list(Remembered::take)?;
        Ok(())
    }

    /// Takes what is remembered of a signal that is registered now.
    pub(super) fn recall(&mut self, text: &str, jobs: &[String]) -> Remembered {
        let same = |known: &Remembered| known.text == text && known.jobs == jobs;
        let at = self.remembered.iter().position(same);
        at.map(|at| self.remembered.swap_remove(at))
            .unwrap_or_default()
    }
}

fn remembered(signal: &Signal) -> RememberedRef<'_> {
    RememberedRef {
        text: &signal.text,
        jobs: &signal.policy.jobs,
        measured: signal.measured.as_ref(),
        known_since_ms: signal.known_since_ms,
        numbers: &signal.numbers,
        grace: signal.grace.as_ref(),
    }
}
