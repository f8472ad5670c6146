//! `stillwell test rules FILE...`: unit tests of rules, in promtool's format.

use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use stillwell_engine::promql::Features;

use crate::rule_groups::run_unit_tests;

pub(super) fn command() -> Command {
    Command::new("test")
        .about("Tests rules")
        .subcommand_required(true)
        .subcommand(
            Command::new("rules")
                .about("Runs unit tests of rules in promtool's format; exit 1 on a failure")
                .arg(
                    Arg::new("FILE")
                        .required(true)
                        .action(ArgAction::Append)
                        .help("A file of tests, which names its rule files"),
                ),
        )
}

#[expect(clippy::print_stdout, reason = "the report is the command's output")]
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let Some(("rules", matches)) = matches.subcommand() else {
        unreachable!("a subcommand is required");
    };
    let (mut passed, mut failed) = (0, 0);
    for path in matches.get_many::<String>("FILE").into_iter().flatten() {
        let report = run_unit_tests(Path::new(path), &Features::all());
        for failure in &report.failures {
            println!("{path}: {failure}");
        }
        passed += report.passed;
        failed += report.failures.len();
    }
    println!("{passed} passed, {failed} failed");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
