//! What a page tells of the process that gives it, where that is another one than before (S6a).
//!
//! All series of the page are looked at. With a page that is committed in steps that is done before its last one, in batches that
//! hold the store as a reader does; otherwise with its commit. Whether a counter has counted is always found out in batches,
//! before anybody waits for the signals.

use parking_lot::RwLock;

use super::progress::Progress;
use crate::exposition::{Placement, Staged};
use crate::labels::Labels;
use crate::limits::READ_BATCH_SERIES;
use crate::signal::{Learns, Names, ProcessFacts, ProcessGatherer, SignalRegistry};
use crate::store::{IdSet, SeriesId, Store};

/// Gathers what the page tells of its process, if that seems to be another one than before. Every line has a place.
pub(super) fn gather(
    registry: &RwLock<SignalRegistry>,
    store: &RwLock<Store>,
    staged: &mut Staged<'_>,
    progress: &Progress,
) -> Option<ProcessFacts> {
    let locked = registry.read();
    let value = |id: SeriesId| f64::from_bits(store.read().series.row(id).bits);
    let counters = progress.counters;
    let has_left = |id: SeriesId| progress.has_left(id);
    let facts = &locked.facts;
    if !facts.will_learn(progress.target, value, has_left, counters) {
        return None;
    }
    let replaceable = facts.replaceable(progress.target).cloned();
    let mut gatherer = ProcessGatherer::new(facts.asked(), replaceable);
    drop(locked);
    if let Some(needed) = staged.needed_labels() {
        staged
            .passed_over()
            .for_each(|metric| gatherer.pass_over(metric));
        for labels in &needed {
            if let Some(metric) = labels.metric_name() {
                gatherer.pass_over(metric);
                gatherer.look_at(metric, labels.iter(), || labels.clone());
            }
        }
        return Some(gatherer.finish());
    }
    let removed = IdSet::new(&staged.page().removed);
    let mut series = series_of(staged, &removed, &progress.placements).peekable();
    while series.peek().is_some() {
        let store = store.read();
        for id in series.by_ref().take(READ_BATCH_SERIES) {
            let symbols = &store.series.symbols;
            let pairs = store.series.pairs(id);
            let pairs = pairs.map(|(name, value)| (symbols.text(name), symbols.text(value)));
            let metric = store.metric_name(id).unwrap_or("");
            gatherer.look_at(metric, pairs, || store.series.labels(id));
        }
    }
    drop(series);
    Some(gatherer.finish())
}

/// Learns anew what a page tells of its target, from all series: the page of another process, or one that is read otherwise.
/// Whether that was gathered before, with the metrics that are passed over.
pub(super) fn learn_again(
    registry: &mut SignalRegistry,
    store: &RwLock<Store>,
    staged: &mut Staged<'_>,
    progress: &mut Progress,
    learns: Learns,
) -> bool {
    let target = progress.target;
    let replaces = registry.facts.replaceable(target).is_some();
    registry.facts.forget(target, learns);
    let gathered = progress.process_facts.take();
    if gathered.is_some_and(|page| registry.facts.learn_process(target, &page)) {
        return true;
    }
    if let Some(needed) = staged.needed_labels() {
        for labels in &needed {
            registry.facts.learn_again(target, labels);
            if replaces {
                registry.facts.learn_replaced(target, labels);
            }
        }
        return false;
    }
    let store = store.read();
    let removed = IdSet::new(&staged.page().removed);
    for id in series_of(staged, &removed, &progress.placements) {
        let has_label = |label: &str| {
            let name = store.series.symbols.find(label);
            name.is_some_and(|name| store.series.label(id, name).is_some())
        };
        let metric = store.metric_name(id).unwrap_or("");
        let says = registry.facts.says_what_was_forgotten(metric, has_label);
        if says || replaces {
            let labels = store.series.labels(id);
            if says {
                registry.facts.learn_again(target, &labels);
            }
            if replaces {
                registry.facts.learn_replaced(target, &labels);
            }
        }
    }
    false
}

/// The process that answers now shows the metrics of its page of which no line is stored. `is_told`: they have been learned from
/// what was gathered.
pub(super) fn show_passed_over(
    registry: &mut SignalRegistry,
    staged: &mut Staged<'_>,
    is_told: bool,
) {
    if is_told {
        return;
    }
    let target = staged.target();
    let needed = match staged.is_read_again() {
        true => None, // and learned
        false => staged.needed_labels(),
    };
    let looked_at = needed.iter().flatten().filter_map(Labels::metric_name);
    for metric in looked_at.chain(staged.passed_over()) {
        registry.facts.note_shown(target, metric);
    }
}

/// Finds out whether a counter of the page is above 0, where that may tell whether its process is the one of the page before.
/// Every line has a place.
pub(super) fn look_at_counters(
    store: &RwLock<Store>,
    staged: &Staged<'_>,
    progress: &mut Progress,
) {
    if progress.is_back && !progress.counters.rose && progress.has_counted.is_none() {
        progress.has_counted = Some(has_counted(store, staged, progress));
    }
}

fn has_counted(store: &RwLock<Store>, staged: &Staged<'_>, progress: &Progress) -> bool {
    let removed = IdSet::new(&staged.page().removed);
    let mut series = series_of(staged, &removed, &progress.placements).peekable();
    while series.peek().is_some() {
        let store = store.read();
        let counted = |id: SeriesId| {
            let value = f64::from_bits(store.series.row(id).bits);
            value > 0.0 && is_counter(&store, id)
        };
        if series.by_ref().take(READ_BATCH_SERIES).any(counted) {
            return true;
        }
    }
    false
}

/// Whether a series is a counter: one that falls tells of another process.
pub(super) fn is_counter(store: &Store, id: SeriesId) -> bool {
    store.metric_name(id).is_some_and(Names::is_counter) && !store.is_gauge(id)
}

/// The series of the page: those that stayed and those that are new.
fn series_of<'s>(
    staged: &'s Staged<'_>,
    removed: &'s IdSet,
    placements: &'s [Placement],
) -> impl Iterator<Item = SeriesId> + 's {
    let new = placements.iter().filter_map(|placement| match placement {
        Placement::Series(id) | Placement::Own(id) => Some(*id),
        Placement::Duplicate { .. } | Placement::Conflict | Placement::Dropped => None,
    });
    let stayed = staged.series().filter(|id| !removed.contains(*id));
    stayed.chain(new)
}
