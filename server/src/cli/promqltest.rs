//! `stillwell promqltest PATH...`: runs Prometheus' own test scripts against the engine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use stillwell_engine::promql::script;

use super::fail;

pub(super) fn command() -> Command {
    Command::new("promqltest")
        .about("Runs Prometheus' test scripts; a line per file, failures on standard error; exit 1 on a failure")
        .arg(
            Arg::new("PATH")
                .required(true)
                .action(ArgAction::Append)
                .help("A script, or a folder with .test files"),
        )
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the report is the command's output"
)]
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let mut files = Vec::new();
    for path in matches.get_many::<String>("PATH").into_iter().flatten() {
        if let Err(error) = collect(Path::new(path), &mut files) {
            return fail(format!("{path}: {error}"));
        }
    }
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let name = file.display().to_string();
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) => return fail(format!("{name}: {error}")),
        };
        let report = script::run(&name, &text);
        for failure in &report.failures {
            eprintln!("{failure}");
        }
        println!(
            "{name}: {} passed, {} failed",
            report.passed,
            report.failures.len()
        );
        passed += report.passed;
        failed += report.failures.len();
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "test")
        {
            found.push(file);
        }
    }
    found.sort();
    files.extend(found);
    Ok(())
}
