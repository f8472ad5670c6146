//! Adding targets, and scrapes of them that fail.
//!
//! Each target has two clocks: one for the series of its pages, which a failed scrape ends in the plain view, and one
//! for the series about its scrapes, which a failed scrape does not end. The id of a removed target is reused only
//! after all its samples were dropped, because until then its clocks hold the times of those samples.

use std::sync::Arc;

use super::Writer;
use super::outcome::{CommitError, ScrapeFacts};
use crate::exposition::{Mapper, Stage};
use crate::labels::Labels;
use crate::scrape::{REPORT, REPORT_USUAL, TargetSpec};
use crate::store::{ClockId, STALE, ScrapeEntry, SeriesId, Store, TargetId};
use crate::time::Timestamp;

/// So late may maintenance be before a clock has to grow within a commit.
const MAINTENANCE_LATE_MS: i64 = 10_000;

/// The writer's state of one target.
#[derive(Default)]
pub(super) struct Target {
    pub(super) report: [Option<SeriesId>; REPORT.len()],
    pub(super) report_labels: Vec<Labels>,
    /// Timeout and sample limit, for the metrics that report them.
    pub(super) limits: [f64; 2],
    pub(super) last_ms: Option<i64>,
    pub(super) removed_ms: Option<i64>,
    pub(super) stage_bytes: usize,
    /// Bytes that were reserved for a page, but for the series that were added by now.
    pub(super) reserved_bytes: usize,
}

impl Target {
    /// Whether the series about its scrapes are its own.
    pub(super) fn reports_itself(&self) -> bool {
        let count = self.report_labels.len().min(self.report.len());
        self.report[..count].iter().all(Option::is_some)
    }
}

impl Writer {
    /// Several targets are added or change one after the other. Which signals see them is found out once, by
    /// [`Writer::finish_targets`] or with the next page of any, and not for each: that takes time by all targets there are.
    pub fn begin_targets(&mut self) {
        self.adds_targets = true;
    }

    /// See [`Writer::begin_targets`].
    pub fn finish_targets(&mut self) {
        self.adds_targets = false;
        self.registry.write().rescope();
    }

    /// Adds a target. Returns its id and the stage with which its pages are parsed.
    pub fn add_target(&mut self, spec: TargetSpec) -> (TargetId, Stage) {
        let claimed = self.claim_target(&spec);
        let target = match &claimed {
            Some((target, _)) => *target,
            None => self
                .free_targets
                .pop()
                .unwrap_or(TargetId(self.targets.len() as u32)),
        };
        if target.index() == self.targets.len() {
            self.targets.push(Target::default());
        }
        let state = &mut self.targets[target.index()];
        *state = Target {
            report_labels: report_labels(&spec),
            limits: report_limits(&spec),
            // A restored target goes on after its last scrape.
            last_ms: claimed.as_ref().and(state.last_ms),
            ..Target::default()
        };
        let mut store = self.store.write();
        self.reserve_clocks(&mut store, target, &spec);
        store.metadata.insert(target, Default::default());
        drop(store);
        if let Some(claimed) = claimed {
            return claimed;
        }
        let mut registry = self.registry.write();
        let now_ms = registry.now_ms;
        registry.facts.add(target, &spec, now_ms);
        if !self.adds_targets {
            registry.rescope();
        }
        let needed = registry.facts.requirements.retain_handle();
        drop(registry);
        let lines_max = self.limits.page_lines_max();
        (target, Stage::new(target, spec, needed, lines_max))
    }

    /// Goes on with a target under another configuration that leaves its labels as they are: its series stay until its next
    /// page, or until a scrape of it fails. Where the same page would now give other series, or others of them are kept, signals
    /// wait for that page. Returns the stage with which its pages are parsed from now on.
    ///
    /// It takes time by the series of the page where [`Stage::forget_page`] did not go before; and where something changes by
    /// which signals see their targets, a look at all signals and all targets, which targets that follow one another share.
    pub fn configure_target(&mut self, stage: Stage, spec: TargetSpec) -> Stage {
        let target = stage.target();
        debug_assert!(spec.labels == stage.spec().labels, "it is another target");
        let state = &mut self.targets[target.index()];
        state.report_labels = report_labels(&spec);
        state.limits = report_limits(&spec);
        let not_reported = state.report.iter_mut().skip(state.report_labels.len());
        let not_reported: Vec<SeriesId> = not_reported.filter_map(Option::take).collect();
        let reports_less = !not_reported.is_empty();
        let mut store = self.store.write();
        let tick = store.clocks[ClockId::report_of(target).index()].next_tick();
        for id in not_reported {
            store.change(id, tick, STALE);
        }
        self.reserve_clocks(&mut store, target, &spec);
        drop(store);
        let mut registry = self.registry.write();
        registry.facts.reports_changed(reports_less);
        registry.facts.configure(target, &spec);
        if !self.adds_targets {
            registry.rescope_soon();
        }
        let needed = registry.facts.requirements.retain_handle();
        drop(registry);
        let lines_max = self.limits.page_lines_max();
        Stage::restored(target, spec, needed, lines_max, stage.into_series())
    }

    /// Has the clocks of a target take its scrapes of one retention without growing.
    fn reserve_clocks(&self, store: &mut Store, target: TargetId, spec: &TargetSpec) {
        let clocks_end = ClockId::report_of(target).index() + 1;
        if store.clocks.len() < clocks_end {
            store.clocks.resize_with(clocks_end, Default::default);
        }
        let entries = (self.limits.retention_ms + MAINTENANCE_LATE_MS)
            / i64::try_from(spec.interval_ms.max(1)).unwrap_or(i64::MAX);
        let entries = usize::try_from(entries + 1).unwrap_or(0);
        for clock in [ClockId::page_of(target), ClockId::report_of(target)] {
            store.clocks[clock.index()].reserve(entries);
        }
    }

    /// Notes whether discovery calls a target ready to serve, which may change while it is a target.
    pub fn set_not_ready(&mut self, target: TargetId, not_ready: bool) {
        let mut registry = self.registry.write();
        registry.facts.set_not_ready(target, not_ready);
        if !self.adds_targets {
            registry.rescope();
        }
    }

    /// Records a failed scrape: `up` becomes 0, and the series of the target's pages end here in the plain view. Signals
    /// read past it, up to their hold time. `error` is kept for explanations. While nothing answers (`facts.answered`)
    /// another process may take the target's place.
    pub fn fail(
        &mut self,
        target: TargetId,
        at: Timestamp,
        facts: ScrapeFacts,
        error: &str,
    ) -> Result<(), CommitError> {
        self.check_time(target, at)?;
        let store = Arc::clone(&self.store);
        let mut store = store.write();
        let entry = ScrapeEntry {
            time_ms: at.ms(),
            good: false,
        };
        store.advance(target, entry);
        let report = [0.0, facts.duration_s, 0.0, 0.0, 0.0];
        self.report(&mut store, (target, at), 0, &report);
        self.report_extra(&mut store, (target, at), facts);
        self.reported(&mut store, target, at);
        drop(store);
        let mut registry = self.registry.write();
        let any_reports = std::mem::take(&mut self.reports_appeared);
        registry.facts.reports_changed(any_reports);
        let reports_itself = self.targets[target.index()].reports_itself();
        registry.facts.note_reports(target, reports_itself);
        let others = registry.scrape_failed(&self.store, target, at, (error, facts.answered));
        drop(registry);
        self.refresh(&others);
        Ok(())
    }
}

/// What the metrics about its scrapes say of its configuration: its timeout in seconds and its sample limit.
fn report_limits(spec: &TargetSpec) -> [f64; 2] {
    [spec.extra_metrics.unwrap_or(0.0), spec.sample_limit as f64]
}

/// The metrics about the scrapes of a target.
fn report_labels(spec: &TargetSpec) -> Vec<Labels> {
    let count = match spec.extra_metrics {
        Some(_) => REPORT.len(),
        None => REPORT_USUAL,
    };
    let names = REPORT[..count].iter();
    names
        .map(|name| Mapper::report_labels(spec, name))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::labels::Labels;
    use crate::signal::Policy;
    use crate::{Engine, Format, Limits};

    use super::*;

    const START_MS: i64 = 1_800_000_000_000;
    const SIGNALS: usize = 60;
    const TARGETS: usize = 1_000;

    /// A reload of one option had each target of its job looked at by all signals with all targets, as pages came.
    #[test]
    fn targets_that_are_configured_otherwise_share_a_look_and_need_none_where_no_scope_changes() {
        let (mut writer, _reader) = Engine::new(Limits::default());
        let when_read = Policy {
            when_read: true,
            ..Policy::default()
        };
        for at in 0..SIGNALS {
            let query = format!("max(m) + {at}");
            let registered = writer.register(&query, when_read.clone());
            registered.expect("valid");
        }
        let spec = |at: usize| TargetSpec {
            labels: Labels::from_pairs([("job", "j"), ("instance", at.to_string().as_str())]),
            interval_ms: 1_000,
            ..TargetSpec::default()
        };
        writer.begin_targets();
        let mut stages: Vec<Stage> = (0..TARGETS)
            .map(|at| writer.add_target(spec(at)).1)
            .collect();
        writer.finish_targets();
        for stage in &mut stages {
            let staged = stage.parse(b"m 1\n", Format::Text).expect("it parses");
            let at = Timestamp::from_ms(START_MS);
            let committed = writer.commit(staged, at, ScrapeFacts::default());
            committed.expect("it is taken");
        }
        // Some time later.
        let looks_later = |writer: &Writer| {
            let mut registry = writer.registry.write();
            let later_ms = registry.now_ms + 1_000;
            registry.advance_to(later_ms);
            registry.rescope();
            registry.looks_count()
        };
        let limited = |spec| TargetSpec {
            sample_limit: 100,
            interval_ms: 2_000,
            ..spec
        };
        let honoring = |spec| TargetSpec {
            honor_labels: true,
            ..limited(spec)
        };
        // The first one is looked at, and the others together.
        let others: [(&dyn Fn(TargetSpec) -> TargetSpec, usize); 2] =
            [(&limited, 0), (&honoring, 2)];
        for (other, looks) in others {
            let before = looks_later(&writer);
            let configured = stages.into_iter().enumerate();
            let configured =
                configured.map(|(at, stage)| writer.configure_target(stage, other(spec(at))));
            stages = configured.collect();
            assert_eq!(looks_later(&writer) - before, looks);
        }
    }
}
