//! Gateways as they really are: which release, which pool, what is queued and running, and the page that shows it.

use std::fmt::Write as _;

use crate::INTERVAL_MS;
use crate::rng::Rng;

pub(crate) const POOLS: [&str; 3] = ["a", "b", "c"];
pub(crate) const MODELS: [&str; 2] = ["m", "n"];
pub(crate) const TENANTS: [&str; 2] = ["f", "g"];
pub(crate) const PRIORITIES: [&str; 2] = ["0", "1"];

/// Releases by what their pages look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// The queue has neither pool nor models; no family of flow control before the first request.
    Gie12,
    /// The queue has them; no family of flow control before the first request.
    Gie14,
    /// Both names, saturation from the start.
    Router10,
    /// New names only.
    Router11,
}

pub(crate) const RELEASES: [Release; 4] = [
    Release::Gie12,
    Release::Gie14,
    Release::Router10,
    Release::Router11,
];

/// Requests of one kind: how many wait and how many run.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) model: &'static str,
    pub(crate) tenant: &'static str,
    pub(crate) priority: &'static str,
    pub(crate) queued: u64,
    pub(crate) running: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) uid: u64,
    pub(crate) release: Release,
    pub(crate) pool: &'static str,
    /// Whether its target carries the pool as a label.
    pub(crate) labelled: bool,
    pub(crate) flow_control: bool,
    /// Whether it runs the inflight producer.
    pub(crate) producer: bool,
    pub(crate) start_ms: i64,
    pub(crate) down_until: i64,
    pub(crate) broken_until: i64,
    pub(crate) flows: Vec<Flow>,
    /// Whether its process has served a request, after which the older releases show flow control.
    pub(crate) served: bool,
}

impl Gateway {
    pub(crate) fn new(uid: u64, pool: &'static str, now_ms: i64, rng: &mut Rng) -> Gateway {
        let mut gateway = Gateway {
            uid,
            release: rng.of(&RELEASES),
            pool,
            labelled: rng.one_in(2),
            flow_control: !rng.one_in(8),
            producer: rng.one_in(3),
            start_ms: now_ms,
            down_until: 0,
            broken_until: 0,
            flows: Vec::new(),
            served: false,
        };
        gateway.request(rng);
        gateway
    }

    /// Other requests wait and run than before.
    fn request(&mut self, rng: &mut Rng) {
        self.flows.clear();
        self.served = true;
        for _ in 0..=rng.below(3) {
            let flow = Flow {
                model: rng.of(&MODELS),
                tenant: rng.of(&TENANTS),
                priority: rng.of(&PRIORITIES),
                queued: if self.flow_control { rng.below(200) } else { 0 },
                running: rng.below(20),
            };
            let same = |have: &Flow| {
                (have.model, have.tenant, have.priority) == (flow.model, flow.tenant, flow.priority)
            };
            if !self.flows.iter().any(same) {
                self.flows.push(flow);
            }
        }
    }

    fn restart(&mut self, now_ms: i64, rng: &mut Rng) {
        self.start_ms = now_ms;
        self.flows.clear();
        self.served = false;
        self.down_until = now_ms + rng.below(5) as i64 * INTERVAL_MS;
        if rng.one_in(4) {
            self.release = rng.of(&RELEASES);
        }
        if !self.labelled && rng.one_in(4) {
            self.pool = rng.of(&POOLS);
        }
    }

    /// Lets something happen to it, or nothing.
    pub(crate) fn live(&mut self, rng: &mut Rng, now_ms: i64) {
        match rng.below(200) {
            0 => self.down_until = now_ms + rng.below(20) as i64 * INTERVAL_MS,
            1 => self.restart(now_ms, rng),
            2 => self.broken_until = now_ms + rng.below(8) as i64 * INTERVAL_MS,
            3..10 => self.flows.clear(),
            10..60 => self.request(rng),
            _ => {}
        }
    }

    /// What it answers to a scrape.
    pub(crate) fn page(&self) -> String {
        let mut page = format!(
            "# TYPE go_goroutines gauge\ngo_goroutines 12\ngo_threads 7\nprocess_start_time_seconds {}\n\
             workqueue_adds_total{{controller=\"pod\"}} 17\n\
             inference_extension_scheduler_attempts_total{{namespace=\"default\",status=\"success\"}} 3\n",
            self.start_ms as f64 / 1000.0
        );
        let pool = self.pool;
        let (legacy, router) = match self.release {
            Release::Gie12 | Release::Gie14 => (true, false),
            Release::Router10 => (true, true),
            Release::Router11 => (false, true),
        };
        if legacy {
            page += "inference_extension_info{build_ref=\"\",commit=\"\"} 1\n";
            let _ = writeln!(page, "inference_pool_ready_pods{{name=\"{pool}\"}} 1");
        }
        if router {
            page += "llm_d_epp_info{build_ref=\"\",commit=\"\"} 1\n";
            let _ = writeln!(page, "llm_d_epp_ready_endpoints{{name=\"{pool}\"}} 1");
        }
        if self.flow_control {
            self.flow_control_page(&mut page, legacy, router);
        }
        self.running_page(&mut page, legacy, router);
        if self.producer && router {
            for flow in &self.flows {
                let _ = writeln!(
                    page,
                    "llm_d_epp_inflight_requests{{endpoint_name=\"e\",fairness_id=\"{}\",namespace=\"default\",\
                     priority=\"{}\",producer_name=\"p\"}} {}",
                    flow.tenant, flow.priority, flow.running
                );
            }
        }
        page
    }

    fn flow_control_page(&self, page: &mut String, legacy: bool, router: bool) {
        let pool = self.pool;
        if router || (self.served && self.release == Release::Gie14) {
            let prefix = if router {
                "llm_d_epp"
            } else {
                "inference_extension"
            };
            let _ = writeln!(
                page,
                "{prefix}_flow_control_dispatch_cycle_duration_seconds_count 5"
            );
        }
        if router {
            let _ = writeln!(
                page,
                "llm_d_epp_flow_control_pool_saturation{{inference_pool=\"{pool}\"}} 0.5"
            );
        }
        if self.release == Release::Gie12 {
            // By tenant and priority, whatever the model.
            let mut sums = std::collections::BTreeMap::<_, u64>::new();
            for flow in &self.flows {
                *sums.entry((flow.tenant, flow.priority)).or_default() += flow.queued;
            }
            for ((tenant, priority), queued) in sums {
                let _ = writeln!(
                    page,
                    "inference_extension_flow_control_queue_size{{fairness_id=\"{tenant}\",priority=\"{priority}\"}} \
                     {queued}"
                );
            }
            return;
        }
        let prefixes = [("inference_extension", legacy), ("llm_d_epp", router)];
        for (prefix, _) in prefixes.iter().filter(|(_, shown)| *shown) {
            for flow in &self.flows {
                let (tenant, model) = (flow.tenant, flow.model);
                let _ = writeln!(
                    page,
                    "{prefix}_flow_control_queue_size{{fairness_id=\"{tenant}\",inference_pool=\"{pool}\",\
                     model_name=\"{model}\",priority=\"{}\",target_model_name=\"{model}\"}} {}",
                    flow.priority, flow.queued
                );
            }
        }
    }

    fn running_page(&self, page: &mut String, legacy: bool, router: bool) {
        if legacy {
            for model in MODELS {
                let of_model = || self.flows.iter().filter(|flow| flow.model == model);
                let running: u64 = of_model().map(|flow| flow.running).sum();
                if of_model().next().is_some() {
                    let _ = writeln!(
                        page,
                        "inference_objective_running_requests{{model_name=\"{model}\"}} {running}"
                    );
                }
            }
        }
        if router {
            for flow in &self.flows {
                let (tenant, model) = (flow.tenant, flow.model);
                let _ = writeln!(
                    page,
                    "llm_d_epp_request_running{{fairness_id=\"{tenant}\",model_name=\"{model}\",priority=\"{}\",\
                     target_model_name=\"{model}\"}} {}",
                    flow.priority, flow.running
                );
            }
        }
    }
}
