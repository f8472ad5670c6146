//! What one peer at a time can do to a running server: pages that attack when they are scraped, and clients that do.

mod clients;
mod http;
mod pages;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::load::Load;

pub use http::{encoded, get};

/// What goes wrong while an attack is prepared.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where an HPA reads.
pub const READ_PATH: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue";

/// What a row does.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in the table.
    pub name: &'static str,
    /// More scrape jobs, for pages that attack.
    jobs: fn() -> Result<String, Failure>,
    /// What clients do until the time is up, on threads of their own; each try is counted.
    pub clients: Clients,
}

/// How many clients of each kind.
pub type Clients = &'static [(usize, fn(&Attack))];

/// What an attacking client knows.
#[derive(Clone, Debug)]
pub struct Attack {
    /// Of the plain listener.
    pub port: u16,
    /// Of KEDA's external scaler.
    pub keda_port: u16,
    /// The time is up.
    pub over: Arc<AtomicBool>,
    /// Tries so far.
    pub tried: Arc<AtomicU64>,
}

impl Row {
    /// The configuration of the server that is attacked: it scrapes `healthy` at 100 ms, and tells their queue.
    pub fn config(&self, healthy: &Load) -> Result<String, Failure> {
        let targets: Vec<String> = healthy
            .ports
            .iter()
            .map(|port| format!("'127.0.0.1:{port}'"))
            .collect();
        Ok(format!(
            "global: {{scrape_interval: 100ms, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: healthy\n  static_configs: [{{targets: [{}]}}]\n\
             {}signals:\n- {{name: queue, expr: 'sum(llm_d_epp_flow_control_queue_size{{job=\"healthy\"}})'}}\nexternal_metrics: {{insecure: true}}\n",
            targets.join(", "),
            (self.jobs)()?
        ))
    }
}

/// Every kind of attack, and none.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row { name: "nothing, to compare with", jobs: pages::none, clients: &[] },
    Row { name: "own timestamps older than the retention", jobs: pages::old_timestamps, clients: &[] },
    Row { name: "newlines inflated a thousand times", jobs: pages::newlines, clients: &[] },
    Row { name: "a first page of 400,000 lines, others each time", jobs: pages::many_lines, clients: &[] },
    Row { name: "a page that cannot fit", jobs: pages::too_large, clients: &[] },
    Row { name: "a reason of 50 kB, another each time", jobs: pages::long_reasons, clients: &[] },
    Row { name: "20 names that do not resolve", jobs: pages::dead_names, clients: &[] },
    Row { name: "nested label_join", jobs: pages::wide_page, clients: &[(4, clients::label_joins)] },
    Row { name: "24 clients with range queries", jobs: pages::wide_page, clients: &[(24, clients::ranges)] },
    Row { name: "20 /guarded queries abandoned", jobs: pages::wide_page, clients: &[(20, clients::abandoned)] },
    Row { name: "500 distinct sums at /guarded", jobs: pages::wide_page, clients: &[(2, clients::distinct_sums)] },
    Row { name: "512 silent connections", jobs: pages::none, clients: &[(1, clients::silent)] },
    Row { name: "1,100 silent connections of KEDA", jobs: pages::none, clients: &[(1, clients::silent_keda)] },
];
