//! What is missing after a receiver of remote write has failed in each of the ways in which receivers do.

mod compare;
mod failure;
mod run;

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::contender::Kind;
use crate::write_proxy::WriteProxy;
use failure::FAILURES;
use run::{Rows, loss, mb, memory_alone};

type Error = Box<dyn std::error::Error>;

/// One receiver and the message that it is to be sent.
pub struct Run {
    /// What it is.
    pub kind: Kind,
    /// Its program.
    pub binary: PathBuf,
    /// `protobuf_message`.
    pub message: &'static str,
}

/// What all runs have in common.
pub struct Common {
    /// The sender.
    pub stillwell: PathBuf,
    /// Reads what a Thanos Receive has put on disk.
    pub prometheus: PathBuf,
    /// How long samples are sent.
    pub minutes: f64,
}

/// Does all runs beside each other and writes what came of them. A run that fails is an error after all others are written.
pub fn losses(runs: &[Run], common: &Common, report: &mut String) -> Result<(), Error> {
    let mut results: Vec<Result<Rows, String>> = Vec::new();
    let mut alone = Err("it panicked".to_owned());
    std::thread::scope(|scope| {
        let running: Vec<_> = runs
            .iter()
            .map(|run| {
                scope.spawn(move || {
                    let rows = loss(run, common);
                    rows.map_err(|error| format!("{} {}: {error}", run.kind.name(), run.message))
                })
            })
            .collect();
        alone = memory_alone(common).map_err(|error| error.to_string());
        for one in running {
            results.push(one.join().unwrap_or_else(|_| Err("it panicked".to_owned())));
        }
    });
    let names: Vec<&str> = FAILURES.iter().map(|(name, ..)| *name).collect();
    let (minutes, all) = (common.minutes, names.join(", "));
    writeln!(
        report,
        "## What is missing after a receiver has failed\n\n{minutes} minutes, in them one after the other: {all}.\n\n\
         | receiver | message | series | samples compared | missing | more than once or not stored here | different | scrapes missed | memory at 1/4 and at the end |\n\
         |---|---|---|---|---|---|---|---|---|"
    )?;
    let (mut tried_again, mut errors) = (String::new(), Vec::new());
    for rows in results {
        match rows {
            Ok(rows) => {
                writeln!(report, "{}", rows.compared)?;
                writeln!(tried_again, "{}", rows.tried_again)?;
            }
            Err(error) => errors.push(error),
        }
    }
    let (early, end) = alone?;
    writeln!(
        report,
        "\nMemory of one that scrapes as much and sends nothing: {}, {}.\n\n\
         Samples in requests that were tried again, and in answers that refuse for good:\n\n\
         | receiver | message | {} | refused | requests | of them 2.0 |\n|---|---|{}---|---|---|\n{tried_again}",
        mb(early),
        mb(end),
        names.join(" | "),
        "---|".repeat(names.len()),
    )?;
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors.join("\n").into()),
    }
}

/// A configuration that scrapes these targets once a second.
pub fn scrapes(ports: &[u16]) -> String {
    let targets: Vec<String> = ports
        .iter()
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: load\n  static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    )
}

/// ... and sends on what it scrapes.
pub fn writes(proxy: &WriteProxy, path: &str) -> String {
    let port = proxy.port;
    format!("remote_write:\n- url: 'http://127.0.0.1:{port}{path}'\n  name: bench\n")
}
