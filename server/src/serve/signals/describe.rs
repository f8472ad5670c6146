//! Signals for people: those of the configuration, and what `/guarded`, rules and the custom metrics API ask about.

use stillwell_adapters::host::{Description, Outline};
use stillwell_engine::Timestamp;
use stillwell_engine::signal::{Reading, SignalId};

use super::Watched;
use super::judge::refuse_several;

/// A signal and who reads it.
struct Entry {
    name: String,
    id: SignalId,
    last_read: Option<(Timestamp, String)>,
    /// Objects of which nothing could be told.
    missing: Vec<(String, String)>,
    /// Whoever asks takes one element: several are told as an error.
    is_single: bool,
}

/// Every signal in one line.
pub(super) fn outlines(watched: &Watched, now: Timestamp) -> Vec<Outline> {
    let entries = configured(watched, None).chain(asked(watched));
    entries
        .filter_map(|entry| {
            Some(Outline {
                reading: reading(watched, &entry, now)?,
                about: watched.reader.outline(entry.id)?,
                name: entry.name,
                last_read: entry.last_read,
                missing: entry.missing,
            })
        })
        .collect()
}

/// Every signal, or one of the configuration's, with all that explains it.
pub(super) fn describe(watched: &Watched, only: Option<&str>, now: Timestamp) -> Vec<Description> {
    let others = only.is_none().then(|| asked(watched));
    let entries = configured(watched, only).chain(others.into_iter().flatten());
    entries
        .filter_map(|entry| {
            Some(Description {
                reading: reading(watched, &entry, now)?,
                explanation: watched.reader.explain(entry.id, now)?,
                transitions: watched.reader.transitions(entry.id),
                name: entry.name,
                last_read: entry.last_read,
                missing: entry.missing,
            })
        })
        .collect()
}

fn reading(watched: &Watched, entry: &Entry, now: Timestamp) -> Option<Reading> {
    let mut reading = watched.reader.signal(entry.id, now, &[])?;
    if entry.is_single {
        refuse_several(&mut reading);
    }
    Some(reading)
}

fn configured<'w>(watched: &'w Watched, only: Option<&'w str>) -> impl Iterator<Item = Entry> + 'w {
    let fits = move |name: &str| only.is_none_or(|only| only.eq_ignore_ascii_case(name));
    let named = watched
        .signals
        .iter()
        .filter(move |(spec, _)| fits(&spec.name));
    named.map(|(spec, id)| Entry {
        name: spec.name.clone(),
        id: *id,
        last_read: watched.last_reads.lock().get(id).cloned(),
        missing: Vec::new(),
        is_single: false,
    })
}

fn asked(watched: &Watched) -> impl Iterator<Item = Entry> {
    let queries = [
        (&watched.asked, "asked for by /guarded", true),
        (&watched.asked_by_rules, "asked for through a rule", false),
    ];
    let queries = queries.into_iter().flat_map(|(asked, by, is_single)| {
        asked.entries().into_iter().map(move |entry| Entry {
            name: entry.query,
            id: entry.id,
            last_read: Some((entry.last, by.to_owned())),
            missing: Vec::new(),
            is_single,
        })
    });
    let objects = watched.objects.asked().entries().into_iter();
    queries.chain(objects.map(|(entry, missing)| {
        let by = match &entry.object_label {
            Some(label) => format!("asked for each {label} through the custom metrics API"),
            None => "asked for an object through the custom metrics API".to_owned(),
        };
        Entry {
            name: entry.query,
            id: entry.id,
            last_read: Some((entry.last, by)),
            missing,
            is_single: false,
        }
    }))
}
