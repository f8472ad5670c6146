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
    /// What the server is started with besides.
    pub flags: &'static [&'static str],
    /// How many descriptors it may have, where that is not what everybody has.
    pub descriptors: Option<u32>,
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

const fn row(name: &'static str, jobs: fn() -> Result<String, Failure>, clients: Clients) -> Row {
    Row {
        name,
        jobs,
        clients,
        flags: &[],
        descriptors: None,
    }
}

/// Every kind of attack, and none.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("nothing, to compare with", pages::none, &[]),
    row("own timestamps older than the retention", pages::old_timestamps, &[]),
    row("newlines inflated a thousand times", pages::newlines, &[]),
    row("a first page of 400,000 lines, others each time", pages::many_lines, &[]),
    row("a page that cannot fit", pages::too_large, &[]),
    row("a reason of 50 kB, another each time", pages::long_reasons, &[]),
    row("20 names that do not resolve", pages::dead_names, &[]),
    row("1,000 targets that refuse", pages::refusing, &[]),
    row("nested label_join", pages::wide_page, &[(4, clients::label_joins)]),
    row("24 clients with range queries", pages::wide_page, &[(24, clients::ranges)]),
    row("20 /guarded queries abandoned", pages::wide_page, &[(20, clients::abandoned)]),
    row("500 distinct sums at /guarded", pages::wide_page, &[(2, clients::distinct_sums)]),
    row("200 answers of /federate that nobody reads", pages::wide_page, &[(1, clients::unread_federate)]),
    row("200 requests of remote read that never end", pages::none, &[(1, clients::slow_reads)]),
    Row {
        flags: &["--web.enable-remote-write-receiver"],
        ..row("200 slow writers", pages::none, &[(1, clients::slow_writers)])
    },
    row("512 silent connections", pages::none, &[(1, clients::silent)]),
    row("600 connections, each with a probe a second", pages::none, &[(1, clients::probing)]),
    row("1,100 silent connections of KEDA", pages::none, &[(1, clients::silent_keda)]),
    Row {
        descriptors: Some(1_024),
        ..row("the same where 1,024 descriptors are all", pages::none, &[(1, clients::silent_keda)])
    },
];
