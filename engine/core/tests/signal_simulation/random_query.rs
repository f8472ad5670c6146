//! Random queries: a demand family with pins over labels that it has, lacks, or has in some releases; and their true values,
//! which the simulated gateways know whatever their pages expose.

use crate::gateway::{Flow, Gateway, MODELS, POOLS, PRIORITIES, TENANTS};
use crate::rng::Rng;

const QUEUES: [&str; 2] = [
    "inference_extension_flow_control_queue_size",
    "llm_d_epp_flow_control_queue_size",
];
const RUNNING: [&str; 2] = [
    "inference_objective_running_requests",
    "llm_d_epp_request_running",
];
const INFLIGHT: [&str; 1] = ["llm_d_epp_inflight_requests"];

/// What people make of demand: each is 0 only where the sum is.
const FORMS: [&str; 12] = [
    "sum(X)",
    "sum(X)",
    "sum(X)",
    "sum(X)",
    "round(sum(X))",
    "ceil(sum(X) / 5)",
    "sum(X) - 0",
    "sum(X > 0)",
    "sum(X) > bool 0",
    "max(X)",
    "avg(X)",
    "vector(scalar(sum(X)))",
];

/// What a family counts of a flow.
type Measure = fn(&Flow) -> u64;

pub(crate) struct RandomQuery {
    pub(crate) text: String,
    measure: Measure,
    /// Label, operator, value.
    pins: Vec<(&'static str, &'static str, &'static str)>,
}

impl RandomQuery {
    pub(crate) fn random(rng: &mut Rng) -> RandomQuery {
        let (metrics, measure): (&[&str], Measure) = match rng.below(5) {
            0 | 1 => (&QUEUES, |flow| flow.queued),
            2 | 3 => (&RUNNING, |flow| flow.running),
            _ => (&INFLIGHT, |flow| flow.running),
        };
        let metric = rng.of(metrics);
        let mut pins = Vec::new();
        for _ in 0..rng.below(3) {
            let pin = match rng.below(7) {
                0 => ("inference_pool", rng.of(&POOLS)),
                1 => ("model_name", rng.of(&MODELS)),
                2 => ("target_model_name", rng.of(&MODELS)),
                3 => ("fairness_id", rng.of(&TENANTS)),
                4 => ("priority", rng.of(&PRIORITIES)),
                5 => ("namespace", "default"),
                _ => ("name", rng.of(&POOLS)),
            };
            let op = rng.of(&["=", "=", "=~"]);
            pins.push((pin.0, op, pin.1));
        }
        let conditions: Vec<String> = pins
            .iter()
            .map(|(label, op, value)| format!("{label}{op}\"{value}\""))
            .collect();
        let end = rng.of(&["", "", " or vector(0)"]);
        let selector = format!("{metric}{{{}}}", conditions.join(","));
        RandomQuery {
            text: format!("{}{end}", rng.of(&FORMS).replace('X', &selector)),
            measure,
            pins,
        }
    }

    /// What is true of a gateway: the pins as they are meant, whether its pages show such a label or not.
    pub(crate) fn truth(&self, gateway: &Gateway) -> u64 {
        let fits = |flow: &&Flow| {
            self.pins.iter().all(|&(label, _, value)| match label {
                "inference_pool" | "name" => gateway.pool == value,
                "model_name" | "target_model_name" => flow.model == value,
                "fairness_id" => flow.tenant == value,
                "priority" => flow.priority == value,
                _ => true,
            })
        };
        gateway.flows.iter().filter(fits).map(self.measure).sum()
    }
}
