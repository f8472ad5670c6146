//! What a snapshot keeps of signals: what was measured before, and the grace (S1b, S6).
//!
//! A signal is known by its expression and its jobs. What is read of a snapshot waits until such a signal is registered,
//! by whomever; results are not kept, for they follow from the history.

use super::grace::{self, Grace, Measured};
use super::registry::SignalRegistry;
use super::signal::Signal;
use crate::labels::Labels;
use crate::limits::SIGNALS_MAX;
use crate::wire::{In, WireError, put_f64, put_i, put_labels, put_list, put_option, put_text};

/// What is remembered of a signal.
#[derive(Default)]
pub(crate) struct Remembered {
    text: String,
    jobs: Vec<String>,
    pub(super) measured: Option<Measured>,
    pub(super) known_since_ms: Option<i64>,
    pub(super) numbers: Vec<(Labels, f64)>,
    pub(super) grace: Option<Grace>,
}

impl SignalRegistry {
    /// Writes what is remembered of every signal, and of those of an earlier snapshot that nobody has registered since.
    pub(crate) fn put_signals(&self, out: &mut Vec<u8>) {
        let registered = self.signals.iter().flatten().map(Remembered::of);
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

/// The same of a signal that is registered.
struct RememberedRef<'a> {
    text: &'a str,
    jobs: &'a [String],
    measured: Option<&'a Measured>,
    known_since_ms: Option<i64>,
    numbers: &'a [(Labels, f64)],
    grace: Option<&'a Grace>,
}

impl RememberedRef<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(out, self.text);
        put_list(out, self.jobs.iter(), |out, job| put_text(out, job));
        put_option(out, self.measured, |out, (time_ms, values)| {
            put_i(out, *time_ms);
            put_values(out, values);
        });
        put_option(out, self.known_since_ms, put_i);
        put_values(out, self.numbers);
        put_option(out, self.grace, grace::put);
    }
}

impl Remembered {
    fn of(signal: &Signal) -> RememberedRef<'_> {
        RememberedRef {
            text: &signal.text,
            jobs: &signal.policy.jobs,
            measured: signal.measured.as_ref(),
            known_since_ms: signal.known_since_ms,
            numbers: &signal.numbers,
            grace: signal.grace.as_ref(),
        }
    }

    fn as_ref(&self) -> RememberedRef<'_> {
        RememberedRef {
            text: &self.text,
            jobs: &self.jobs,
            measured: self.measured.as_ref(),
            known_since_ms: self.known_since_ms,
            numbers: &self.numbers,
            grace: self.grace.as_ref(),
        }
    }

    fn take(bytes: &mut In<'_>) -> Result<Remembered, WireError> {
        Ok(Remembered {
            text: bytes.text()?.to_owned(),
            jobs: bytes.list(|bytes| Ok(bytes.text()?.to_owned()))?,
            measured: bytes.option(|bytes| Ok((bytes.time()?, take_values(bytes)?)))?,
            known_since_ms: bytes.option(In::time)?,
            numbers: take_values(bytes)?,
            grace: bytes.option(grace::take)?,
        })
    }
}

fn put_values(out: &mut Vec<u8>, values: &[(Labels, f64)]) {
    put_list(out, values.iter(), |out, (labels, value)| {
        put_labels(out, labels);
        put_f64(out, *value);
    });
}

fn take_values(bytes: &mut In<'_>) -> Result<Vec<(Labels, f64)>, WireError> {
    bytes.list(|bytes| Ok((bytes.labels()?, bytes.f64()?)))
}
