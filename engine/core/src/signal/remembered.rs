//! What a snapshot keeps of one signal: what was measured before, and the grace (S1b, S6).

use std::collections::BTreeMap;

use super::grace::{self, Grace, Measured};
use crate::labels::Labels;
use crate::wire::{In, WireError, put_f64, put_i, put_labels, put_list, put_option, put_text};

/// Per group, the last result that was a number and its time in milliseconds, for `nan: last`.
pub(super) type LastNumbers = BTreeMap<Labels, (f64, i64)>;

/// What is remembered of a signal.
#[derive(Default)]
pub(crate) struct Remembered {
    pub(super) text: String,
    pub(super) jobs: Vec<String>,
    pub(super) measured: Option<Measured>,
    pub(super) known_since_ms: Option<i64>,
    pub(super) numbers: LastNumbers,
    pub(super) grace: Option<Grace>,
}

/// The same of a signal that is registered.
pub(super) struct RememberedRef<'a> {
    pub(super) text: &'a str,
    pub(super) jobs: &'a [String],
    pub(super) measured: Option<&'a Measured>,
    pub(super) known_since_ms: Option<i64>,
    pub(super) numbers: &'a LastNumbers,
    pub(super) grace: Option<&'a Grace>,
}

impl RememberedRef<'_> {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_text(out, self.text);
        put_list(out, self.jobs.iter(), |out, job| put_text(out, job));
        put_option(out, self.measured, |out, (time_ms, values)| {
            put_i(out, *time_ms);
            put_values(out, values);
        });
        put_option(out, self.known_since_ms, put_i);
        put_list(out, self.numbers.iter(), |out, (labels, (value, at_ms))| {
            put_labels(out, labels);
            put_f64(out, *value);
            put_i(out, *at_ms);
        });
        put_option(out, self.grace, grace::put);
    }
}

impl Remembered {
    pub(super) fn as_ref(&self) -> RememberedRef<'_> {
        RememberedRef {
            text: &self.text,
            jobs: &self.jobs,
            measured: self.measured.as_ref(),
            known_since_ms: self.known_since_ms,
            numbers: &self.numbers,
            grace: self.grace.as_ref(),
        }
    }

    pub(super) fn take(bytes: &mut In<'_>) -> Result<Remembered, WireError> {
        Ok(Remembered {
            text: bytes.text()?.to_owned(),
            jobs: bytes.list(|bytes| Ok(bytes.text()?.to_owned()))?,
            measured: bytes.option(|bytes| Ok((bytes.time()?, take_values(bytes)?)))?,
            known_since_ms: bytes.option(In::time)?,
            numbers: bytes
                .list(|bytes| Ok((bytes.labels()?, (bytes.f64()?, bytes.time()?))))?
                .into_iter()
                .collect(),
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
