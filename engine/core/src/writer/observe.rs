//! Passes a committed page on to the signals: what it shows about its target, then the evaluation of the signals that
//! read it.
//!
//! It runs after the store has the page, because signals are evaluated over what readers see. Lock order: the signals
//! before the store, as everywhere.

use super::Writer;
use super::page_commit::Placed;
use crate::exposition::{NewSample, Placement, Staged};
use crate::promql::{EvalOptions, QueryError};
use crate::signal::{
    ChangeKind, Facts, PageFacts, Policy, SignalId, SignalRegistry, refresh, register,
};
use crate::store::{IdSet, SeriesId, Store, TargetId};
use crate::time::Timestamp;

impl Writer {
    /// Registers a signal: a query whose result is kept up to date with every page and judged by `policy` before it is
    /// reported. Error: the query does not parse, or there are too many signals.
    pub fn register(&mut self, query: &str, policy: Policy) -> Result<SignalId, QueryError> {
        register(&self.registry, &self.store, query, policy)
    }

    /// Records what the page shows about its target and evaluates the signals that read the target.
    pub(super) fn observe(
        &mut self,
        staged: &mut Staged<'_>,
        placed: &mut Placed,
        at: Timestamp,
        counter_dropped: bool,
    ) {
        let target = staged.target();
        let mut guard = self.stopwatch.waiting(|| self.registry.write());
        let registry = &mut *guard;
        registry.advance_to(at.ms());
        let any_reports = std::mem::take(&mut self.reports_appeared);
        registry.facts.reports_appeared(any_reports);
        let page_facts = placed.page_facts.take();
        let page_facts = page_facts.filter(|facts| registry.facts.is_complete(facts));
        let is_gathered = page_facts.is_some();
        if !placed.placements.is_empty() || !staged.page().removed.is_empty() {
            series_changed(registry, &self.store.read(), staged, placed, page_facts);
            registry.facts.update_names_seen(target);
        }
        let is_empty = staged.samples().0 == 0 && staged.skipped() == 0;
        registry.facts.note_whether_empty(target, is_empty);
        if let Some(retain_filter) = staged.retain_filter() {
            for name in retain_filter.new_names() {
                registry.facts.metric_skipped(target, name, &registry.names);
            }
            for labels in staged.page().learned.iter().filter(|_| !is_gathered) {
                registry
                    .facts
                    .learn_from_series(target, labels, &registry.names);
            }
            let version = retain_filter.version();
            registry
                .facts
                .requirements
                .page_committed(target, version, at.ms());
            staged.set_reports_start_time(registry.facts.reports_start_time(target));
        }
        let value = |id: SeriesId| f64::from_bits(self.store.read().series.row(id).bits);
        let change = registry
            .facts
            .scrape_succeeded(target, at.ms(), value, counter_dropped);
        if let Some(kind) = change {
            registry.process_changed(target, &kind, at.ms());
            if kind == ChangeKind::Restarted {
                learn_again(registry, &self.store.read(), staged, &placed.placements);
            }
        }
        registry.rescope();
        let others = registry.evaluate(&self.store, target, at);
        drop(guard);
        self.refresh(&others);
    }

    /// Evaluates signals without holding a lock.
    pub(super) fn refresh(&self, signals: &[SignalId]) {
        for &id in signals {
            // Nothing stops it, and it draws on no shared memory: there is no error but the query's own.
            let _ = refresh(&self.registry, &self.store, id, &EvalOptions::default());
        }
    }
}

/// Tells the facts of the series that are gone and of those that are new on the page, without those that stay.
fn series_changed(
    registry: &mut SignalRegistry,
    store: &Store,
    staged: &Staged<'_>,
    placed: &Placed,
    page_facts: Option<PageFacts>,
) {
    let (target, removed) = (staged.target(), &staged.page().removed);
    let (facts, names) = (&mut registry.facts, &registry.names);
    let stay = match removed.is_empty() {
        true => IdSet::default(),
        false => staying(removed, &placed.placements),
    };
    for &id in removed.iter().filter(|id| !stay.contains(**id)) {
        facts.series_disappeared(target, id, store.metric_name(id).unwrap_or(""));
    }
    let Some(page_facts) = page_facts else {
        let samples = staged.new_samples().zip(placed.placements.iter().copied());
        return series_appeared(facts, target, samples, &stay);
    };
    facts.page_appeared(target, page_facts, names);
    let others = placed.others.iter();
    let others = others.filter_map(|&(line, at)| Some((staged.new_sample(line)?, at)));
    series_appeared(facts, target, others, &stay);
}

fn series_appeared<'s>(
    facts: &mut Facts,
    target: TargetId,
    samples: impl Iterator<Item = (NewSample<'s>, Placement)>,
    stay: &IdSet,
) {
    let mut before = None;
    for (sample, at) in samples {
        if let (Some(labels), Placement::Series(id) | Placement::Own(id)) = (sample.labels, at)
            && !stay.contains(id)
        {
            facts.series_appeared(target, id, labels, before);
            before = Some(labels);
        }
    }
}

/// A moved line, or a page compared as if it were the first, removes a series and adds it again.
fn staying(removed: &[SeriesId], placements: &[Placement]) -> IdSet {
    let removed = IdSet::new(removed);
    let stays = |placement: &Placement| match placement {
        Placement::Series(id) if removed.contains(*id) => Some(*id),
        _ => None,
    };
    let stay: Vec<SeriesId> = placements.iter().filter_map(stays).collect();
    IdSet::new(&stay)
}

/// What is constant for a process is learned anew from the page of the one that answers now. Rare, so it may look at
/// every series of the page.
fn learn_again(
    registry: &mut SignalRegistry,
    store: &Store,
    staged: &mut Staged<'_>,
    placements: &[Placement],
) {
    let target = staged.target();
    registry.facts.forget_process(target);
    if let Some(needed) = staged.needed_labels() {
        for labels in &needed {
            registry.facts.learn_again(target, labels);
        }
        return;
    }
    let removed = IdSet::new(&staged.page().removed);
    let new = placements.iter().filter_map(|placements| match placements {
        Placement::Series(id) | Placement::Own(id) => Some(*id),
        Placement::Duplicate | Placement::Conflict | Placement::Dropped => None,
    });
    let stayed = staged.series().filter(|id| !removed.contains(*id));
    for id in stayed.chain(new) {
        let has_label = |label: &str| {
            let name = store.series.symbols.find(label);
            name.is_some_and(|name| store.series.label(id, name).is_some())
        };
        let metric = store.metric_name(id).unwrap_or("");
        if registry.facts.says_what_was_forgotten(metric, has_label) {
            let labels = store.series.labels(id);
            registry.facts.learn_again(target, &labels);
        }
    }
}
