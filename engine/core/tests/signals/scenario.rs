//! A scenario: gateways, the pages that they expose, and the readings of the signals over them.

use crate::commits;
use stillwell_engine::labels::Labels;
use stillwell_engine::signal::{Policy, SignalId, State};
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

pub(crate) const INTERVAL_MS: i64 = 100;
pub(crate) const QUEUE: &str =
    "sum(inference_extension_flow_control_queue_size{inference_pool=\"a\"})";
pub(crate) const RUNNING: &str = "sum(inference_objective_running_requests)";

/// What a gateway's page shows.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) pool: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) queue: Option<f64>,
    pub(crate) running: Option<f64>,
    pub(crate) flow_control: bool,
    pub(crate) start: f64,
    pub(crate) leads: Option<bool>,
}

impl Gateway {
    pub(crate) fn of(pool: &'static str) -> Gateway {
        Gateway {
            pool,
            prefix: "inference_extension",
            queue: Some(5.0),
            running: Some(7.0),
            flow_control: true,
            start: 1000.0,
            leads: None,
        }
    }

    pub(crate) fn page(&self) -> String {
        let Gateway { pool, prefix, .. } = self;
        let mut page = format!("process_start_time_seconds {}\n", self.start);
        page += &format!("{prefix}_info{{commit=\"x\"}} 1\n");
        let (ready, running) = match *prefix {
            "llm_d_epp" => ("llm_d_epp_ready_endpoints", "llm_d_epp_request_running"),
            _ => (
                "inference_pool_ready_pods",
                "inference_objective_running_requests",
            ),
        };
        page += &format!("{ready}{{name=\"{pool}\"}} 1\n");
        if self.flow_control {
            page += &format!(
                "{prefix}_flow_control_pool_saturation{{inference_pool=\"{pool}\"}} 0.5\n"
            );
        }
        if let Some(queue) = self.queue {
            for model in ["m", "n"] {
                page += &format!(
                    "{prefix}_flow_control_queue_size{{fairness_id=\"f\",inference_pool=\"{pool}\",\
                     model_name=\"{model}\",priority=\"0\",target_model_name=\"{model}\"}} {}\n",
                    queue / 2.0
                );
            }
        }
        if let Some(value) = self.running {
            match *prefix {
                "llm_d_epp" => {
                    for tenant in ["f", "g"] {
                        page += &format!(
                            "{running}{{fairness_id=\"{tenant}\",model_name=\"m\",priority=\"0\",\
                             target_model_name=\"m\"}} {}\n",
                            value / 2.0
                        );
                    }
                }
                _ => page += &format!("{running}{{model_name=\"m\"}} {value}\n"),
            }
        }
        if let Some(leads) = self.leads {
            page += &format!(
                "leader_election_master_status{{name=\"lease\"}} {}\n",
                u8::from(leads)
            );
        }
        page
    }
}

pub(crate) struct Scenario {
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    pub(crate) now_ms: i64,
    pub(crate) stages: Vec<Option<Stage>>,
}

impl Scenario {
    pub(crate) fn new() -> Scenario {
        Scenario::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Scenario {
        let (writer, reader) = Engine::new(limits);
        Scenario {
            writer,
            reader,
            // Gateways started long before: what follows from a young process has tests of its own.
            now_ms: 10_000_000,
            stages: Vec::new(),
        }
    }

    pub(crate) fn target(&mut self, instance: &str) -> usize {
        self.target_of("epp", instance, &[])
    }

    pub(crate) fn target_of(
        &mut self,
        job: &str,
        instance: &str,
        labels: &[(&str, &str)],
    ) -> usize {
        let own = [("job", job), ("instance", instance)];
        let labels = Labels::from_pairs(own.into_iter().chain(labels.iter().copied()));
        let spec = TargetSpec {
            labels,
            interval_ms: INTERVAL_MS as u64,
            ..TargetSpec::default()
        };
        self.target_with(spec)
    }

    pub(crate) fn target_with(&mut self, spec: TargetSpec) -> usize {
        let (_, stage) = self.writer.add_target(spec);
        self.stages.push(Some(stage));
        self.stages.len() - 1
    }

    pub(crate) fn register(&mut self, query: &str) -> SignalId {
        self.register_with(query, Policy::default())
    }

    pub(crate) fn register_with(&mut self, query: &str, policy: Policy) -> SignalId {
        self.writer
            .register(query, policy)
            .expect("the query is valid")
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms)
    }

    /// One round: `None` is a failed scrape.
    pub(crate) fn scrape(&mut self, pages: &[(usize, Option<&Gateway>)]) {
        self.now_ms += INTERVAL_MS;
        self.scrape_now(pages);
    }

    pub(crate) fn scrape_now(&mut self, pages: &[(usize, Option<&Gateway>)]) {
        for (target, gateway) in pages {
            match gateway {
                Some(gateway) => self.take_now(*target, &gateway.page()),
                None => self.fail_now(*target),
            }
        }
        self.writer.maintain(self.at());
    }

    /// One round of one target alone.
    pub(crate) fn scrape_text(&mut self, target: usize, text: &str) {
        self.take(target, text);
        self.writer.maintain(self.at());
    }

    /// One page of one target, without the maintenance that may come later.
    pub(crate) fn take(&mut self, target: usize, text: &str) {
        self.now_ms += INTERVAL_MS;
        self.take_now(target, text);
    }

    pub(crate) fn take_now(&mut self, target: usize, text: &str) {
        let at = self.at();
        let stage = self.stages[target].as_mut().expect("the target is listed");
        let staged = stage
            .parse(text.as_bytes(), Format::Text)
            .expect("the page parses");
        let how = self.now_ms.count_ones();
        commits::commit(&mut self.writer, staged, at, how).expect("the page is taken");
    }

    pub(crate) fn fail_now(&mut self, target: usize) {
        self.fail_now_with(target, "connection refused");
    }

    pub(crate) fn fail_now_with(&mut self, target: usize, error: &str) {
        let at = self.at();
        let stage = self.stages[target].as_ref().expect("the target is listed");
        self.writer
            .fail(stage.target(), at, ScrapeFacts::default(), error)
            .expect("time ascends");
    }

    /// A failed scrape of a target that answers all the same, as with a status of 500.
    pub(crate) fn fail_answered(&mut self, target: usize) {
        let at = self.at();
        let stage = self.stages[target].as_ref().expect("the target is listed");
        let facts = ScrapeFacts {
            answered: true,
            ..ScrapeFacts::default()
        };
        self.writer
            .fail(stage.target(), at, facts, "server returned HTTP status 500")
            .expect("time ascends");
    }

    pub(crate) fn rounds(&mut self, count: usize, pages: &[(usize, Option<&Gateway>)]) {
        for _ in 0..count {
            self.scrape(pages);
        }
    }

    pub(crate) fn remove(&mut self, target: usize) {
        let stage = self.stages[target].take().expect("the target is listed");
        self.writer.remove_target(stage, self.at());
    }

    /// The time as a process that starts now tells it: seconds since the epoch.
    pub(crate) fn start_now(&self) -> f64 {
        self.now_ms as f64 / 1000.0
    }

    /// The instances that count for the signal.
    pub(crate) fn counting(&self, signal: SignalId) -> Vec<String> {
        let explained = self.reader.explain(signal, self.at());
        let targets = explained.expect("the signal is registered").targets;
        targets
            .iter()
            .filter(|target| target.counts)
            .map(|target| target.labels.get("instance").unwrap_or_default().to_owned())
            .collect()
    }

    pub(crate) fn reported(&self, signal: SignalId) -> Reported {
        self.reported_pinned(signal, &[])
    }

    pub(crate) fn reported_pinned(&self, signal: SignalId, pins: &[(&str, &str)]) -> Reported {
        let pins: Vec<_> = pins
            .iter()
            .map(|(l, v)| ((*l).to_owned(), (*v).to_owned()))
            .collect();
        let reading = self
            .reader
            .signal(signal, self.at(), &pins)
            .expect("the signal is registered");
        let values: Vec<f64> = reading
            .elements
            .iter()
            .map(|element| element.value)
            .collect();
        match reading.state {
            State::Value => Reported::Value(values),
            State::Held { .. } => Reported::Held(values),
            State::Configured { why } => Reported::Configured(values, why),
            State::Unknown { why } => Reported::Unknown(why),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reported {
    Value(Vec<f64>),
    Held(Vec<f64>),
    Configured(Vec<f64>, String),
    Unknown(String),
}

pub(crate) fn value(value: f64) -> Reported {
    Reported::Value(vec![value])
}

pub(crate) fn held(value: f64) -> Reported {
    Reported::Held(vec![value])
}

#[track_caller]
pub(crate) fn unknown(reported: &Reported, words: &[&str]) {
    match reported {
        Reported::Unknown(why) => {
            for word in words {
                assert!(why.contains(word), "{why:?} does not say {word:?}");
            }
        }
        other => panic!("{other:?} instead of unknown, {words:?}"),
    }
}
