//! The writer's part of a snapshot: its targets, and how they are found again.
//!
//! A restored target waits until [`Writer::add_target`] is called with its labels: then it goes on under its id, with the
//! history of its series and what was known of its process. One that is not called for within `FIRST_SCRAPE_WAIT_MS_MAX`
//! has left discovery while this program was not running (S6a); of a job whose discovery has given no list one that is not called
//! for when it has, or within `UNLISTED_KEPT_MS` (S6f).

use std::sync::Arc;

use parking_lot::RwLock;

use super::target::Target;
use super::{Engine, Writer};
use crate::exposition::Stage;
use crate::labels::Labels;
use crate::limits::{FIRST_SCRAPE_WAIT_MS_MAX, Limits, UNLISTED_KEPT_MS};
use crate::reader::Reader;
use crate::scrape::TargetSpec;
use crate::signal::{Facts, RestoredTarget, SignalRegistry};
use crate::store::{ClockId, SeriesId, Store, TargetId};
use crate::time::Timestamp;
use crate::wire::{In, WireError, put_bool, put_i, put_list, put_option};

/// Targets of an earlier run that discovery has not found yet.
#[derive(Default)]
pub(super) struct Unclaimed {
    targets: Vec<(TargetId, Labels, Vec<SeriesId>)>,
    /// When the snapshot was read.
    since: Option<Timestamp>,
    /// Until when they are waited for, once maintenance has begun.
    until_ms: Option<i64>,
    /// Those that have left.
    gone: Vec<Labels>,
    /// As of which number of what is told of jobs without a list, and whether these were waited for no more.
    looked_at: Option<(u64, bool)>,
}

impl Unclaimed {
    /// Finds those that have left. They are looked through when what is known of jobs has changed, and not each second.
    fn look(&mut self, facts: &Facts, is_over: bool) {
        let as_of = Some((facts.unlisted_version, is_over));
        if self.looked_at == as_of {
            return;
        }
        self.looked_at = as_of;
        let stays = |labels: &Labels| {
            let job = labels.get("job").unwrap_or_default();
            !is_over && facts.unlisted.may_have(job)
        };
        let labels = self.targets.iter().map(|(_, labels, _)| labels);
        self.gone = labels.filter(|labels| !stays(labels)).cloned().collect();
    }
}

/// A target as it is read.
pub(crate) struct TargetRecord {
    last_ms: Option<i64>,
    removed_ms: Option<i64>,
    listed: Option<RestoredTarget>,
}

impl TargetRecord {
    pub(crate) fn take(bytes: &mut In<'_>) -> Result<TargetRecord, WireError> {
        Ok(TargetRecord {
            last_ms: bytes.option(In::time)?,
            removed_ms: bytes.option(In::time)?,
            listed: bytes.option(RestoredTarget::take)?,
        })
    }
}

impl Writer {
    /// Writes every target, by number.
    pub(crate) fn put_targets(&self, registry: &SignalRegistry, out: &mut Vec<u8>) {
        let numbered = self.targets.iter().enumerate();
        put_list(out, numbered, |out, (number, target)| {
            put_option(out, target.last_ms, put_i);
            put_option(out, target.removed_ms, put_i);
            let facts = registry.facts.target(TargetId(number as u32));
            put_bool(out, facts.is_some());
            if let Some(facts) = facts {
                facts.put(out);
            }
        });
    }

    /// What a snapshot reads: the registry before the store, as everywhere.
    pub(crate) fn shared(&self) -> (&Arc<RwLock<SignalRegistry>>, &Arc<RwLock<Store>>) {
        (&self.registry, &self.store)
    }

    /// An engine around a store and a registry that were read from a snapshot.
    pub(crate) fn restored(
        limits: Limits,
        mut store: Store,
        read: impl FnOnce(&mut SignalRegistry) -> Result<(), WireError>,
        targets: Vec<TargetRecord>,
        now: Timestamp,
    ) -> Result<(Writer, Reader), WireError> {
        let (mut writer, reader) = Engine::new(limits);
        let mut registry = writer.registry.write();
        read(&mut registry)?;
        store.history_bytes_max = writer.store.read().history_bytes_max;
        let mut present: Vec<Vec<SeriesId>> = Vec::new();
        present.resize_with(targets.len(), Vec::new);
        let mut reports = present.clone();
        for (clock, id) in store.present() {
            match clock.target() {
                Some(target) if clock.is_report() => reports[target.index()].push(id),
                Some(target) => present[target.index()].push(id),
                None => writer.explicit_series.push(id),
            }
        }
        for (number, (record, series)) in targets.into_iter().zip(present).enumerate() {
            let id = TargetId(number as u32);
            let last_ms = record.last_ms.max(last_scrape_ms(&store, id));
            if last_ms.max(record.removed_ms) > Some(now.ms()) {
                return Err("a scrape is later than now");
            }
            let mut state = Target {
                last_ms,
                removed_ms: record.removed_ms,
                ..Target::default()
            };
            for (slot, report) in state.report.iter_mut().zip(&reports[number]) {
                *slot = Some(*report);
            }
            writer.targets.push(state);
            match record.listed {
                None if record.removed_ms.is_none() => writer.free_targets.push(id),
                None => {}
                Some(target) => {
                    let labels = target.spec.labels.clone();
                    restore_facts(&mut registry, &store, (id, target), &series, now);
                    writer.unclaimed.targets.push((id, labels, series));
                }
            }
        }
        registry.rescope();
        drop(registry);
        *writer.store.write() = store;
        writer.unclaimed.since = Some(now);
        writer.maintain(now);
        Ok((writer, reader))
    }

    /// The restored target with these labels, if there is one, configured anew, with the stage for its pages.
    pub(super) fn claim_target(&mut self, spec: &TargetSpec) -> Option<(TargetId, Stage)> {
        let (id, series) = self.take_unclaimed(&spec.labels)?;
        let mut registry = self.registry.write();
        registry.facts.configure(id, spec);
        if !self.adds_targets {
            registry.rescope();
        }
        drop(registry);
        Some((id, self.stage_of(id, spec.clone(), series)))
    }

    fn take_unclaimed(&mut self, labels: &Labels) -> Option<(TargetId, Vec<SeriesId>)> {
        let unclaimed = &mut self.unclaimed.targets;
        let at = unclaimed.iter().position(|(_, of, _)| of == labels)?;
        let (id, _, series) = unclaimed.swap_remove(at);
        Some((id, series))
    }

    fn stage_of(&self, id: TargetId, spec: TargetSpec, series: Vec<SeriesId>) -> Stage {
        let registry = self.registry.read();
        let needed = registry.facts.requirements.retain_handle();
        drop(registry);
        let lines_max = self.limits.page_lines_max();
        Stage::restored(id, spec, needed, lines_max, series)
    }

    /// The stage of a restored target that discovery has not found in time, which has to be removed as of our start: its series
    /// stand for nothing since, and at no time are they beside those of the targets that have taken its place.
    pub(super) fn next_unclaimed(&mut self, now: Timestamp) -> Option<(Stage, Timestamp)> {
        let wait_until_ms = now.ms().saturating_add(FIRST_SCRAPE_WAIT_MS_MAX);
        let until_ms = *self.unclaimed.until_ms.get_or_insert(wait_until_ms);
        if now.ms() < until_ms || self.unclaimed.targets.is_empty() {
            return None;
        }
        let since = self.unclaimed.since.unwrap_or(now);
        let is_over = now.since_ms(since) >= UNLISTED_KEPT_MS;
        self.unclaimed.look(&self.registry.read().facts, is_over);
        while let Some(labels) = self.unclaimed.gone.pop() {
            // It may have been found meanwhile.
            if let Some((id, series)) = self.take_unclaimed(&labels) {
                let spec = TargetSpec {
                    labels,
                    ..TargetSpec::default()
                };
                return Some((self.stage_of(id, spec, series), since));
            }
        }
        None
    }
}

/// The newest time on the clocks of a target.
fn last_scrape_ms(store: &Store, id: TargetId) -> Option<i64> {
    let clocks = [ClockId::page_of(id), ClockId::report_of(id)];
    let last = clocks.map(|clock| store.clocks[clock.index()].last());
    last.iter().flatten().map(|entry| entry.time_ms).max()
}

/// Makes a target known to the signals, with the series of its newest page.
fn restore_facts(
    registry: &mut SignalRegistry,
    store: &Store,
    (id, target): (TargetId, RestoredTarget),
    series: &[SeriesId],
    now: Timestamp,
) {
    let SignalRegistry { facts, .. } = registry;
    facts.add(id, &target.spec, i64::MIN);
    for &series in series {
        facts.series_appeared(id, series, &store.series.labels(series), None);
    }
    facts.update_names_seen(id);
    target.finish(id, facts, now.ms());
}

/// How many clocks so many targets have.
pub(crate) fn clocks_of(targets: usize) -> usize {
    match targets.checked_sub(1) {
        None => 0,
        Some(last) => ClockId::report_of(TargetId(last as u32)).index() + 1,
    }
}
