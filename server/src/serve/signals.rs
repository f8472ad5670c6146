//! Signals by name, and queries that somebody asks about: what the faces read, on the engine's standing signals.

use std::sync::Arc;

use parking_lot::Mutex;
use stillwell_adapters::host::{Description, Element, Reading, Signals};
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::QueryError;
use stillwell_engine::signal::{Policy, SignalId, State};
use stillwell_engine::{Engine, Limits, Reader, Timestamp};

use crate::config::{Problem, SignalSpec};

/// A query that nobody has asked about for this long is no longer kept up to date.
const ASKED_EXPIRES_MS: i64 = 5 * 60_000;
/// Queries asked about at once; the one asked about longest ago makes room.
const ASKED_MAX: usize = 500;

/// The signals of one configuration, and the queries asked about.
pub(super) struct Book {
    reader: Reader,
    signals: Vec<Named>,
    /// Carried from one configuration to the next.
    asked: Arc<Mutex<Vec<Asked>>>,
}

struct Named {
    spec: SignalSpec,
    id: SignalId,
    last_read: Mutex<Option<(Timestamp, String)>>,
}

struct Asked {
    query: String,
    id: SignalId,
    last: Timestamp,
}

/// Checks every expression of the configuration: whether the engine would keep it, asked of one that is thrown away.
pub fn check(specs: &[SignalSpec]) -> Result<(), Vec<Problem>> {
    let (_, reader) = Engine::new(Limits::default());
    let problems: Vec<Problem> = specs
        .iter()
        .filter_map(|spec| {
            let error = reader.watch(&spec.expr, spec.policy.clone()).err()?;
            Some(Problem::new(
                spec.line,
                format!("signal {:?}: expr: {error}", spec.name),
            ))
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

impl Book {
    /// Signals that pass [`check`]. Those that `before` has with the same query and jobs go on with what they have
    /// seen, under the new policy (S1b); the others of `before` end.
    pub(super) fn new(
        specs: &[SignalSpec],
        reader: Reader,
        before: Option<&Book>,
    ) -> Result<Book, String> {
        let mut left: Vec<&Named> = before.map_or(Vec::new(), |book| book.signals.iter().collect());
        let mut signals = Vec::new();
        for spec in specs {
            let same = |named: &&Named| {
                named.spec.expr == spec.expr && named.spec.policy.jobs == spec.policy.jobs
            };
            let id = match left.iter().position(same) {
                Some(at) => {
                    let id = left.swap_remove(at).id;
                    reader.set_policy(id, spec.policy.clone());
                    id
                }
                None => reader
                    .watch(&spec.expr, spec.policy.clone())
                    .map_err(|error| format!("signal {:?}: {error}", spec.name))?,
            };
            signals.push(Named {
                spec: spec.clone(),
                id,
                last_read: Mutex::new(None),
            });
        }
        for named in left {
            reader.unwatch(named.id);
        }
        let asked = before.map_or_else(Arc::default, |book| Arc::clone(&book.asked));
        Ok(Book {
            reader,
            signals,
            asked,
        })
    }

    fn find(&self, name: &str) -> Option<&Named> {
        self.signals
            .iter()
            .find(|named| named.spec.name.eq_ignore_ascii_case(name))
    }

    /// The standing signal of a query that is asked about.
    fn ask(&self, query: &str, now: Timestamp) -> Result<SignalId, QueryError> {
        let mut asked = self.asked.lock();
        asked.retain(|entry| {
            let keep = now.since_ms(entry.last) < ASKED_EXPIRES_MS;
            if !keep {
                self.reader.unwatch(entry.id);
            }
            keep
        });
        if let Some(entry) = asked.iter_mut().find(|entry| entry.query == query) {
            entry.last = now;
            return Ok(entry.id);
        }
        if asked.len() >= ASKED_MAX
            && let Some(oldest) = (0..asked.len()).min_by_key(|&at| asked[at].last)
        {
            self.reader.unwatch(asked.swap_remove(oldest).id);
        }
        let id = self.reader.watch(query, Policy::default())?;
        asked.push(Asked {
            query: query.to_owned(),
            id,
            last: now,
        });
        Ok(id)
    }
}

impl Signals for Book {
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .signals
            .iter()
            .map(|named| named.spec.name.clone())
            .collect();
        names.sort();
        names
    }

    fn read(
        &self,
        name: &str,
        namespace: &str,
        pins: &[(String, String)],
        now: Timestamp,
    ) -> Option<Reading> {
        let named = self.find(name)?;
        let allowed = &named.spec.namespaces;
        if !allowed.is_empty() && !allowed.iter().any(|one| one == namespace) {
            return Some(Reading::Forbidden);
        }
        let reading = told(self.reader.signal(named.id, now, pins)?, &named.spec.labels);
        *named.last_read.lock() =
            Some((now, format!("namespace {namespace}: {}", summary(&reading))));
        Some(reading)
    }

    fn guarded(&self, query: &str, now: Timestamp) -> Result<Reading, QueryError> {
        let id = self.ask(query, now)?;
        self.reader
            .signal(id, now, &[])
            .map(|reading| told(reading, &Labels::empty()))
            .ok_or_else(|| QueryError::Internal("the query's signal is gone".to_owned()))
    }

    fn describe(&self, only: Option<&str>, now: Timestamp) -> Vec<Description> {
        let named = self
            .signals
            .iter()
            .filter(|named| only.is_none_or(|name| named.spec.name.eq_ignore_ascii_case(name)))
            .map(|named| {
                (
                    named.spec.name.clone(),
                    named.id,
                    named.last_read.lock().clone(),
                )
            });
        let asked: Vec<(String, SignalId, Option<(Timestamp, String)>)> = match only {
            Some(_) => Vec::new(),
            None => {
                let asked = self.asked.lock();
                let entry = |entry: &Asked| {
                    let read = (entry.last, "asked for by /guarded".to_owned());
                    (entry.query.clone(), entry.id, Some(read))
                };
                asked.iter().map(entry).collect()
            }
        };
        named
            .chain(asked)
            .filter_map(|(name, id, last_read)| {
                Some(Description {
                    name,
                    reading: self.reader.signal(id, now, &[])?,
                    explanation: self.reader.explain(id, now)?,
                    transitions: self.reader.transitions(id),
                    last_read,
                })
            })
            .collect()
    }
}

/// What the wire carries of a reading: numbers, or why there are none (S9a, S9b).
fn told(reading: stillwell_engine::signal::Reading, labels: &Labels) -> Reading {
    if let State::Unknown { why } = reading.state {
        return Reading::Unknown(why);
    }
    let element = |element: stillwell_engine::signal::Element| {
        let mut builder = element.labels.to_builder();
        for (name, value) in labels.iter() {
            builder.set(name, value);
        }
        Element {
            labels: builder.build(),
            value: element.value,
            at: element.time,
        }
    };
    Reading::Values(reading.elements.into_iter().map(element).collect())
}

fn summary(reading: &Reading) -> String {
    match reading {
        Reading::Forbidden => "forbidden".to_owned(),
        Reading::Unknown(why) => format!("unknown: {why}"),
        Reading::Values(elements) => {
            let values: Vec<String> = elements
                .iter()
                .take(3)
                .map(|e| e.value.to_string())
                .collect();
            let more = if elements.len() > 3 { ", ..." } else { "" };
            format!("{}{more}", values.join(", "))
        }
    }
}
