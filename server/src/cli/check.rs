//! `stillwell check config|metrics`: says what is wrong before it is in force.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use stillwell_engine::exposition::check_openmetrics;
use stillwell_engine::promql::{EvalOptions, Features};
use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, SeriesQuery, TargetSpec, Timestamp};

use super::scalers::{self, Level};
use super::{fail, lint, metric_lint, page_lint, secure, server_url, value};
use crate::cluster::{Cluster, Owner, api_service_name};
use crate::config::{self, Discovery, Report};
use crate::files;
use crate::rule_groups::{self, RuleFile};
use crate::scrape::{NO_ADDRESS, static_targets};
use crate::serve::app;

/// A page that must not parse.
const EXIT_BAD_PAGE: u8 = 1;
/// A page that breaks conventions, where that is asked for.
const EXIT_LINTS: u8 = 3;
/// Series that every scrape adds to those of its page.
const ADDED: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];
/// More than any gateway sends.
const PAGE_BYTES_MAX: u64 = 1 << 30;

pub(super) fn command() -> Command {
    Command::new("check")
        .about("Checks a configuration or a page")
        .subcommand_required(true)
        .subcommand(
            Command::new("config")
                .about("Errors with line and reason; warnings; exit 1 on an error")
                .arg(Arg::new("FILE").required(true))
                .arg(value(
                    "live",
                    "URL",
                    "Also ask the server there (this one or a Prometheus) what is really scraped",
                ).value_parser(server_url))
                .arg(
                    value(
                        "scalers",
                        "FILE",
                        "Manifests of HPAs and ScaledObjects: also say what each metric and trigger reads here, why one never \
                         can (then exit 1), and which thresholds are never reached; with --live those of the cluster are \
                         read",
                    )
                    .action(ArgAction::Append),
                )
                .arg(secure::kubeconfig_flag())
                .arg(secure::service_flag()),
        )
        .subcommand(
            Command::new("rules")
                .about("Reads rule files; errors with lines; exit 1 on an error")
                .arg(Arg::new("FILE").required(true).action(ArgAction::Append)),
        )
        .subcommand(
            Command::new("metrics")
                .about(
                    "Reads a page from standard input and says where it breaks conventions; exit 0 if it parses, 1 if not, \
                     3 with --lint=error if it breaks some",
                )
                .arg(
                    Arg::new("openmetrics")
                        .long("openmetrics")
                        .action(ArgAction::SetTrue)
                        .help("The page has to keep every rule of OpenMetrics 1.0"),
                )
                .arg(value(
                    "lint",
                    "LEVEL",
                    "What a lint does: \"error\" exits with 3, \"warn\" only says it, \"none\" looks for none",
                )
                .value_parser(["error", "warn", "none"])
                .default_value("warn")),
        )
}

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    match matches.subcommand() {
        Some(("config", matches)) => check_config(matches),
        Some(("rules", matches)) => check_rules(matches),
        Some(("metrics", matches)) => check_metrics(matches),
        _ => unreachable!("a subcommand is required"),
    }
}

#[expect(clippy::print_stdout, reason = "the report is the command's output")]
fn check_config(matches: &ArgMatches) -> ExitCode {
    let file = matches.get_one::<String>("FILE").map_or("", String::as_str);
    let text = match files::read(Path::new(file)) {
        Ok(text) => text,
        Err(error) => return fail(format!("{file}: {error}")),
    };
    let base = app::folder(Path::new(file));
    let (loaded, mut report) = app::read(&text, base, &Features::all());
    let rules = loaded
        .as_ref()
        .map_or(0, |loaded| rule_count(&loaded.rule_files));
    let loaded = loaded.map(|loaded| loaded.config);
    let missing = lint::missing_files(&report.named_files, base);
    report.warnings.extend(missing);
    if let Some(config) = &loaded {
        report
            .warnings
            .extend(lint::offline(config, matches.contains_id("live")));
        if let Some(url) = matches.get_one::<String>("live") {
            match lint::live(config, url) {
                Ok(problems) => report.warnings.extend(problems),
                Err(why) => return fail(format!("--live {url}: {why}")),
            }
        }
    }
    for problem in &report.errors {
        println!("{file}:{}: error: {}", problem.line, problem.message);
    }
    for problem in &report.warnings {
        println!("{file}:{}: warning: {}", problem.line, problem.message);
    }
    let mut scalers_failed = false;
    let valid = loaded.filter(|_| report.errors.is_empty());
    if let Some(config) = &valid {
        match scalers(config, matches) {
            Ok((lines, failed)) => {
                lines.iter().for_each(|line| println!("{line}"));
                scalers_failed = failed;
            }
            Err(why) => return fail(why),
        }
        match owners(config, matches) {
            Ok(lines) => lines.iter().for_each(|line| println!("{file}: {line}")),
            Err(why) => return fail(why),
        }
    }
    match valid {
        Some(config) => {
            let (table, targets) = job_table(&config);
            if !config.jobs.is_empty() {
                print!("{table}");
            }
            println!(
                "{file}: valid: {} jobs, {targets} targets, {} signals, {rules} rules{}",
                config.jobs.len(),
                config.signals.len(),
                adapter_rules(&config)
            );
            match scalers_failed {
                true => ExitCode::FAILURE,
                false => ExitCode::SUCCESS,
            }
        }
        None => ExitCode::FAILURE,
    }
}

/// A line per job: its name, whether it is scraped, and its targets as far as the file tells. Also how many there are.
fn job_table(config: &config::Config) -> (String, usize) {
    let mut rows = Vec::new();
    let mut all = 0;
    for job in &config.jobs {
        if let Some(why) = &job.not_scraped {
            rows.push((job.name.clone(), "no", why.clone()));
            continue;
        }
        let found = static_targets(job);
        all += found.targets.len();
        let mut told = vec![format!("{} static", found.targets.len())];
        if !found.dropped.is_empty() {
            told.push(format!("{} dropped by relabelling", found.dropped.len()));
        }
        let looked_for = job.discovery.iter().filter_map(|way| match way {
            Discovery::Static(_) => None,
            Discovery::File(_) => Some("file_sd_configs"),
            Discovery::Http(_) => Some("http_sd_configs"),
            Discovery::Dns(_) => Some("dns_sd_configs"),
            Discovery::Kubernetes(_) => Some("kubernetes_sd_configs"),
        });
        let mut looked_for: Vec<String> =
            looked_for.map(|name| format!("those of {name}")).collect();
        looked_for.dedup();
        told.extend(looked_for);
        for target in &found.targets {
            if let Some(why) = &target.refused {
                let instance = target.labels.get("instance").unwrap_or("");
                told.push(format!("every scrape of {instance} fails: {why}"));
            }
        }
        for discovered in &found.without_address {
            let labels = discovered.labels();
            let address = labels.get("__address__").unwrap_or("");
            told.push(format!("{address} is not scraped: {NO_ADDRESS}"));
        }
        rows.push((job.name.clone(), "yes", told.join(", ")));
    }
    let heading = ("job".to_owned(), "scraped", "targets".to_owned());
    let width = |of: fn(&(String, &'static str, String)) -> usize| {
        let rows = rows.iter().chain([&heading]);
        rows.map(of).max().unwrap_or(0)
    };
    let (name_width, scraped_width) =
        (width(|row| row.0.chars().count()), width(|row| row.1.len()));
    let mut table = String::new();
    for (name, scraped, targets) in [&heading].into_iter().chain(&rows) {
        let line = format!("{name:name_width$}  {scraped:scraped_width$}  {targets}\n");
        table.push_str(&line);
    }
    (table, all)
}

/// What there is to say of the scalers that are given, and with `--live` of those of the cluster, where there is one to ask.
/// Also whether one of those given never works.
fn scalers(config: &config::Config, matches: &ArgMatches) -> Result<(Vec<String>, bool), String> {
    let (mut lines, mut failed) = (Vec::new(), false);
    for path in matches.get_many::<String>("scalers").into_iter().flatten() {
        for found in scalers::of_file(config, path)? {
            failed |= found.level == Level::Error;
            lines.push(format!("{path}:{}: {found}", found.line));
        }
    }
    if !matches.contains_id("live") {
        return Ok((lines, failed));
    }
    let kubeconfig = secure::kubeconfig(matches);
    let objects = wait(async {
        match Cluster::connect(kubeconfig.as_deref()).await? {
            Some(cluster) => cluster.scalers().await,
            None => Ok(Vec::new()),
        }
    })?;
    for object in objects {
        // A cluster has scalers of other servers too.
        let found = scalers::of_manifest(config, &object)?.into_iter();
        lines.extend(found.map(|one| one.to_string()));
    }
    Ok((lines, failed))
}

/// Waits for what the API server is asked.
fn wait<T>(asking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| error.to_string())?.block_on(asking)
}

/// Who serves the configured groups in the cluster, where there is one to ask.
fn owners(config: &config::Config, matches: &ArgMatches) -> Result<Vec<String>, String> {
    let us = secure::service(matches)?;
    let kubeconfig = secure::kubeconfig(matches);
    wait(async {
        let Some(cluster) = Cluster::connect(kubeconfig.as_deref()).await? else {
            return Ok(Vec::new());
        };
        let mut lines = Vec::new();
        let groups = &config.external_metrics.groups;
        for (group, version) in groups.versions() {
            let name = api_service_name(&group, version);
            let owner = cluster.owner(&group, version, &us).await?;
            if owner == Owner::Nobody && !groups.is_preferred(&group, version) {
                continue; // clients ask for the preferred version
            }
            lines.push(match owner {
                Owner::Us => format!("APIService {name}: served by {us}, as it should be"),
                other => format!(
                    "warning: APIService {name}: served by {other}; HPAs are not sent to {us}"
                ),
            });
        }
        Ok(lines)
    })
}

/// How many of prometheus-adapter's rules there are that no signal was made of; nothing where there are none.
fn adapter_rules(config: &config::Config) -> String {
    let of_resources = usize::from(config.resource_rules.is_some());
    match config.rules.len() + config.object_rules.len() + of_resources {
        0 => String::new(),
        count => format!(", {count} rules of prometheus-adapter that depend on who asks"),
    }
}

#[expect(clippy::print_stdout, reason = "the report is the command's output")]
fn check_rules(matches: &ArgMatches) -> ExitCode {
    let mut failed = false;
    for path in matches.get_many::<String>("FILE").into_iter().flatten() {
        let mut report = Report::default();
        let file = rule_groups::read_file(Path::new(path), &Features::all(), &mut report);
        for problem in &report.errors {
            println!("{path}:{}: error: {}", problem.line, problem.message);
        }
        for problem in &report.warnings {
            println!("{path}:{}: warning: {}", problem.line, problem.message);
        }
        if report.errors.is_empty() {
            println!("{path}: valid: {} rules", rule_count(&[file]));
        }
        failed |= !report.errors.is_empty();
    }
    match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn rule_count(files: &[RuleFile]) -> usize {
    let groups = files.iter().flat_map(|file| &file.groups);
    groups.map(|group| group.rules.len()).sum()
}

#[expect(clippy::print_stdout, reason = "the report is the command's output")]
fn check_metrics(matches: &ArgMatches) -> ExitCode {
    let mut page = Vec::new();
    if let Err(error) = std::io::stdin()
        .lock()
        .take(PAGE_BYTES_MAX)
        .read_to_end(&mut page)
    {
        return fail(format!("standard input: {error}"));
    }
    let is_openmetrics = matches.get_flag("openmetrics");
    let format = match is_openmetrics {
        true => Format::OpenMetrics,
        false => Format::Text,
    };
    let checked = match is_openmetrics {
        true => check_openmetrics(&page).map_err(|error| error.to_string()),
        false => Ok(()),
    };
    let lints = match checked.and_then(|()| page_lints(&page, format)) {
        Ok(lints) => lints,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(EXIT_BAD_PAGE);
        }
    };
    let level = matches.get_one::<String>("lint").map_or("", String::as_str);
    if level == "none" || lints.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("{}", lints.join("\n"));
    match level {
        "error" => ExitCode::from(EXIT_LINTS),
        _ => ExitCode::SUCCESS,
    }
}

/// The lints of a page. Error: why it cannot be read.
fn page_lints(page: &[u8], format: Format) -> Result<Vec<String>, String> {
    let of_text = match format {
        // The strict check of OpenMetrics has looked for the same.
        Format::OpenMetrics => Vec::new(),
        _ => page_lint::lints(&String::from_utf8_lossy(page))?,
    };
    let (mut writer, reader) = Engine::new(Limits::default());
    let (target, mut stage) = writer.add_target(TargetSpec::default());
    let staged = stage
        .parse(page, format)
        .map_err(|error| error.to_string())?;
    let at = Timestamp::from_ms(0);
    let committed = writer.commit(staged, at, ScrapeFacts::default());
    committed.map_err(|error| error.to_string())?;
    let described = reader.target_metadata(target).into_iter();
    let families = described.map(|(name, metadata)| {
        let family = metric_lint::Family {
            kind: metadata.family_type.as_str().to_owned(),
            help: metadata.help,
        };
        (name, family)
    });
    let series = reader.series(SeriesQuery::ALL, &EvalOptions::default());
    let mut series = series.map_err(|error| error.to_string())?;
    // What a scrape adds is not on the page.
    let is_added = |name: &str| ADDED.contains(&name);
    series.retain(|labels| !labels.metric_name().is_some_and(is_added));
    let mut lints = metric_lint::lints(families.collect(), &series);
    lints.extend(of_text);
    lints.sort();
    lints.dedup();
    Ok(lints)
}
