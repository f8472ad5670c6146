//! Passes a committed page on to the signals: what it shows about its target, then the evaluation of the signals that
//! read it.
//!
//! It runs after the store has the page, because signals are evaluated over what readers see. Lock order: the signals
//! before the store, as everywhere.

use super::Writer;
use super::process::{learn_again, look_at_counters, show_passed_over};
use super::progress::Progress;
use crate::exposition::{Placement, Staged};
use crate::promql::{EvalOptions, QueryError};
use crate::signal::{PageFacts, Policy, SignalId, SignalRegistry, refresh, register};
use crate::store::SeriesId;
use crate::time::Timestamp;
use crate::waits::write_soon;

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
        progress: &mut Progress,
        at: Timestamp,
    ) {
        let target = staged.target();
        look_at_counters(&self.store, staged, progress);
        let mut guard = self.stopwatch.waiting(|| write_soon(&self.registry));
        let registry = &mut *guard;
        registry.advance_to(at.ms());
        let any_reports = std::mem::take(&mut self.reports_appeared);
        registry.facts.reports_changed(any_reports);
        let reports_itself = self.targets[target.index()].reports_itself();
        registry.facts.note_reports(target, reports_itself);
        let not_known = std::mem::take(&mut staged.not_known);
        registry.facts.note_not_known(target, not_known);
        let page_facts = progress.page_facts.take();
        let page_facts = page_facts.filter(|facts| registry.facts.is_complete(facts));
        let is_gathered = page_facts.is_some();
        let has_changed = !progress.placements.is_empty() || !staged.page().removed.is_empty();
        if has_changed {
            series_changed(registry, staged, progress, page_facts);
            registry.facts.update_names_seen(target);
            let left_out = std::mem::take(&mut progress.left_out);
            registry.facts.note_left_out(target, left_out);
            self.note_endings(registry, staged, progress);
            // Of a page with such samples every line is placed anew where one is.
            let replicated = std::mem::take(&mut progress.replicated);
            registry.facts.note_replicated(target, replicated);
        }
        for metric in &progress.moved {
            registry.facts.record_structure_change(metric);
        }
        let is_empty = staged.samples().0 == 0; // skipped ones are counted, comments are not
        registry.facts.note_whether_empty(target, is_empty);
        note_retained(registry, staged, is_gathered, at);
        registry
            .facts
            .look_at_sources(target, at.ms(), has_changed, &self.store);
        let value = |id: SeriesId| f64::from_bits(self.store.read().series.row(id).bits);
        let (counters, has_counted) = (progress.counters, progress.has_counted == Some(true));
        let facts = &mut registry.facts;
        let change = facts.scrape_succeeded(target, at.ms(), value, counters, has_counted);
        let mut tells_all = false;
        let learns = registry.facts.learns(target, change.as_ref());
        if let Some(kind) = change {
            registry.process_changed(target, &kind, at.ms());
        }
        if let Some(learns) = learns {
            tells_all = learn_again(registry, &self.store, staged, progress, learns);
            registry.facts.finish_learning(target);
        }
        if registry.facts.take_shows_anew(target) {
            show_passed_over(registry, staged, tells_all);
        }
        if learns.is_some() {
            registry.facts.forget_what_nobody_shows_beside(target);
        }
        registry.rescope_after_page(target);
        let others = registry.evaluate(&self.store, target, at);
        drop(guard);
        self.refresh(&others);
    }

    /// Tells the facts of the series that are gone, where other targets show them, too.
    fn note_endings(
        &self,
        registry: &mut SignalRegistry,
        staged: &Staged<'_>,
        progress: &Progress,
    ) {
        let others = registry.facts.with_replicated();
        if others.is_empty() {
            return;
        }
        let store = self.store.read();
        let removed = staged.page().removed.iter();
        for id in removed.filter(|id| progress.has_left(**id)) {
            // A page of a collector may come without any of its 40,000 series.
            let metric = store.metric_name(*id).unwrap_or_default();
            if !registry.facts.list_more_ended(&others, metric) {
                continue;
            }
            let labels = store.series.labels(*id);
            let owner = staged.target();
            registry.facts.replicated_ended(owner, &others, &labels);
        }
    }

    /// Evaluates signals without holding a lock.
    pub(super) fn refresh(&self, signals: &[SignalId]) {
        for &id in signals {
            // Nothing stops it, and it draws on no shared memory: there is no error but the query's own.
            let _ = refresh(&self.registry, &self.store, id, &EvalOptions::default());
        }
    }
}

/// Tells the facts of what the page has and is not stored, with `retain: signals`.
fn note_retained(
    registry: &mut SignalRegistry,
    staged: &mut Staged<'_>,
    is_gathered: bool,
    at: Timestamp,
) {
    let target = staged.target();
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
        if registry.facts.requirements.version() != version {
            registry.facts.look_for_losses_of(target);
        }
        staged.set_reports_start_time(registry.facts.reports_start_time(target));
    }
}

/// Tells the facts of the series that are gone and of those that are new on the page, without those that stay.
fn series_changed(
    registry: &mut SignalRegistry,
    staged: &Staged<'_>,
    progress: &Progress,
    page_facts: Option<PageFacts>,
) {
    let target = staged.target();
    let (facts, names) = (&mut registry.facts, &registry.names);
    facts.series_disappeared(target, &progress.left, |id| progress.has_left(id));
    if let Some(page_facts) = page_facts {
        return facts.page_appeared(target, page_facts, names);
    }
    let mut before = None;
    let stays = |id| matches!(&progress.staying, Some(staying) if staying.contains(id));
    for (sample, at) in staged.new_samples().zip(&progress.placements) {
        if let (Some(labels), Placement::Series(id) | Placement::Own(id)) = (sample.labels, *at)
            && !stays(id)
        {
            facts.series_appeared(target, id, labels, before);
            before = Some(labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::labels::Labels;
    use crate::{Engine, Format, Limits, ScrapeFacts, Stage, TargetSpec};

    use super::*;

    const START_MS: i64 = 1_800_000_000_000;
    const SIGNALS: usize = 60;

    fn scrape(writer: &mut Writer, stage: &mut Stage, page: &str, ms: i64) {
        let staged = stage.parse(page.as_bytes(), Format::Text);
        let at = Timestamp::from_ms(START_MS + ms);
        let committed = writer.commit(staged.expect("it parses"), at, ScrapeFacts::default());
        committed.expect("it is taken");
    }

    /// The first good page of each of 5,000 new targets was a look at all signals and all targets.
    #[test]
    fn first_pages_of_many_targets_share_a_look_and_none_is_missed() {
        for (targets, is_gathered) in [(10, false), (1_000, true)] {
            let (mut writer, _reader) = Engine::new(Limits::default());
            let signals: Vec<SignalId> = (0..SIGNALS)
                .map(|at| {
                    let query = format!("max(of_new) + {at}");
                    writer.register(&query, Policy::default()).expect("valid")
                })
                .collect();
            writer.begin_targets();
            let mut added: Vec<_> = (0..targets)
                .map(|at| {
                    let labels = [("job", format!("j{at}")), ("instance", "i".to_owned())];
                    writer.add_target(TargetSpec {
                        labels: Labels::from_pairs(labels.iter().map(|(k, v)| (*k, v.as_str()))),
                        ..TargetSpec::default()
                    })
                })
                .collect();
            writer.finish_targets();
            scrape(&mut writer, &mut added[0].1, "other 1\n", 0);
            // A new group shows what nobody has shown before.
            scrape(&mut writer, &mut added[1].1, "of_new 7\n", 10);
            let (late, at_ms) = writer.registry.read().looks();
            assert_eq!(
                (late > 0, at_ms != Some(START_MS + 10)),
                (is_gathered, is_gathered)
            );
            scrape(&mut writer, &mut added[2].1, "other 5\n", 150);
            let registry = writer.registry.read();
            assert_eq!(registry.looks(), (0, Some(START_MS + 150)), "{targets}");
            for id in &signals {
                let signal = registry.signal(*id).expect("it stands");
                assert!(signal.scope.shows(added[1].0), "{targets}");
                assert!(signal.pages > 0, "whoever reads evaluates: {targets}");
            }
        }
    }

    /// 300 triggers of 40,000 series each held the registry's lock for seconds at the page that followed.
    #[test]
    fn queries_of_strangers_select_their_series_some_with_each_page() {
        let (mut writer, reader) = Engine::new(Limits::default());
        let policy = || Policy {
            series_max: Some(10_000),
            ..Policy::default()
        };
        let mut register = |query: &str| writer.register(query, policy()).expect("valid");
        let sums: Vec<SignalId> = (0..5)
            .map(|at| register(&format!("sum(m) + {at}")))
            .collect();
        let (_, mut stage) = writer.add_target(TargetSpec::default());
        let page: String = (0..5_000)
            .map(|at| format!("m{{i=\"{at}\"}} 1\n"))
            .collect();
        for (ms, selected) in [(0, 2), (100, 4), (200, 5), (300, 5)] {
            scrape(&mut writer, &mut stage, &page, ms);
            let registry = writer.registry.read();
            let of = |id: &&SignalId| {
                let signal = registry.signal(**id).expect("it stands");
                signal.series_of_program() == Some(5_000)
            };
            assert_eq!(sums.iter().filter(of).count(), selected, "{ms}");
        }
        // One that yields more than a signal may is let rest, as others are not.
        let wide = writer.register("m * 2", policy()).expect("valid");
        let mut pages = Vec::new();
        for ms in [400, 500, 600, 1_500] {
            scrape(&mut writer, &mut stage, &page, ms);
            let now = Timestamp::from_ms(START_MS + ms);
            let reading = reader.signal(wide, now, &[]).expect("it stands");
            let why = format!("{:?}", reading.state);
            assert!(why.contains("yields 5000 elements"), "{why}");
            let registry = writer.registry.read();
            let [wide, sum] = [wide, sums[0]].map(|id| registry.signal(id).expect("it stands"));
            pages.push((wide.pages, sum.pages));
        }
        assert_eq!(
            pages.iter().map(|(wide, _)| *wide).collect::<Vec<_>>(),
            [1, 1, 1, 2]
        );
        assert!(pages.is_sorted_by(|before, after| before.1 < after.1));
    }
}
