//! Signals for people: those of the configuration, and what `/guarded`, rules and the custom metrics API ask about.

use std::collections::HashSet;

use stillwell_adapters::host::{Asker, Description, Outline};
use stillwell_engine::Timestamp;
use stillwell_engine::signal::{self, Explanation, Reading, SignalId, State};

use super::ConfiguredSignals;
use super::judge::refuse_several;

/// A signal and who reads it.
struct Entry {
    name: String,
    asker: Option<Asker>,
    /// `None` where no query could be made for whoever asked.
    id: Option<SignalId>,
    last_read: Option<(Timestamp, String)>,
    /// Objects of which nothing could be told.
    missing: Vec<(String, String)>,
    /// Whoever asks takes one element: several are told as an error.
    is_single: bool,
}

/// Every signal in one line.
pub(super) fn outlines(signals: &ConfiguredSignals, now: Timestamp) -> Vec<Outline> {
    let entries = configured(signals, None).chain(asked(signals));
    entries
        .filter_map(|entry| {
            let about = match entry.id {
                Some(id) => signals.reader.outline(id)?,
                None => no_query(),
            };
            Some(Outline {
                reading: reading(signals, &entry, now)?,
                about,
                name: entry.name,
                asker: entry.asker,
                last_read: entry.last_read,
                missing: entry.missing,
            })
        })
        .collect()
}

/// Every signal, or those that a name stands for, with all that explains them.
pub(super) fn describe(
    signals: &ConfiguredSignals,
    only: Option<&str>,
    now: Timestamp,
) -> Vec<Description> {
    // A query is as it is written; names are looked for in any case.
    let fits = |entry: &Entry| match only {
        Some(only) => {
            entry.name == only || entry.is_named() && entry.name.eq_ignore_ascii_case(only)
        }
        None => true,
    };
    let entries = configured(signals, only).chain(asked(signals).filter(fits));
    entries
        .filter_map(|entry| {
            let reading = reading(signals, &entry, now)?;
            let (explanation, transitions) = match entry.id {
                Some(id) => (
                    signals.reader.explain(id, now)?,
                    signals.reader.transitions(id),
                ),
                None => (nothing_explained(), Vec::new()),
            };
            Some(Description {
                reading,
                explanation,
                transitions,
                name: entry.name,
                asker: entry.asker,
                last_read: entry.last_read,
                missing: entry.missing,
            })
        })
        .collect()
}

impl Entry {
    fn is_named(&self) -> bool {
        self.asker.is_some()
    }
}

fn reading(signals: &ConfiguredSignals, entry: &Entry, now: Timestamp) -> Option<Reading> {
    let Some(id) = entry.id else {
        let told = entry.last_read.as_ref().map(|(_, told)| told.as_str());
        let why = told.unwrap_or_default().trim_start_matches("unknown: ");
        return Some(Reading {
            state: State::Unknown {
                why: why.to_owned(),
            },
            elements: Vec::new(),
        });
    };
    let mut reading = signals.reader.signal(id, now, &[])?;
    if entry.is_single {
        refuse_several(&mut reading);
    }
    Some(reading)
}

fn no_query() -> signal::Outline {
    signal::Outline {
        query: String::new(),
        kind: "no query could be made",
        plan: "none",
        plan_reason: String::new(),
        warnings: Vec::new(),
    }
}

fn nothing_explained() -> Explanation {
    let signal::Outline {
        query,
        kind,
        plan,
        plan_reason,
        warnings,
    } = no_query();
    Explanation {
        query,
        kind,
        plan,
        plan_reason,
        evaluated: None,
        measured: Vec::new(),
        warnings,
        targets: Vec::new(),
        series: Vec::new(),
        series_count: 0,
    }
}

fn configured<'w>(
    signals: &'w ConfiguredSignals,
    only: Option<&'w str>,
) -> impl Iterator<Item = Entry> + 'w {
    let fits = move |name: &str| only.is_none_or(|only| only.eq_ignore_ascii_case(name));
    let named = signals
        .signals
        .iter()
        .filter(move |(spec, _)| fits(&spec.name));
    named.map(|(spec, id)| Entry {
        name: spec.name.clone(),
        asker: None,
        id: Some(*id),
        last_read: signals.last_reads.lock().get(id).cloned(),
        missing: Vec::new(),
        is_single: false,
    })
}

/// What is asked about: metrics of rules once for each that asks, then queries that have no name.
fn asked(signals: &ConfiguredSignals) -> impl Iterator<Item = Entry> {
    let objects = signals.objects.asked().entries();
    let missing_of = |id: SignalId| {
        let entry = objects.iter().find(|(entry, _)| entry.id == id);
        entry.map_or(Vec::new(), |(_, missing)| missing.clone())
    };
    let of_askers = signals.askers.list().into_iter().map(|(asker, one)| Entry {
        name: asker.metric.clone(),
        id: one.signal,
        last_read: Some((one.last, format!("{}: {}", asker.place(), one.told))),
        missing: one.signal.map_or(Vec::new(), missing_of),
        asker: Some(asker),
        is_single: false,
    });
    let mut entries: Vec<Entry> = of_askers.collect();
    let told: HashSet<SignalId> = entries.iter().filter_map(|entry| entry.id).collect();
    let queries = [
        (&signals.asked, "asked for by /guarded", true),
        (&signals.asked_by_rules, "asked for through a rule", false),
    ];
    let unnamed = |query: String, id, last_read, missing, is_single| Entry {
        name: query,
        asker: None,
        id: Some(id),
        last_read: Some(last_read),
        missing,
        is_single,
    };
    for (asked, by, is_single) in queries {
        entries.extend(asked.entries().into_iter().map(|entry| {
            let last_read = (entry.last, by.to_owned());
            unnamed(entry.query, entry.id, last_read, Vec::new(), is_single)
        }));
    }
    entries.extend(objects.into_iter().map(|(entry, missing)| {
        let by = match &entry.object_label {
            Some(label) => format!("asked for each {label} through the custom metrics API"),
            None => "asked for an object through the custom metrics API".to_owned(),
        };
        unnamed(entry.query, entry.id, (entry.last, by), missing, false)
    }));
    entries.retain(|entry| entry.is_named() || entry.id.is_none_or(|id| !told.contains(&id)));
    entries.into_iter()
}
