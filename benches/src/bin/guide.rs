//! The guide of llm-d, walked step by step on a real control plane: what was done, what was seen, and how long each scale
//! decision took.
//!
//! `cargo run --release -p stillwell-benches --bin guide -- --kube-apiserver PATH --kube-controller-manager PATH --etcd PATH
//! --kubectl PATH [--stillwell PATH] [--away SECONDS] [--only types,discovery,events,resources,outage,away,readme,first-signal]
//! [--keep FOLDER] [--keda-operator PATH [--keda-adapter PATH]] [--prometheus PATH] [--prometheus-adapter PATH] [--epp PATH]`
//!
//! Needs Linux, root (for a network namespace of its own, where the ports of the shipped manifests are free), `unshare` and
//! `ip`. Fails where a step did. What is not given is said as not run.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that prints its results"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use stillwell_benches::guide::control_plane::{ADDRESS, ControlPlane, Programs};
use stillwell_benches::guide::gateway::Gateway;
use stillwell_benches::guide::kubelet::Kubelet;
use stillwell_benches::guide::stillwell::Stillwell;
use stillwell_benches::guide::table::Table;
use stillwell_benches::guide::{
    Failure, discovery, events, first_signal, hpa_types, keda, outage, picker, prometheus, readme,
    resources, walk,
};

/// Set in the namespace.
const INSIDE: &str = "STILLWELL_GUIDE_INSIDE";
const FLAGS: [&str; 13] = [
    "kube-apiserver",
    "kube-controller-manager",
    "etcd",
    "kubectl",
    "stillwell",
    "away",
    "only",
    "keep",
    "keda-operator",
    "keda-adapter",
    "prometheus",
    "prometheus-adapter",
    "epp",
];

type Flags = BTreeMap<String, String>;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} steps failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<usize, Failure> {
    let flags = flags()?;
    if std::env::var_os(INSIDE).is_none() {
        return enter();
    }
    for line in [
        "ip link set lo up".to_owned(),
        format!("ip addr add {ADDRESS}/32 dev lo"),
        "mount -t tmpfs none /run".to_owned(),
    ] {
        let done = Command::new("sh").args(["-c", &line]).status()?;
        if !done.success() {
            return Err(format!("{line}: failed").into());
        }
    }
    let folder = match flags.get("keep") {
        Some(folder) => PathBuf::from(folder),
        None => std::env::temp_dir().join(format!("guide-{}", std::process::id())),
    };
    std::fs::create_dir_all(&folder)?;
    let mut table = Table::default();
    let result = steps(&flags, &folder, &mut table);
    println!("\n{}", table.markdown());
    if flags.contains_key("keep") {
        eprintln!("logs are in {}", folder.display());
    } else {
        std::fs::remove_dir_all(&folder).ok(); // a process that is ending may still write
    }
    result?;
    Ok(table.failures())
}

fn flags() -> Result<Flags, Failure> {
    let mut flags = Flags::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let name = argument.trim_start_matches("--").to_owned();
        if !FLAGS.contains(&name.as_str()) {
            return Err(format!(
                "there is no {argument}; there are: --{}",
                FLAGS.join(", --")
            )
            .into());
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("--{name} needs a value"))?;
        flags.insert(name, value);
    }
    Ok(flags)
}

/// Runs this command again where nothing else is.
fn enter() -> Result<usize, Failure> {
    let status = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(std::env::current_exe()?)
        .args(std::env::args().skip(1))
        .env(INSIDE, "1")
        .status()
        .map_err(|error| format!("unshare: {error}"))?;
    match status.success() {
        true => Ok(0),
        false => Err("the guide did not run to its end (see above; unshare needs root)".into()),
    }
}

fn programs(flags: &Flags) -> Result<Programs, Failure> {
    let path = |name: &str| {
        let given = flags.get(name).map(PathBuf::from);
        given.ok_or_else(|| format!("--{name} PATH is needed"))
    };
    let stillwell = match flags.get("stillwell") {
        Some(given) => PathBuf::from(given),
        None => std::env::current_exe()?.with_file_name("stillwell"),
    };
    if !stillwell.exists() {
        let why = format!(
            "{}: build it, or give --stillwell PATH",
            stillwell.display()
        );
        return Err(why.into());
    }
    Ok(Programs {
        etcd: path("etcd")?,
        kube_apiserver: path("kube-apiserver")?,
        kube_controller_manager: path("kube-controller-manager")?,
        kubectl: path("kubectl")?,
        stillwell,
    })
}

fn steps(flags: &Flags, folder: &Path, table: &mut Table) -> Result<(), Failure> {
    let only = flags
        .get("only")
        .map(|text| text.split(',').collect::<Vec<_>>());
    let wanted = |part: &str| only.as_ref().is_none_or(|only| only.contains(&part));
    let away_s = flags.get("away").map_or(Ok(60), |text| text.parse())?;
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../server/deploy")
        .canonicalize()?;
    let mut plane = ControlPlane::start(programs(flags)?, folder)?;
    let _kubelet = Kubelet::start(&plane.proxy)?;
    let gateway = Gateway::start(Some(&plane.proxy))?;
    let mut process = walk::walk(&plane, &gateway, &deploy, table)?;
    if wanted("outage") {
        outage::walk(&plane, &gateway, &mut process, table)?;
    }
    drop(process);
    plane.apply(&discovery::definitions())?;
    plane.apply(&hpa_types::custom_group())?;
    events::allow(&plane, &deploy)?;
    resources::allow(&plane, &deploy)?;
    let changes = discovery::changes();
    let changes: Vec<(&str, &str)> = changes
        .iter()
        .map(|(file, text)| (*file, text.as_str()))
        .collect();
    let process = Stillwell::start(&plane, &changes)?;
    if wanted("discovery") {
        discovery::walk(&plane, table)?;
    }
    if wanted("events") {
        events::walk(&plane, &gateway, table)?;
    }
    if wanted("types") {
        // The guide's pool is in the same namespace, whose queue is read as a whole, under whatever name a gateway has it.
        gateway.show(&walk::page(walk::POOL, 0, 0));
        hpa_types::walk(&plane, table)?;
        gateway.show(&walk::page(walk::POOL, 12, 3));
    }
    let cadvisor = match wanted("resources") {
        true => Some(resources::walk(&plane, table)?),
        false => None,
    };
    if wanted("away") {
        let names = ["igw_queue_depth", "igw_running_requests"];
        outage::api_server_away(&mut plane, away_s, &names, table)?;
    }
    with_programs(flags, &plane, &gateway, (cadvisor, &deploy), table)?;
    drop(process);
    if wanted("readme") {
        readme::walk(&plane, &deploy, table)?;
    }
    if wanted("first-signal") {
        first_signal::walk(&plane, &deploy, table)?;
    }
    Ok(())
}

/// The steps that need programs which may be given.
fn with_programs(
    flags: &Flags,
    plane: &ControlPlane,
    gateway: &Gateway,
    (cadvisor, deploy): (Option<resources::Cadvisor>, &Path),
    table: &mut Table,
) -> Result<(), Failure> {
    let given = |flag: &str| flags.get(flag).map(Path::new);
    let missing = |flag: &str| format!("its program was not given (--{flag})");
    let what = "option 2: scale to zero by a real KEDA operator";
    match given("keda-operator") {
        Some(operator) => {
            let programs = (operator, given("keda-adapter"));
            keda::walk(plane, gateway, programs, table)?;
        }
        None => table.not_run(what, &missing("keda-operator")),
    }
    match given("epp") {
        Some(program) => picker::walk(plane, program, table)?,
        None => table.not_run("the real Endpoint Picker", &missing("epp")),
    }
    match given("prometheus") {
        Some(program) => prometheus::walk(plane, program, table)?,
        None => table.not_run("a real Prometheus beside", &missing("prometheus")),
    }
    match (given("prometheus"), given("prometheus-adapter")) {
        (Some(prometheus), Some(adapter)) if cadvisor.is_some() => {
            resources::adapter(plane, gateway, (prometheus, adapter), deploy, table)
        }
        _ => {
            let why = missing("prometheus, --prometheus-adapter");
            table.not_run("the same reads from the real prometheus-adapter", &why);
            Ok(())
        }
    }
}
