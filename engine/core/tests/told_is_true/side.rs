//! One engine with the targets of a world: the one that is tested, or one that is given pages as they would be without
//! faults, of which queries are evaluated as Prometheus would.

use std::collections::BTreeMap;

use crate::commits;
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::{
    Engine, Format, Limits, Reader, Retain, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

use crate::INTERVAL_MS;
use crate::rules::Rules;

/// Values by the labels of their elements, without the name.
pub(crate) type Numbers = BTreeMap<Labels, f64>;

pub(crate) struct Side {
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    /// By the `uid` of the target.
    stages: BTreeMap<usize, Stage>,
    /// Without rules.
    specs: BTreeMap<usize, TargetSpec>,
    retain: Retain,
}

impl Side {
    pub(crate) fn new(retain: Retain) -> Side {
        let (writer, reader) = Engine::new(Limits::default());
        Side {
            writer,
            reader,
            stages: BTreeMap::new(),
            specs: BTreeMap::new(),
            retain,
        }
    }

    pub(crate) fn add(&mut self, uid: usize, job: usize, pool: Option<&str>, rules: Rules) {
        let (job, instance) = (format!("j{job}"), format!("t{uid}"));
        let own = [("job", job.as_str()), ("instance", instance.as_str())];
        let pool = pool.map(|pool| ("inference_pool", pool));
        let spec = TargetSpec {
            labels: Labels::from_pairs(own.into_iter().chain(pool)),
            interval_ms: INTERVAL_MS as u64,
            retain: self.retain,
            ..TargetSpec::default()
        };
        self.specs.insert(uid, spec.clone());
        let (_, stage) = self.writer.add_target(rules.applied_to(spec));
        self.stages.insert(uid, stage);
    }

    /// A target goes on under other rules.
    pub(crate) fn configure(&mut self, uid: usize, rules: Rules) {
        let stage = self.stages.remove(&uid).expect("it was added");
        let spec = rules.applied_to(self.specs[&uid].clone());
        let stage = self.writer.configure_target(stage, spec);
        self.stages.insert(uid, stage);
    }

    pub(crate) fn remove(&mut self, uid: usize, at: Timestamp) {
        let stage = self.stages.remove(&uid).expect("it was added");
        self.writer.remove_target(stage, at);
    }

    pub(crate) fn fail(&mut self, uid: usize, at: Timestamp) {
        let id = self.stages[&uid].target();
        self.writer
            .fail(id, at, ScrapeFacts::default(), "connection refused")
            .expect("time ascends");
    }

    /// A page comes. False: it was refused.
    pub(crate) fn take(&mut self, uid: usize, page: &str, at: Timestamp) -> bool {
        let stage = self.stages.get_mut(&uid).expect("it was added");
        if let Ok(staged) = stage.parse(page.as_bytes(), Format::Text) {
            let how = (at.ms() / INTERVAL_MS) as u32 % 7 + uid as u32;
            commits::commit(&mut self.writer, staged, at, how).expect("taken");
            return true;
        }
        self.fail(uid, at);
        false
    }

    /// What a query yields of what is stored. `None`: an error, as of two series that match one.
    pub(crate) fn evaluate(&self, query: &Query, at: Timestamp) -> Option<Numbers> {
        let answer = query.instant(&self.reader.plain(), at, &EvalOptions::default());
        match answer.ok()?.value {
            Value::Vector(samples) => {
                let samples = samples.into_iter();
                Some(
                    samples
                        .map(|one| (nameless(&one.labels), one.value))
                        .collect(),
                )
            }
            other => panic!("{other:?} of a query that yields vectors"),
        }
    }
}

pub(crate) fn parse(text: &str) -> Option<Query> {
    Query::parse(text, &Features::default()).ok()
}

/// Labels without the name of a metric.
pub(crate) fn nameless(labels: &Labels) -> Labels {
    Labels::from_pairs(labels.iter().filter(|(label, _)| *label != "__name__"))
}
