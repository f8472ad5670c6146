//! One engine and its targets, fed page by page.

use std::collections::BTreeMap;

use crate::commits;
use stillwell_engine::labels::{Labels, MatchOp, Matcher};
use stillwell_engine::promql::select::{Projection, STALE_NAN_BITS, Samples, SelectRequest, View};
use stillwell_engine::signal::{Policy, SignalId};
use stillwell_engine::{
    Engine, Format, Limits, Reader, Retain, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

use super::generate::TARGETS;

pub(crate) const INTERVAL_MS: i64 = 1_000;
pub(crate) const START: &str = "process_start_time_seconds";

pub(crate) struct Side {
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    pub(crate) stages: Vec<Stage>,
    pub(crate) signals: Vec<SignalId>,
}

impl Side {
    pub(crate) fn new(retain: Retain) -> Side {
        let (mut writer, reader) = Engine::new(Limits::default());
        let targets = (0..TARGETS).map(|target| {
            let instance = format!("t{target}");
            let spec = TargetSpec {
                labels: Labels::from_pairs([("job", "epp"), ("instance", instance.as_str())]),
                interval_ms: INTERVAL_MS as u64,
                retain,
                ..TargetSpec::default()
            };
            writer.add_target(spec).1
        });
        let stages = targets.collect();
        Side {
            writer,
            reader,
            stages,
            signals: Vec::new(),
        }
    }

    pub(crate) fn register(&mut self, query: &str) {
        let policy = Policy {
            restart_grace_ms: 5_000,
            ..Policy::default()
        };
        self.signals
            .push(self.writer.register(query, policy).expect("valid"));
    }

    pub(crate) fn unregister(&mut self, at: usize) {
        self.reader.remove(self.signals.remove(at));
    }

    /// Whether the page was taken, how many samples it had and how many were kept.
    pub(crate) fn scrape(
        &mut self,
        target: usize,
        page: &str,
        at: Timestamp,
    ) -> Option<(u64, u64)> {
        let stage = &mut self.stages[target];
        let error = match stage.parse(page.as_bytes(), Format::Text) {
            Ok(staged) => {
                let how = (at.ms() + target as i64).count_ones();
                let committed = commits::commit(&mut self.writer, staged, at, how).expect("taken");
                return Some((committed.samples_scraped, committed.samples_post_relabel));
            }
            Err(error) => error,
        };
        assert_eq!(error.line, page.lines().count(), "{error}");
        self.fail(target, at);
        None
    }

    pub(crate) fn fail(&mut self, target: usize, at: Timestamp) {
        let id = self.stages[target].target();
        let failed = self.writer.fail(id, at, ScrapeFacts::default(), "refused");
        failed.expect("time ascends");
    }

    pub(crate) fn holds(&self) -> BTreeMap<Labels, Vec<(i64, u64)>> {
        let named = Matcher::new(MatchOp::NotRegex, "__name__", "up|scrape_.*");
        let view = self.reader.plain();
        let request = SelectRequest {
            matchers: &[named.expect("valid")],
            after_ms: i64::MIN,
            until_ms: i64::MAX,
            projection: Projection::All,
            last_only: false,
            memory: None,
            stop: None,
        };
        let selection = view.select(&request).expect("the plain view answers");
        let mut samples = Samples::default();
        let mut held = BTreeMap::new();
        for index in 0..selection.len() {
            selection.read(index, &mut samples);
            let mut list: Vec<(i64, u64)> = Vec::new();
            for (&ms, value) in samples.times_ms.iter().zip(&samples.values) {
                let bits = value.to_bits();
                // A second marker in a row says nothing new.
                let repeats = list.last().is_none_or(|last| last.1 == STALE_NAN_BITS);
                if bits != STALE_NAN_BITS || !repeats {
                    list.push((ms, bits));
                }
            }
            held.insert(selection.labels(index).clone(), list);
        }
        held
    }
}
