//! What Prometheus and Stillwell report to a scaler while a gateway fails: the guide's query, sent to both at the
//! same time.
//!
//! `cargo run --release -p stillwell-benches --bin side_by_side -- STILLWELL PROMETHEUS [RECORD.md]`
//!
//! Each scenario starts both servers with a gateway that follows a script, at one scrape a second, and queries them
//! when the script has ended: Prometheus as prometheus-adapter and KEDA query it, Stillwell under `/guarded`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that prints its results"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use stillwell_benches::contender::{Contender, Kind};
use stillwell_benches::load::{Load, pause};

const QUERY: &str = "sum(inference_extension_flow_control_queue_size{inference_pool=\"a\"})";

/// A script: what the gateway's page is (`None`: no answer), for how many seconds.
struct Scenario {
    name: &'static str,
    query: String,
    script: Vec<(Option<String>, u64)>,
    /// What KEDA or the HPA makes of Prometheus' answer.
    effect: &'static str,
}

fn page(names: &str, start: u32, queue: Option<i64>, flow_control: bool) -> String {
    let mut page = format!("process_start_time_seconds {start}\n{names}_info{{commit=\"x\"}} 1\n");
    if flow_control {
        let _ = writeln!(
            page,
            "{names}_flow_control_pool_saturation{{inference_pool=\"a\"}} 0.5"
        ); // a String takes everything
    }
    if let Some(queue) = queue {
        let _ = writeln!(
            page,
            "{names}_flow_control_queue_size{{fairness_id=\"f\",inference_pool=\"a\",model_name=\"m\",priority=\"0\",\
             target_model_name=\"m\"}} {queue}"
        );
    }
    page
}

fn scenarios() -> Vec<Scenario> {
    let old = |start, queue, gate| Some(page("inference_extension", start, queue, gate));
    let new = |start, queue| Some(page("llm_d_epp", start, queue, true));
    let scenario = |name, script, effect| Scenario {
        name,
        query: QUERY.to_owned(),
        script,
        effect,
    };
    let mut list = vec![
        scenario(
            "12 requests wait",
            vec![(old(1, Some(12), true), 6)],
            "right",
        ),
        scenario(
            "never any traffic",
            vec![(old(1, None, true), 6)],
            "HPA: metric missing; KEDA: 0",
        ),
        scenario(
            "idle until flows are deleted",
            vec![(old(1, Some(12), true), 5), (old(1, None, true), 6)],
            "HPA: metric missing; KEDA: 0",
        ),
        scenario(
            "the flow-control gate is off",
            vec![(old(1, None, false), 6)],
            "KEDA: 0, scales in a busy pool",
        ),
        scenario(
            "outage with 12 waiting, after 1.5 s",
            vec![(old(1, Some(12), true), 5), (None, 2)],
            "KEDA: 0, scales in a busy pool",
        ),
        scenario(
            "outage with 12 waiting, after 8 s",
            vec![(old(1, Some(12), true), 5), (None, 8)],
            "KEDA: 0, scales in a busy pool",
        ),
        scenario(
            "restart: the queue starts anew",
            vec![(old(1, Some(12), true), 5), (old(2, None, true), 4)],
            "scales in before the retries arrive",
        ),
        scenario(
            "upgraded to v0.11: the name is gone",
            vec![(old(1, Some(12), true), 5), (new(2, Some(12)), 5)],
            "silently never scales again",
        ),
        scenario(
            "the gauge races below zero",
            vec![(old(1, Some(-2), true), 6)],
            "a negative demand",
        ),
    ];
    list.push(Scenario {
        name: "a typo in the pool",
        query: QUERY.replace("\"a\"", "\"aa\""),
        script: vec![(old(1, Some(12), true), 6)],
        effect: "KEDA: 0 for ever",
    });
    list.push(Scenario {
        name: "outage, with `or vector(0)`",
        query: format!("{QUERY} or vector(0)"),
        script: vec![(old(1, Some(12), true), 5), (None, 8)],
        effect: "a made-up 0 on every api",
    });
    list
}

fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [stillwell, prometheus, record @ ..] = arguments.as_slice() else {
        eprintln!("usage: side_by_side STILLWELL PROMETHEUS [RECORD.md]");
        std::process::exit(2);
    };
    match run(stillwell, prometheus) {
        Ok(table) => {
            println!("{table}");
            if let Some(file) = record.first()
                && let Err(error) = std::fs::write(file, table)
            {
                eprintln!("{}: {error}", file.display());
            }
        }
        Err(error) => {
            eprintln!("side_by_side: {error}");
            std::process::exit(1);
        }
    }
}

fn run(stillwell: &Path, prometheus: &Path) -> std::io::Result<String> {
    let mut table = format!(
        "What each says about `{QUERY}`, one scrape a second, when the script has ended.\n\n\
         | scenario | Prometheus | what that does | Stillwell `/guarded` |\n|---|---|---|---|\n"
    );
    for scenario in scenarios() {
        eprintln!("{}", scenario.name);
        let body = Arc::new(RwLock::new(scenario.script[0].0.clone()));
        let shown = Arc::clone(&body);
        let load = Load::scripted(move || shown.read().clone())?;
        let theirs = Contender::start(Kind::Prometheus, prometheus, &load, false)?;
        let ours = Contender::start(Kind::Stillwell, stillwell, &load, false)?;
        let (mut ask_them, mut ask_us) = (
            theirs.connect(Duration::from_secs(30))?,
            ours.connect(Duration::from_secs(30))?,
        );
        // A guarded query is judged from the first time it is asked about, as a scaler's would be.
        pause(Duration::from_millis(2_500));
        ask_us.guarded(&scenario.query)?;
        for (page, seconds) in &scenario.script {
            body.write().clone_from(page);
            pause(Duration::from_secs(*seconds));
        }
        let (they_say, we_say) = (
            ask_them.query(&scenario.query)?,
            ask_us.guarded(&scenario.query)?,
        );
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} |",
            scenario.name,
            said(&they_say),
            scenario.effect,
            said(&we_say)
        ); // a String takes everything
    }
    Ok(table)
}

/// The number of an answer, or why there is none.
fn said(body: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    if let Some(error) = answer["error"].as_str() {
        return format!("error: {error}");
    }
    let result = &answer["data"]["result"];
    match (result[0]["value"][1].as_str(), result.as_array()) {
        (Some(value), _) => value.to_owned(),
        (None, Some(none)) if none.is_empty() => "no data".to_owned(),
        _ => format!("error: {body}"),
    }
}
