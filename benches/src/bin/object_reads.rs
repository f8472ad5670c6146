//! HPAs of `type: Pods` over thousands of pods with a page each: how long a read takes, and whether the server grows.
//!
//! `cargo run --release -p stillwell-benches --bin object_reads -- STILLWELL [PODS] [HPAS] [ROUNDS] [PROMETHEUS [ADAPTER]]`
//!
//! Every pod is a target of its own, scraped every 5 s. Each HPA reads the pods of its namespace as the HPA controller
//! does, and beside them somebody reads all pods of one namespace that holds them all. A round is 15 s. Fails where p99 of
//! the HPAs is above 5 ms, an answer lacks a pod, or memory after the second round grows by more than a tenth.
//!
//! With a Prometheus it scrapes the same targets in the same run. With a prometheus-adapter as well, each HPA reads that one, over TLS
//! as the API server does, and it asks the Prometheus; without, the Prometheus is asked what the adapter would ask it by the
//! same rule: the least that the two of them cost together.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a command that measures time and prints its results"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use stillwell_benches::adapter::{Adapter, Over};
use stillwell_benches::contender::{Client, Contender, Usage};
use stillwell_benches::load::{Load, pause};

/// The HPA controller's.
const PERIOD: Duration = Duration::from_secs(15);
/// The budget.
const P99_MAX: Duration = Duration::from_millis(5);
/// After the start until every pod was scraped several times, so that nobody waits for a first page.
const SETTLING: Duration = Duration::from_secs(30);

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, standard: usize| match arguments.get(at) {
        Some(text) => text.parse(),
        None => Ok(standard),
    };
    let (Some(binary), Ok(pods), Ok(hpas), Ok(rounds)) = (
        arguments.first(),
        number(1, 2_000),
        number(2, 50),
        number(3, 6),
    ) else {
        eprintln!("object_reads STILLWELL [PODS] [HPAS] [ROUNDS] [PROMETHEUS [ADAPTER]]");
        return ExitCode::FAILURE;
    };
    let path = |at| arguments.get(at).map(Path::new);
    let sizes = (pods.max(1), hpas.max(1), rounds.max(3));
    let programs = Programs {
        stillwell: Path::new(binary),
        prometheus: path(4),
        adapter: path(5),
    };
    match run(&programs, sizes) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("object_reads: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Programs<'p> {
    stillwell: &'p Path,
    prometheus: Option<&'p Path>,
    adapter: Option<&'p Path>,
}

fn run(
    programs: &Programs<'_>,
    (pods, hpas, rounds): (usize, usize, usize),
) -> Result<bool, Failure> {
    SIZES.set((pods, hpas)).ok(); // once

    let load = Load::scripted(|| Some(page()))?;
    let folder = std::env::temp_dir().join(format!("object-reads-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let rules = folder.join("rules.yaml");
    std::fs::write(&rules, RULES)?;
    let scraped = config(load.fast_port, pods, hpas);
    let text = format!(
        "{scraped}external_metrics: {{insecure: true, rules_files: ['{}']}}\n",
        rules.display()
    );
    let server = Contender::stillwell(programs.stillwell, &text, &[])?;
    let mut client = server.ready_client()?;
    let mut beside = match programs.prometheus {
        Some(program) => Some(Beside::start(program, &scraped)?),
        None => None,
    };
    pause(SETTLING);
    if let (Some(beside), Some(program)) = (&mut beside, programs.adapter) {
        beside.start_adapter(program, &rules, &folder)?;
    }
    let (mut own, mut all, mut wrong) = (Vec::new(), Vec::new(), 0);
    let (mut first, mut last) = (server.usage()?, server.usage()?);
    for round in 0..rounds {
        let start = Instant::now();
        for hpa in 0..hpas {
            let due = start + PERIOD * hpa as u32 / hpas as u32;
            pause(due.saturating_duration_since(Instant::now()));
            let expected = names_of(hpa).len();
            let namespace = format!("n{hpa}");
            wrong += usize::from(!read(&mut client, &namespace, expected, &mut own)?);
            if let Some(beside) = &mut beside {
                beside.read(hpa)?;
            }
            if hpa % 10 == 0 {
                wrong += usize::from(!read(&mut client, "all", pods, &mut all)?);
            }
        }
        pause((start + PERIOD).saturating_duration_since(Instant::now()));
        last = server.usage()?;
        if round == 1 {
            first = last;
            if let Some(beside) = &mut beside {
                beside.begin()?;
            }
        }
    }
    std::fs::remove_dir_all(&folder)?;
    let seconds = PERIOD.as_secs_f64() * (rounds - 2) as f64;
    println!("{pods} pods scraped every 5 s, {hpas} HPAs in {rounds} rounds of 15 s");
    let p99 = say("an HPA's own pods", &mut own);
    say("all pods at once", &mut all);
    let (before, after) = (first.rss_bytes as f64 / 1e6, last.rss_bytes as f64 / 1e6);
    println!(
        "{wrong} wrong answers; memory {before:.1} MB after the second round, {after:.1} MB at the end; {:.1}% of a core",
        (last.cpu_s - first.cpu_s) / seconds * 100.0
    );
    if let Some(beside) = beside {
        beside.say(seconds)?;
    }
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!("load of the machine at the end: {}", load.trim());
    Ok(wrong == 0 && p99 <= P99_MAX && after <= before * 1.1)
}

/// Pods and HPAs.
static SIZES: OnceLock<(usize, usize)> = OnceLock::new();

/// The pods of an HPA.
fn names_of(hpa: usize) -> Vec<String> {
    let (pods, hpas) = SIZES.get().copied().unwrap_or((1, 1));
    let names = (0..pods).filter(|pod| pod % hpas == hpa);
    names.map(|pod| format!("pod-{pod}")).collect()
}

/// The pods of a namespace.
fn names_in(namespace: &str) -> Vec<String> {
    let hpa = namespace.strip_prefix('n').and_then(|hpa| hpa.parse().ok());
    hpa.map(names_of).unwrap_or_default()
}

fn path(namespace: &str) -> String {
    format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*/waiting")
}

/// Reads the pods of a namespace; whether as many answered as there are.
fn read(
    client: &mut Client,
    namespace: &str,
    expected: usize,
    times: &mut Vec<Duration>,
) -> Result<bool, Failure> {
    let since = Instant::now();
    let body = client.get(&path(namespace))?;
    times.push(since.elapsed());
    Ok(body.matches("describedObject").count() == expected)
}

/// A Prometheus over the same targets, with or without an adapter before it.
struct Beside {
    server: Contender,
    client: Client,
    adapter: Option<Adapter>,
    times: Vec<Duration>,
    /// Answers without all of their pods.
    lacking: usize,
    /// Of both when the measurement began.
    first: (Usage, Option<Usage>),
}

impl Beside {
    /// What it took and cost over the time that was measured.
    fn say(mut self, seconds: f64) -> Result<(), Failure> {
        let asked = match self.adapter {
            Some(_) => "an HPA's own pods from prometheus-adapter",
            None => "Prometheus, asked as prometheus-adapter asks it",
        };
        say(asked, &mut self.times);
        println!("{} of these answers lacked a pod", self.lacking);
        let cost = |name: &str, first: Usage, last: Usage| {
            println!(
                "{name}: memory {:.1} MB; {:.1}% of a core",
                last.rss_bytes as f64 / 1e6,
                (last.cpu_s - first.cpu_s) / seconds * 100.0
            );
        };
        cost("Prometheus", self.first.0, self.server.usage()?);
        if let (Some(adapter), Some(first)) = (&self.adapter, self.first.1) {
            cost("prometheus-adapter", first, adapter.usage()?);
        }
        Ok(())
    }

    fn start(program: &Path, config: &str) -> Result<Beside, Failure> {
        let server = Contender::prometheus(program, config)?;
        let client = server.ready_client()?;
        let first = (server.usage()?, None);
        Ok(Beside {
            server,
            client,
            adapter: None,
            times: Vec::new(),
            lacking: 0,
            first,
        })
    }

    fn start_adapter(
        &mut self,
        program: &Path,
        rules: &Path,
        folder: &Path,
    ) -> Result<(), Failure> {
        let over = Over {
            prometheus: self.server.port,
            rules,
            folder,
            pods: names_in,
        };
        self.adapter = Some(Adapter::start(program, &over, &path("n0"))?);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let of_adapter = self.adapter.as_ref().map(Adapter::usage).transpose()?;
        self.first = (self.server.usage()?, of_adapter);
        Ok(())
    }

    fn read(&mut self, hpa: usize) -> Result<(), Failure> {
        let names = names_of(hpa);
        let since = Instant::now();
        let (of, body, found) = match &mut self.adapter {
            Some(adapter) => {
                let (_, body) = adapter.get(&path(&format!("n{hpa}")))?;
                let found = body.matches("describedObject").count();
                ("the adapter", body, found)
            }
            // The adapter names each pod that it has listed.
            None => {
                let query = format!(
                    "sum(vllm:num_requests_waiting{{namespace=\"n{hpa}\",pod=~\"{}\"}}) by (pod)",
                    names.join("|")
                );
                let body = self.client.query(&query)?;
                let found = body.matches("\"pod\"").count();
                ("Prometheus", body, found)
            }
        };
        self.times.push(since.elapsed());
        if found == 0 {
            return Err(format!("{of} has no pods: {body}").into());
        }
        // On a machine that is busy it scrapes some too late.
        self.lacking += usize::from(found < names.len());
        Ok(())
    }
}

/// Prints quantiles; answers the 99th.
fn say(what: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{what}: {} reads, p50 {:?}, p99 {:?}, longest {:?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    at(0.99)
}

const RULES: &str = "rules:
- seriesQuery: 'vllm:num_requests_waiting{pod!=\"\"}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  name: {as: waiting}
  metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
";

fn page() -> String {
    let mut text = String::new();
    for engine in 0..2 {
        for metric in ["waiting", "running", "swapped", "deferred"] {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "vllm:num_requests_{metric}{{engine=\"{engine}\",model_name=\"m\"}} {engine}"
            );
        }
    }
    text
}

/// Every pod is twice a target: in the namespace of its HPA, and in the one that holds all.
fn config(port: u16, pods: usize, hpas: usize) -> String {
    let mut text =
        "global: {scrape_interval: 5s}\nscrape_configs:\n- job_name: vllm\n  static_configs:\n"
            .to_owned();
    for pod in 0..pods {
        for namespace in [format!("n{}", pod % hpas), "all".to_owned()] {
            let _ = writeln!(
                text,
                "  - {{targets: ['127.0.0.1:{port}'], labels: {{__metrics_path__: /{namespace}/{pod}, namespace: {namespace}, pod: pod-{pod}}}}}"
            );
        }
    }
    text
}
