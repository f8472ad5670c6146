//! `stillwell demo`: a gateway stand-in, the whole server, and what to try.

use std::process::ExitCode;

use clap::ArgMatches;

/// Runs the demo.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let _ = matches;
    crate::cli::fail("the demo is not built yet")
}
